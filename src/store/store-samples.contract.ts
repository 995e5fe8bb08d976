/** What the suites of stores share: bytes to write, and stores read as text. */
import { compareBytes, hex, type Bytes } from '../core/bytes.ts'
import { crc32 } from '../core/hash.ts'
import { StoreBatch, type RangeOptions, type StoreReader } from './store.ts'

/** `text` as bytes, one a character. */
export const bytesOf = (text: string): Bytes => new Uint8Array(Buffer.from(text, 'latin1'))

/** Bytes that tell their length and salt. */
export function filled(length: number, salt = 0): Bytes {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = i * 31 + salt
  return bytes
}

export function batchOf(pairs: Iterable<readonly [Bytes, Bytes | undefined]>): StoreBatch {
  const batch = new StoreBatch()
  for (const [key, value] of pairs) {
    if (value === undefined) batch.remove(key)
    else batch.put(key, value)
  }
  return batch
}

/** Bytes as text: comparing megabytes element by element would take vitest minutes. */
export const show = (bytes: Bytes | undefined): string =>
  bytes === undefined
    ? 'none'
    : bytes.length <= 16
      ? hex(bytes)
      : `${hex(bytes.subarray(0, 16))}.. ${bytes.length} bytes, crc ${crc32(bytes)}`

/** A range, as lines of key and value. */
export function collect(reader: StoreReader, range: RangeOptions = {}): string[] {
  const lines: string[] = []
  reader.scan(range, (key, value) => {
    lines.push(`${hex(key)}=${show(value)}`)
  })
  return lines
}

export const linesOf = (pairs: Iterable<readonly [Bytes, Bytes]>): string[] =>
  [...pairs].map(([key, value]) => `${hex(key)}=${show(value)}`)

export const keysOf = (reader: StoreReader, range: RangeOptions = {}): string[] => {
  const keys: string[] = []
  reader.scan(range, (key) => {
    keys.push(hex(key))
  })
  return keys
}

export const get = (reader: StoreReader, key: Bytes): string => show(reader.get(key))

/** What a scan gives, written plainly. */
export function rangeOf(
  model: ReadonlyMap<string, Bytes>,
  { gte, lt, reverse, limit }: RangeOptions,
): string[] {
  const pairs = [...model]
    .map(([key, value]): [Bytes, Bytes] => [bytesOf(key), value])
    .filter(([key]) => gte === undefined || compareBytes(key, gte) >= 0)
    .filter(([key]) => lt === undefined || compareBytes(key, lt) < 0)
    .toSorted(([a], [b]) => (reverse === true ? compareBytes(b, a) : compareBytes(a, b)))
  return linesOf(pairs.slice(0, limit ?? pairs.length))
}

export const textOf = (key: Bytes): string => Buffer.from(key).toString('latin1')

/** How many keys there are. */
export const countOf = (reader: StoreReader): number => reader.scan({}, () => undefined)
