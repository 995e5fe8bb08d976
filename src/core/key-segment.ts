/**
 * A key as one segment of a URL's path: a string as it is, percent-encoded; every other key as `~`
 * and its wire form. So does a string that begins with `~`, is empty, or consists of dots, which URL
 * parsers would take for a way up.
 */
import type { Key } from './key-codec.ts'
import { parseWire, stringifyWire, WireError, type Value } from './wire.ts'

const TAKEN_APART = /^(?:~|\.{1,2}$|$)/

/** Percent-encoded. */
export function keySegment(key: Key): string {
  const isPlain = typeof key === 'string' && !TAKEN_APART.test(key)
  return encodeURIComponent(isPlain ? key : `~${stringifyWire(key)}`)
}

/** The key of a segment that is percent-decoded already. Throws WireError for what is none. */
export function parseKeySegment(segment: string): Key {
  if (!segment.startsWith('~')) return segment
  const key = parseWire(segment.slice(1))
  if (key === null || typeof key === 'boolean' || isPlainObject(key)) {
    throw new WireError('', 'not a key: a key is a string, number, bigint, date, bytes or an array')
  }
  return key as Key
}

function isPlainObject(value: Value): boolean {
  return (
    typeof value === 'object' &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !(value instanceof Uint8Array)
  )
}
