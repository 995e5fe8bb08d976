/**
 * Keys as bytes whose unsigned order is the documented order of keys:
 *
 *   numbers < bigints < dates < strings < bytes < tuples
 *
 * each by its own order: numbers and dates numerically, bigints numerically, strings by code point,
 * bytes lexicographically, tuples element by element (a prefix first). No encoding is a prefix of
 * another one, so encodings can be concatenated and keep their order.
 *
 *   number  10  8 bytes, IEEE 754 big-endian, sign-flipped       -1.5  -> 10 40 07 ff ff ff ff ff ff
 *   bigint  18  length byte (80+n, or 7f-n if negative), n bytes   10n -> 18 81 0a
 *   date    20  as number, milliseconds since 1970
 *   string  30  UTF-8, 00 as 01 01 and 01 as 01 02, ended by 00   'ab' -> 30 61 62 00
 *   bytes   38  as string
 *   tuple   40  elements, ended by 00                            ['a'] -> 40 30 61 00 00
 *
 * The 00 that ends a string is nowhere inside one: were it, as in encodings that write 00 as 00 ff,
 * then 'a' would be a prefix of 'a\0', and a range of all that starts with 'a' would hold both.
 */
import { isUtf8 } from 'node:buffer'
import { assert } from './assert.ts'
import type { Bytes } from './bytes.ts'
import { HoldfastError, isHoldfastError } from './errors.ts'
import { LIMITS } from './limits.ts'

/** What a key, or an element of one, may be. Numbers are finite, dates valid, strings well-formed. */
export type KeyPart = string | number | bigint | Date | Uint8Array
export type Key = KeyPart | readonly Key[]

const NUMBER = 0x10
const BIGINT = 0x18
const DATE = 0x20
const STRING = 0x30
const BYTES = 0x38
const TUPLE = 0x40
const END = 0x00
const ESCAPE = 0x01
const BIGINT_BYTES_MAX = 126
/** Nesting of tuples. */
const DEPTH_MAX = 8

/** A writer checks its room once a string, so it may run to twice the limit before it is refused. */
const scratch = Buffer.allocUnsafeSlow(4 * LIMITS.keyBytes)
assert(scratch.length >= 2 * LIMITS.storeKeyBytes + 16, 'the scratch holds what is refused later')
const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)

/**
 * Encodes `key`. Throws `InvalidKey` for what is no key, `KeyTooLarge` past `maxBytes` (default:
 * the limit of a primary key).
 */
export function encodeKey(key: Key, maxBytes: number = LIMITS.keyBytes): Bytes {
  assert(maxBytes <= LIMITS.storeKeyBytes, 'a key is at most a store key')
  const end = writeKey(key, scratch, 0, maxBytes, 0)
  const out = Buffer.allocUnsafe(end)
  for (let i = 0; i < end; i++) out[i] = scratch[i] as number
  return out
}

/** Bytes that `encodeKeyInto` may touch behind `at`, whatever the key. */
export const KEY_ROOM: number = 2 * LIMITS.storeKeyBytes + 16

/** Encodes `key` into `out` from `at` on, which has `KEY_ROOM` there; returns where it ends. */
export function encodeKeyInto(out: Buffer, at: number, key: Key): number {
  try {
    return writeKey(key, out, at, at + LIMITS.keyBytes, 0)
  } catch (cause) {
    // Its figure is where the room ends in `out`.
    throw isHoldfastError(cause, 'KeyTooLarge') ? tooLarge(LIMITS.keyBytes) : cause
  }
}

/** Decodes one key. Throws `RangeError` on bytes that no key has: the caller names the damage. */
export function decodeKey(bytes: Bytes, start = 0, end: number = bytes.length): Key {
  const reader = { bytes, at: start, end }
  const key = readKey(reader, 0)
  if (reader.at !== end) throw new RangeError('bytes after a key')
  return key
}

/** Where the key that starts at `start` ends. */
export function keyEnd(bytes: Bytes, start: number, end: number = bytes.length): number {
  const reader = { bytes, at: start, end }
  readKey(reader, 0)
  return reader.at
}

/** Decodes the keys that lie one after another in bytes[start, end). */
export function decodeKeys(bytes: Bytes, start: number, end: number): Key[] {
  const reader = { bytes, at: start, end }
  const keys: Key[] = []
  while (reader.at < end) keys.push(readKey(reader, 0))
  return keys
}

/** The documented order of keys: <0, 0 or >0. */
export function compareKeys(a: Key, b: Key): number {
  return Buffer.compare(encodeKey(a, LIMITS.storeKeyBytes), encodeKey(b, LIMITS.storeKeyBytes))
}

