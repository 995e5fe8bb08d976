/**
 * Where everything lies in a node's store. The first byte names the space:
 *
 *   01  meta      name -> record                     (state, definitions, format, ...)
 *   02  entries   position, chunk -> raw entry       (log/entry-store.ts)
 *   03  changes   position -> decisions and changes  (change-record.ts)
 *   04  stats     shard, table -> count and digests  (shard-stats.ts)
 *   10  rows      table, key -> row                  (row-codec.ts)
 *   11  index     table, index, value, key -> empty
 *
 * Rows lie in key order, not in shard order: a scan is then one walk, which embedded users do all
 * day, while the walk over one shard, which moving it needs, filters by the shard in the row's
 * header (docs/adr/0004).
 */
import type { Bytes } from '../core/bytes.ts'
import { encodeKeyInto, KEY_ROOM, type Key } from '../core/key-codec.ts'
import type { Position } from '../log/log.ts'

export const META_SPACE = 0x01
export const CHANGE_SPACE = 0x03
export const STATS_SPACE = 0x04
export const ROW_SPACE = 0x10
export const INDEX_SPACE = 0x11

/** Bytes before the key in a row's store key. */
export const ROW_KEY_AT = 5
/** Bytes before the value in an index entry's store key. */
export const INDEX_VALUE_AT = 7

const scratch = Buffer.allocUnsafeSlow(ROW_KEY_AT + KEY_ROOM)
/** Views of the scratch by length: making one costs as much as encoding a key. */
const views: Bytes[] = []

export function metaKey(name: string): Bytes {
  return Buffer.concat([Uint8Array.of(META_SPACE), Buffer.from(name, 'utf8')])
}

export function changeKey(position: Position): Bytes {
  const key = Buffer.allocUnsafe(7)
  key[0] = CHANGE_SPACE
  key.writeUIntBE(position, 1, 6)
  return key
}

export function changePosition(key: Bytes): Position {
  return Buffer.from(key.buffer, key.byteOffset, key.length).readUIntBE(1, 6)
}

export function statsKey(shard: number, table: number): Bytes {
  const key = Buffer.allocUnsafe(6)
  key[0] = STATS_SPACE
  key[1] = shard
  key.writeUInt32BE(table, 2)
  return key
}

export function rowKey(table: number, key: Bytes): Bytes {
  const out = Buffer.allocUnsafe(ROW_KEY_AT + key.length)
  writeTable(out, ROW_SPACE, table)
  out.set(key, ROW_KEY_AT)
  return out
}

/** As `rowKey` over the encoded `key`, in one piece of memory. */
export function encodeRowKey(table: number, key: Key): Bytes {
  const end = encodeKeyInto(scratch, ROW_KEY_AT, key)
  const out = Buffer.allocUnsafe(end)
  writeTable(out, ROW_SPACE, table)
  for (let i = ROW_KEY_AT; i < end; i++) out[i] = scratch[i] as number
  return out
}

/** As `encodeRowKey`, in memory that the next call overwrites: for a look-up, nothing else. */
export function borrowRowKey(table: number, key: Key): Bytes {
  const end = encodeKeyInto(scratch, ROW_KEY_AT, key)
  writeTable(scratch, ROW_SPACE, table)
  return (views[end] ??= scratch.subarray(0, end))
}

export function indexKey(table: number, index: number, value: Bytes, key: Bytes): Bytes {
  const out = Buffer.allocUnsafe(INDEX_VALUE_AT + value.length + key.length)
  writeTable(out, INDEX_SPACE, table)
  out[5] = index >>> 8
  out[6] = index & 0xff
  out.set(value, INDEX_VALUE_AT)
  out.set(key, INDEX_VALUE_AT + value.length)
  return out
}

/** The start of every store key of `table` in `space`, or of one of its indexes. */
export function tablePrefix(space: number, table: number, index?: number): Bytes {
  const out = Buffer.allocUnsafe(index === undefined ? ROW_KEY_AT : INDEX_VALUE_AT)
  writeTable(out, space, table)
  if (index !== undefined) {
    out[5] = index >>> 8
    out[6] = index & 0xff
  }
  return out
}

function writeTable(out: Bytes, space: number, table: number): void {
  out[0] = space
  out[1] = table >>> 24
  out[2] = (table >>> 16) & 0xff
  out[3] = (table >>> 8) & 0xff
  out[4] = table & 0xff
}
