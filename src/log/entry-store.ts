/**
 * Raw entries in a store: every node keeps them (S7), feeds and restores read them (S12), and the
 * local log has no other copy (S14). An entry lies in chunks that fit inside a page, one after
 * another: LMDB then appends, and needs no run of free pages.
 */
import { assert } from '../core/assert.ts'
import { concatBytes, copyBytes, type Bytes } from '../core/bytes.ts'
import type { Store, StoreBatch, StoreReader } from '../store/store.ts'
import type { Position } from './log.ts'

/** First byte of every key of raw entries. */
export const ENTRY_SPACE = 0x02
/** Bytes of a chunk: two of them share a 4 KiB page with their headers. */
const CHUNK_BYTES = 1968
const KEY_BYTES = 11

export function entryKey(position: Position, chunk: number): Bytes {
  const key = Buffer.allocUnsafe(KEY_BYTES)
  key[0] = ENTRY_SPACE
  key.writeUIntBE(0, 1, 2)
  key.writeUIntBE(position, 3, 6)
  key.writeUInt16BE(chunk, 9)
  return key
}

/** Adds the entry to `batch`; `frame` must not change until the batch settles. */
export function putEntry(batch: StoreBatch, position: Position, frame: Bytes): void {
  // A stray message may be empty: it has its place as any other.
  const chunks = Math.max(1, Math.ceil(frame.length / CHUNK_BYTES))
  const keys = Buffer.allocUnsafe(KEY_BYTES * chunks)
  for (let chunk = 0; chunk < chunks; chunk++) {
    const at = KEY_BYTES * chunk
    keys[at] = ENTRY_SPACE
    keys.writeUIntBE(0, at + 1, 2)
    keys.writeUIntBE(position, at + 3, 6)
    keys.writeUInt16BE(chunk, at + 9)
    const start = chunk * CHUNK_BYTES
    batch.put(keys.subarray(at, at + KEY_BYTES), frame.subarray(start, start + CHUNK_BYTES))
  }
}

/** The frame at `position`, its own memory, or undefined when it is trimmed or was never there. */
export function readEntry(store: StoreReader, position: Position): Bytes | undefined {
  const chunks: Bytes[] = []
  const range = { gte: entryKey(position, 0), lt: entryKey(position + 1, 0) }
  store.scan(range, (_key, value) => {
    chunks.push(copyBytes(value))
  })
  if (chunks.length === 0) return undefined
  return chunks.length === 1 ? chunks[0] : concatBytes(...chunks)
}

/** The position of the oldest (or newest) raw entry, 0 when there is none. */
export function edgeEntry(store: StoreReader, edge: 'oldest' | 'newest'): Position {
  let position = 0
  const range = {
    gte: entryKey(0, 0),
    lt: Uint8Array.of(ENTRY_SPACE + 1),
    limit: 1,
    reverse: edge === 'newest',
  }
  store.scan(range, (key) => {
    position = Buffer.from(key).readUIntBE(3, 6)
  })
  return position
}

/**
 * Adds the removal of at most `limit` chunks of entries below `below` to `batch`. Returns whether
 * any is left.
 */
export function trimEntries(
  store: Store,
  batch: StoreBatch,
  below: Position,
  limit: number,
): boolean {
  assert(limit > 0, 'a trim removes something')
  const range = { gte: entryKey(0, 0), lt: entryKey(below, 0), limit: limit + 1 }
  let seen = 0
  store.scan(range, (key) => {
    if (seen++ < limit) batch.remove(copyBytes(key))
  })
  return seen > limit
}