/** The start of every tuple key that begins with `parts`; its `afterPrefix` is the end. */
export function encodeTuplePrefix(parts: readonly Key[]): Bytes {
  scratch[0] = TUPLE
  let at = 1
  for (const part of parts) at = writeKey(part, scratch, at, LIMITS.keyBytes, 1)
  return Uint8Array.prototype.slice.call(scratch.subarray(0, at)) as Bytes
}

/** The start of every string key that begins with `text`. */
export function encodeStringPrefix(text: string): Bytes {
  const end = writeKey(text, scratch, 0, LIMITS.keyBytes, 0)
  return Uint8Array.prototype.slice.call(scratch.subarray(0, end - 1)) as Bytes
}

function writeKey(key: Key, out: Buffer, start: number, max: number, depth: number): number {
  switch (typeof key) {
    case 'string':
      return writeString(key, out, start, max)
    case 'number':
      if (!Number.isFinite(key)) throw invalid(`${key} is not a finite number`)
      return writeNumber(NUMBER, key, out, start, max)
    case 'bigint':
      return writeBigint(key, out, start, max)
    case 'object':
      return writeObject(key, out, start, max, depth)
    default:
      throw invalid(`a value of type ${typeof key} is not a key`)
  }
}

function writeObject(
  key: Date | Uint8Array | readonly Key[],
  out: Buffer,
  start: number,
  max: number,
  depth: number,
): number {
  if (key === null) throw invalid('null is not a key')
  if (key instanceof Date) {
    const time = key.getTime()
    if (Number.isNaN(time)) throw invalid('an invalid Date is not a key')
    return writeNumber(DATE, time, out, start, max)
  }
  if (key instanceof Uint8Array) {
    room(start, key.length + 2, max)
    out[start] = BYTES
    let at = start + 1
    for (const byte of key) {
      if (byte <= ESCAPE) at = writeEscaped(byte, out, at, max)
      else out[at++] = byte
    }
    room(at, 1, max)
    out[at++] = END
    return at
  }
  if (!Array.isArray(key)) throw invalid('an object is not a key')
  if (depth >= DEPTH_MAX) throw invalid(`tuples nest at most ${DEPTH_MAX} deep`)
  room(start, 2, max)
  out[start] = TUPLE
  let at = start + 1
  for (const part of key as readonly Key[]) at = writeKey(part, out, at, max, depth + 1)
  room(at, 1, max)
  out[at++] = END
  return at
}

function writeString(text: string, out: Buffer, start: number, max: number): number {
  room(start, text.length + 2, max)
  out[start] = STRING
  let at = start + 1
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x80) return writeUnicode(text, i, out, at, max)
    if (code <= ESCAPE) at = writeEscaped(code, out, at, max)
    else out[at++] = code
  }
  room(at, 1, max)
  out[at++] = END
  return at
}

function writeUnicode(text: string, from: number, out: Buffer, start: number, max: number): number {
  if (!text.isWellFormed()) throw invalid('a string with a lone surrogate is not a key')
  let at = start
  for (const byte of Buffer.from(from === 0 ? text : text.slice(from), 'utf8')) {
    room(at, 2, max)
    if (byte <= ESCAPE) at = writeEscaped(byte, out, at, max)
    else out[at++] = byte
  }
  room(at, 1, max)
  out[at++] = END
  return at
}

function writeEscaped(byte: number, out: Buffer, at: number, max: number): number {
  room(at, 3, max)
  out[at] = ESCAPE
  out[at + 1] = byte + 1
  return at + 2
}

function writeNumber(tag: number, value: number, out: Buffer, start: number, max: number): number {
  room(start, 9, max)
  out[start] = tag
  float[0] = value === 0 ? 0 : value
  // The array has the machine's byte order; every machine Node runs on here is little-endian.
  const flip = (floatBytes[7] as number) & 0x80 ? 0xff : 0
  out[start + 1] = (floatBytes[7] as number) ^ (flip || 0x80)
  for (let i = 1; i < 8; i++) out[start + 1 + i] = (floatBytes[7 - i] as number) ^ flip
  return start + 9
}

function writeBigint(value: bigint, out: Buffer, start: number, max: number): number {
  const negative = value < 0n
  let digits = (negative ? -value : value).toString(16)
  if (digits.length % 2 === 1) digits = `0${digits}`
  const length = value === 0n ? 0 : digits.length / 2
  if (length > BIGINT_BYTES_MAX) throw invalid(`a bigint key has at most ${BIGINT_BYTES_MAX} bytes`)
  room(start, 2 + length, max)
  out[start] = BIGINT
  out[start + 1] = negative ? 0x7f - length : 0x80 + length
  for (let i = 0; i < length; i++) {
    const byte = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16)
    out[start + 2 + i] = negative ? 0xff - byte : byte
  }
  return start + 2 + length
}

