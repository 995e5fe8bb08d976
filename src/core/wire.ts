/**
 * The one JSON form of Holdfast's values: NDJSON and JSON files, HTTP bodies and `--json` output.
 *
 *   value                      on the wire
 *   null, boolean, string      itself
 *   number (finite)            itself; -0 becomes 0
 *   bigint                     {"$bigint":"-123"}
 *   Date (valid)               {"$date":"2001-01-01T00:00:00.000Z"}, the form of Date.toISOString
 *   Uint8Array                 {"$bytes":"AAEC"}, base64 with padding
 *   array                      array of the above; `undefined` is refused in it
 *   plain object               object of the above; a property that is `undefined` is left out
 *   plain object whose only    {"$object":{"$date":1}}: the inner object taken literally
 *     key starts with `$`
 *
 * An object that has one key and this key starts with `$` is therefore always a form, and an
 * unknown one is refused: forms can be added later without changing what is stored today. An object
 * with a `$` key among others is plain. `__proto__` is a key like any other.
 *
 * `fromWire(toWire(v))` is `v`, but for -0, for properties that are `undefined`, and for subclasses
 * (a Buffer comes back as a Uint8Array). Both return their argument itself when nothing in it needs
 * converting; what they return may share parts with it.
 */
import { formatBase64, parseBase64 } from './base64.ts'
import { VALUE_DEPTH } from './shared-limits.ts'

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/** What a row may hold. A property that is `undefined` is missing, which differs from null. */
export type Value =
  | null
  | boolean
  | number
  | string
  | bigint
  | Date
  | Uint8Array
  | readonly Value[]
  | { readonly [key: string]: Value | undefined }

/** A value without a wire form, or JSON that is not the wire form of a value. */
export class WireError extends Error {
  override readonly name = 'WireError'
  /** Where in the value: `.tags[3]["odd key"]`, and '' for the value itself. */
  readonly path: string

  constructor(path: string, reason: string) {
    super(path === '' ? reason : `${path}: ${reason}`)
    this.path = path
  }
}

/** Deeper nesting than any row may have (the database itself refuses it): guards the stack. */
const DEPTH_MAX = 2 * VALUE_DEPTH

const INTEGER = /^(?:0|-?[1-9][0-9]*)$/
const NUMBER = /-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const LONG_INTEGER = /^-?[0-9]{16,}$/
/** Digits from which on a double may be another number. */
const LONG = 16
const LONG_DIGITS = /[0-9]{16}/
const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/

/** The way from the root to a container; a path is only spelled out when it is needed. */
interface Trail {
  readonly parent: Trail | undefined
  readonly key: string | number
  readonly depth: number
}

type Members = Readonly<Record<string, unknown>>

/**
 * The wire form of `value`, ready for JSON.stringify.
 * Throws WireError for NaN, infinities, invalid dates, `undefined` that is not a property,
 * functions, symbols, objects of any other class, and nesting deeper than 128.
 */
export function toWire(value: Value): JsonValue {
  return encode(value, undefined, '')
}

/**
 * The value that `json` is the wire form of. `json` is what JSON.parse returned.
 * Throws WireError for a malformed or unknown form, and for nesting deeper than 128.
 */
export function fromWire(json: JsonValue): Value {
  return decode(json, undefined, '')
}

/** JSON text of the wire form, on one line. Throws WireError as `toWire` does. */
export function stringifyWire(value: Value): string {
  return JSON.stringify(toWire(value))
}

/**
 * Reads JSON text in wire form. Throws WireError as `fromWire` does, for text that is not JSON, and
 * for a whole number whose digits a double would change: JSON.parse does that silently.
 */
