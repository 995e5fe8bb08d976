/**
 * Values as bytes: MessagePack through msgpackr, with bigint, Date and bytes kept as they are.
 * A property that is undefined is missing, and stays missing; null stays null; -0 becomes 0.
 */
import { addExtension, Packr } from 'msgpackr'
import type { Bytes } from './bytes.ts'
import { HoldfastError } from './errors.ts'
import { LIMITS } from './limits.ts'

export type Value =
  | null
  | boolean
  | number
  | string
  | bigint
  | Date
  | Uint8Array
  | readonly Value[]
  | { readonly [field: string]: Value | undefined }

const BYTES_EXTENSION = 0x41

addExtension({
  Class: Uint8Array,
  type: BYTES_EXTENSION,
  pack: (bytes: Uint8Array) => bytes,
  unpack: (bytes: Buffer) => new Uint8Array(bytes),
})

const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  int64AsType: 'bigint',
  useBigIntExtension: true,
  skipValues: [undefined],
} as ConstructorParameters<typeof Packr>[0])

/** Throws `InvalidValue`, with the path, for what is no value; returns the bytes otherwise. */
export function encodeValue(value: Value): Bytes {
  checkValue(value, '', 0)
  return packr.pack(value)
}

/** Decodes bytes[start, end). Throws whatever msgpackr throws: the caller names the damage. */
export function decodeValue(bytes: Bytes, start = 0, end: number = bytes.length): unknown {
  return packr.unpack(bytes, { start, end })
}

/** Throws `InvalidValue` at the first part of `value` that cannot be stored. */
function checkValue(value: unknown, path: string, depth: number): void {
  switch (typeof value) {
    case 'string':
      // As UTF-8 it would come back as another string.
      if (!value.isWellFormed()) throw invalid(path, 'a lone surrogate cannot be stored')
      return
    case 'boolean':
    case 'bigint':
      return
    case 'number':
      if (!Number.isFinite(value)) throw invalid(path, `${value} is not a finite number`)
      return
    case 'object':
      if (value !== null) checkObject(value, path, depth)
      return
    case 'undefined':
    case 'function':
    case 'symbol':
      throw invalid(path, `a value of type ${typeof value} cannot be stored`)
  }
}

function checkObject(value: object, path: string, depth: number): void {
  if (depth >= LIMITS.valueDepth) {
    throw invalid(path, `values nest at most ${LIMITS.valueDepth} deep`)
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) {
    for (const field in value) {
      const part = (value as Record<string, unknown>)[field]
      if (field === '__proto__') throw invalid(path, 'a field cannot be named __proto__')
      if (!field.isWellFormed()) throw invalid(path, 'a field has a lone surrogate in its name')
      if (part !== undefined) checkValue(part, path === '' ? field : `${path}.${field}`, depth + 1)
    }
    return
  }
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) checkValue(value[i], `${path}[${i}]`, depth + 1)
    return
  }
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw invalid(path, 'an invalid Date cannot be stored')
    return
  }
  if (value instanceof Uint8Array) return
  throw invalid(path, `an instance of ${value.constructor?.name ?? 'a class'} cannot be stored`)
}

function invalid(path: string, reason: string): HoldfastError {
  const at = path === '' ? 'the value' : `field ${path}`
  return new HoldfastError('InvalidValue', `${at}: ${reason}`, { details: { path } })
}