interface Cursor {
  readonly bytes: Bytes
  at: number
  readonly end: number
}

function readKey(cursor: Cursor, depth: number): Key {
  const tag = next(cursor)
  switch (tag) {
    case NUMBER:
      return readNumber(cursor)
    case DATE:
      return readDate(cursor)
    case BIGINT:
      return readBigint(cursor)
    case STRING:
      return readString(cursor)
    case BYTES:
      return new Uint8Array(readEscaped(cursor))
    case TUPLE: {
      if (depth >= DEPTH_MAX) throw new RangeError('a tuple nests too deep')
      const parts: Key[] = []
      while (peek(cursor) !== END) parts.push(readKey(cursor, depth + 1))
      cursor.at++
      return parts
    }
    default:
      throw new RangeError(`no key starts with byte ${tag}`)
  }
}

function readNumber(cursor: Cursor): number {
  if (cursor.at + 8 > cursor.end) throw new RangeError('a number key is cut short')
  const first = cursor.bytes[cursor.at] as number
  const flip = first & 0x80 ? 0 : 0xff
  floatBytes[7] = first ^ (flip || 0x80)
  for (let i = 1; i < 8; i++) floatBytes[7 - i] = (cursor.bytes[cursor.at + i] as number) ^ flip
  cursor.at += 8
  const value = float[0] as number
  if (!Number.isFinite(value) || Object.is(value, -0)) throw new RangeError('no number key')
  return value
}

function readDate(cursor: Cursor): Date {
  const time = readNumber(cursor)
  const date = new Date(time)
  if (date.getTime() !== time) throw new RangeError('no date key')
  return date
}

function readBigint(cursor: Cursor): bigint {
  const header = next(cursor)
  const negative = header < 0x80
  const length = negative ? 0x7f - header : header - 0x80
  let digits = ''
  for (let i = 0; i < length; i++) {
    const byte = next(cursor)
    digits += (negative ? 0xff - byte : byte).toString(16).padStart(2, '0')
  }
  if (header === 0x7f || length > BIGINT_BYTES_MAX || digits.startsWith('00')) {
    throw new RangeError('no bigint key')
  }
  const value = length === 0 ? 0n : BigInt(`0x${digits}`)
  return negative ? -value : value
}

function readString(cursor: Cursor): string {
  const raw = readEscaped(cursor)
  const text = raw.toString('utf8')
  // Only what decodes to the replacement character can be malformed.
  if (text.includes('\ufffd') && !isUtf8(raw)) throw new RangeError('a string key is no UTF-8')
  return text
}

function readEscaped(cursor: Cursor): Buffer {
  const { bytes, end } = cursor
  const start = cursor.at
  let at = start
  let escapes = 0
  for (; at < end && bytes[at] !== END; at++) if (bytes[at] === ESCAPE) escapes++
  if (at >= end) throw new RangeError('a key is cut short')
  cursor.at = at + 1
  const raw = Buffer.from(bytes.buffer, bytes.byteOffset + start, at - start)
  if (escapes === 0) return raw
  const out = Buffer.allocUnsafe(raw.length)
  let length = 0
  for (let i = 0; i < raw.length; i++) {
    let byte = raw[i] as number
    if (byte === ESCAPE) {
      byte = (raw[++i] ?? 0) - 1
      if (byte !== 0 && byte !== 1) throw new RangeError('a key has an escape that none has')
    }
    out[length++] = byte
  }
  return out.subarray(0, length)
}

function peek(cursor: Cursor): number {
  if (cursor.at >= cursor.end) throw new RangeError('a key is cut short')
  return cursor.bytes[cursor.at] as number
}

function next(cursor: Cursor): number {
  if (cursor.at >= cursor.end) throw new RangeError('a key is cut short')
  return cursor.bytes[cursor.at++] as number
}

function room(at: number, count: number, max: number): void {
  if (at + count > max) throw tooLarge(max)
}

function tooLarge(limitBytes: number): HoldfastError {
  const message = `a key has more than ${limitBytes} bytes when encoded`
  return new HoldfastError('KeyTooLarge', message, { details: { limitBytes } })
}

function invalid(reason: string): HoldfastError {
  return new HoldfastError('InvalidKey', `not a key: ${reason}`)
}