export function parseWire(text: string): Value {
  let json: JsonValue
  try {
    json = JSON.parse(text) as JsonValue
  } catch (error) {
    throw new WireError('', `not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (mayHaveLongInteger(text)) {
    const digits = inexactInteger(text)
    if (digits !== undefined) {
      throw new WireError('', `${digits} is not exact as a number: write {"$bigint":"${digits}"}`)
    }
  }
  return decode(json, undefined, '')
}

/** The Date that `toISOString` writes as `text`; undefined for any other text. */
export function parseIsoDate(text: string): Date | undefined {
  const year = digits(text, 0, 4)
  if (text.length !== 24 || !(year >= 100)) {
    // Years that have a sign, or that Date.UTC takes for others: rare, and slower to check.
    const date = new Date(text)
    return Number.isNaN(date.getTime()) || date.toISOString() !== text ? undefined : date
  }
  const isShaped =
    text[4] === '-' && text[7] === '-' && text[10] === 'T' && text[13] === ':' && text[16] === ':'
  const month = digits(text, 5, 7)
  const day = digits(text, 8, 10)
  const [hour, minute] = [digits(text, 11, 13), digits(text, 14, 16)]
  const [second, millisecond] = [digits(text, 17, 19), digits(text, 20, 23)]
  const isInRange = month >= 1 && month <= 12 && hour <= 23 && minute <= 59 && second <= 59
  if (!isShaped || !isInRange || text[19] !== '.' || text[23] !== 'Z') return undefined
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second, millisecond))
  return date.getUTCDate() === day ? date : undefined
}

/** Sets an own property, also one named `__proto__`. */
export function setOwn<T>(target: Record<string, T>, key: string, value: NoInfer<T>): void {
  if (key === '__proto__') {
    const descriptor = { value, writable: true, enumerable: true, configurable: true }
    Object.defineProperty(target, key, descriptor)
  } else {
    target[key] = value
  }
}

function encode(value: unknown, parent: Trail | undefined, key: string | number): JsonValue {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      if (!Number.isFinite(value)) throw fail(parent, key, `${value} has no JSON form`)
      return value === 0 ? 0 : value
    case 'bigint':
      return { $bigint: value.toString() }
    case 'object':
      if (value === null) return null
      if (Array.isArray(value)) return encodeArray(value, enter(parent, key))
      if (value instanceof Date) return encodeDate(value, parent, key)
      if (value instanceof Uint8Array) return { $bytes: formatBase64(value) }
      if (!isPlain(value)) throw fail(parent, key, `${className(value)} has no JSON form`)
      return encodeObject(value as Members, enter(parent, key))
    case 'undefined':
      throw fail(parent, key, 'undefined has no JSON form; leave the property out, or use null')
    default:
      throw fail(parent, key, `a ${typeof value} has no JSON form`)
  }
}

function encodeDate(value: Date, parent: Trail | undefined, key: string | number): JsonValue {
  if (Number.isNaN(value.getTime())) throw fail(parent, key, 'an invalid Date has no JSON form')
  return { $date: value.toISOString() }
}

function encodeArray(array: readonly unknown[], trail: Trail): JsonValue {
  let copy: JsonValue[] | undefined
  for (let i = 0; i < array.length; i++) {
    const item = array[i]
    const encoded = encode(item, trail, i)
    if (copy === undefined && !Object.is(encoded, item)) {
      copy = array.slice(0, i) as JsonValue[]
    }
    copy?.push(encoded)
  }
  return copy ?? (array as readonly JsonValue[])
}

function encodeObject(object: Members, trail: Trail): JsonValue {
  const keys = Object.keys(object)
  let copy: Record<string, JsonValue> | undefined
  let count = 0
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string
    const item = object[key]
    if (item === undefined) {
      copy ??= copyOf(object, keys, i)
      continue
    }
    count++
    const encoded = encode(item, trail, key)
    if (copy === undefined && !Object.is(encoded, item)) copy = copyOf(object, keys, i)
    if (copy !== undefined) setOwn(copy, key, encoded)
  }
  const result = copy ?? (object as { readonly [key: string]: JsonValue })
  if (count !== 1) return result
  return Object.keys(result)[0]?.startsWith('$') === true ? { $object: result } : result
}

function decode(json: unknown, parent: Trail | undefined, key: string | number): Value {
  if (typeof json === 'number') {
    if (!Number.isFinite(json)) throw fail(parent, key, 'the number is too large')
    return json === 0 ? 0 : json
  }
  if (typeof json !== 'object' || json === null) return json as Value
  const trail = enter(parent, key)
  if (Array.isArray(json)) return decodeArray(json, trail)
  const object = json as Members
  const keys = Object.keys(object)
  const [form] = keys
  if (keys.length === 1 && form?.startsWith('$') === true) {
    return decodeForm(form, object[form], parent, key)
  }
  return decodeMembers(object, keys, trail)
}

function decodeArray(array: readonly unknown[], trail: Trail): Value {
  let copy: Value[] | undefined
  for (let i = 0; i < array.length; i++) {
    const item = array[i]
    const decoded = decode(item, trail, i)
    if (copy === undefined && !Object.is(decoded, item)) copy = array.slice(0, i) as Value[]
    copy?.push(decoded)
  }
  return copy ?? (array as readonly Value[])
}

function decodeMembers(object: Members, keys: readonly string[], trail: Trail): Value {
  let copy: Record<string, Value> | undefined
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string
    const item = object[key]
    const decoded = decode(item, trail, key)
    if (copy === undefined && !Object.is(decoded, item)) copy = copyOf(object, keys, i)
    if (copy !== undefined) setOwn(copy, key, decoded)
  }
  return copy ?? (object as { readonly [key: string]: Value })
}

/** The number that the decimal digits in text[from, to) say, NaN when others are among them. */
function digits(text: string, from: number, to: number): number {
  let number = 0
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 0x30
    if (!(digit >= 0 && digit <= 9)) return Number.NaN
    number = number * 10 + digit
  }
  return number
}

function decodeForm(
  form: string,
  content: unknown,
  parent: Trail | undefined,
  key: string | number,
): Value {
  switch (form) {
    case '$bigint':
      if (typeof content === 'string' && INTEGER.test(content)) return BigInt(content)
      throw fail(parent, key, '$bigint takes a string of decimal digits, like {"$bigint":"-12"}')
    case '$date': {
      const date = typeof content === 'string' ? parseIsoDate(content) : undefined
      if (date !== undefined) return date
      const example = '{"$date":"2001-01-01T00:00:00.000Z"}'
      throw fail(parent, key, `$date takes a UTC time with milliseconds, like ${example}`)
    }
    case '$bytes': {
      const bytes = typeof content === 'string' ? parseBase64(content) : undefined
      if (bytes !== undefined) return bytes
      throw fail(parent, key, '$bytes takes base64 with padding, like {"$bytes":"AAEC"}')
    }
    case '$object':
      if (typeof content === 'object' && content !== null && !Array.isArray(content)) {
        const members = content as Members
        return decodeMembers(members, Object.keys(members), enter(parent, key))
      }
      throw fail(parent, key, '$object takes an object')
    default: {
      const plain = JSON.stringify({ $object: { [form]: '…' } })
      throw fail(parent, key, `unknown form ${form}; a plain object with this one key is ${plain}`)
    }
  }
}

/** Of 16 digits in a row one lies at each 16th place: most texts have none there. */
function mayHaveLongInteger(text: string): boolean {
  for (let i = LONG - 1; i < text.length; i += LONG) {
    const code = text.charCodeAt(i)
    if (code >= 0x30 && code <= 0x39) return LONG_DIGITS.test(text)
  }
  return false
}

/** The first whole number outside strings whose digits a double would change. */
function inexactInteger(json: string): string | undefined {
  let inString = false
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (inString) {
      if (code === 0x5c) i++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) {
      inString = true
    } else if (code === 0x2d || (code >= 0x30 && code <= 0x39)) {
      NUMBER.lastIndex = i
      const literal = NUMBER.exec(json)?.[0] ?? ''
      if (LONG_INTEGER.test(literal) && !survivesDouble(literal)) return literal
      i += Math.max(literal.length, 1) - 1
    }
  }
  return undefined
}

/**
 * Whether a whole number, given as decimal digits, is exact as a double, or is what a double prints
 * as: the shortest digits that lead back to it need not be its exact value. What is beyond every
 * double passes; its Number is infinite.
 */
export function survivesDouble(digits: string): boolean {
  const number = Number(digits)
  if (!Number.isFinite(number) || String(number) === digits) return true
  return BigInt(number) === BigInt(digits)
}

function copyOf<T>(object: Members, keys: readonly string[], count: number): Record<string, T> {
  const copy: Record<string, T> = {}
  for (let i = 0; i < count; i++) {
    const key = keys[i] as string
    const item = object[key]
    if (item !== undefined) setOwn(copy, key, item as T)
  }
  return copy
}

/** Also an object of another realm: its prototype is the root of that realm. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return true
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, 'toString')
}

function className(value: object): string {
  const constructor: unknown = (value as Members)['constructor']
  return typeof constructor === 'function' ? `an object of class ${constructor.name}` : 'the object'
}

function enter(parent: Trail | undefined, key: string | number): Trail {
  const depth = parent === undefined ? 1 : parent.depth + 1
  if (depth > DEPTH_MAX) throw fail(parent, key, `nested deeper than ${DEPTH_MAX}`)
  return { parent, key, depth }
}

function fail(parent: Trail | undefined, key: string | number, reason: string): WireError {
  return new WireError(parent === undefined ? '' : pathOf(parent) + step(key), reason)
}

/** The root is the trail without a parent; its key says nothing. */
function pathOf(trail: Trail): string {
  return trail.parent === undefined ? '' : pathOf(trail.parent) + step(trail.key)
}

function step(key: string | number): string {
  if (typeof key === 'number') return `[${key}]`
  return IDENTIFIER.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
}
