/** Reads objects that came from outside: each member by its name, and none that is not known. */
import { HoldfastError } from '../core/errors.ts'
import type { Value } from '../core/value-codec.ts'

export type Members = Readonly<Record<string, Value | undefined>>

/** `status`: another than that of the code, for the HTTP API. */
export function invalid(message: string, status?: number): HoldfastError {
  return new HoldfastError('InvalidRequest', message, {
    details: status === undefined ? {} : { status },
  })
}

/** Throws `InvalidRequest` for what is no object, and for a member that is not in `known`. */
export function membersOf(what: string, value: unknown, known: readonly string[]): Members {
  if (!isObject(value)) throw invalid(`${what} is an object with ${known.join(', ')}`)
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue
    throw invalid(`${what} has no member ${JSON.stringify(name)}; there are: ${known.join(', ')}`)
  }
  return value
}

/** Throws `InvalidRequest` unless `value` is an object whose members are fields. */
export function fieldsOf(what: string, value: unknown): Members {
  if (!isObject(value)) throw invalid(`${what} is an object of fields`)
  if (Object.hasOwn(value, '__proto__')) throw invalid(`${what}: no field is named __proto__`)
  return value
}

export function textOf(what: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(`${what} is a string`)
  return value
}

export function listOf(what: string, value: unknown): readonly Value[] {
  if (!Array.isArray(value)) throw invalid(`${what} is a list`)
  return value as readonly Value[]
}

/** A plain object: no list, and none of the values that are objects in JavaScript alone. */
export function isObject(value: unknown): value is Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return !(value instanceof Date || value instanceof Uint8Array)
}
