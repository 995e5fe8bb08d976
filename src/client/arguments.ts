/** Arguments that nothing but TypeScript has checked, refused as the embedded database refuses them. */
import { HoldfastError } from '../core/holdfast-error.ts'
import type { Key } from '../core/key-codec.ts'
import { keySegment } from '../core/key-segment.ts'
import { stringifyWire, WireError, type Value } from '../core/wire.ts'
import type { CallOptions } from '../table/handles.ts'

export function refused(message: string): HoldfastError {
  return new HoldfastError('InvalidArgument', message)
}

export function checkFunction(what: string, value: unknown): void {
  if (typeof value !== 'function') throw refused(`${what} takes a function`)
}

export function checkList(what: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || !(Symbol.iterator in value)) {
    throw refused(`${what} takes a list`)
  }
}

export function checkCall(options: CallOptions): void {
  if (typeof options !== 'object' || options === null) throw refused('options are an object')
  const { signal, deadlineMs } = options as { signal?: unknown; deadlineMs?: unknown }
  // Not `instanceof`: another realm has a class of its own.
  const { addEventListener } = (signal ?? {}) as Partial<AbortSignal>
  if (signal !== undefined && typeof addEventListener !== 'function') {
    throw refused('signal is an AbortSignal')
  }
  if (deadlineMs !== undefined && (typeof deadlineMs !== 'number' || Number.isNaN(deadlineMs))) {
    throw refused('deadlineMs is a number of milliseconds')
  }
}

/** Throws `InvalidArgument` for a limit that is none. */
export function checkLimit(limit: unknown): void {
  if (limit === undefined || limit === Number.POSITIVE_INFINITY) return
  if (!Number.isInteger(limit) || (limit as number) < 0) {
    throw refused('limit is a whole number from 0')
  }
}

/** The wire text of rows and other values. Throws `InvalidValue` for what cannot be stored. */
export function valueText(value: unknown): string {
  try {
    return stringifyWire(value as Value)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw new HoldfastError('InvalidValue', cause.message, { details: { path: cause.path } })
  }
}

/** A key as a segment of a path, or as a parameter. Throws `InvalidKey`. */
export function segmentOf(key: Key): string {
  checkKey(key)
  try {
    return keySegment(key)
  } catch (cause) {
    // A lone surrogate has no UTF-8, and so no percent-encoding.
    throw new HoldfastError('InvalidKey', 'a string in a key is not well-formed', { cause })
  }
}

/** Throws `InvalidKey` for what is no key. What is too large or nested too deep the server says. */
export function checkKey(key: unknown): void {
  if (isKey(key)) return
  throw new HoldfastError(
    'InvalidKey',
    'a key is a string, a finite number, a bigint, a valid Date, bytes, or a tuple of them',
  )
}

function isKey(key: unknown): boolean {
  switch (typeof key) {
    case 'string':
      return key.isWellFormed()
    case 'bigint':
      return true
    case 'number':
      return Number.isFinite(key)
    case 'object':
      if (key instanceof Date) return !Number.isNaN(key.getTime())
      return key instanceof Uint8Array || (Array.isArray(key) && key.every(isKey))
    default:
      return false
  }
}
