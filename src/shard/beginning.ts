/**
 * Where the entries and records in this store begin, if that is later than the log-wide trim says: a
 * node that began with a snapshot of another has none from before it. As the node's id, it is this
 * store's own, and no log-wide state.
 */
import { ByteReader, ByteWriter, copied, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32 } from '../core/hash.ts'
import type { Position } from '../log/log.ts'
import type { StoreBatch, StoreReader } from '../store/store.ts'
import { metaKey } from './layout.ts'

export const BEGINNING_KEY: Bytes = metaKey('beginning')

/** 0 for a store that has all that the log-wide trim leaves. Throws `StoreCorrupt`. */
export function readBeginning(store: StoreReader): Position {
  const record = copied(store.get(BEGINNING_KEY))
  if (record === undefined) return 0
  const reader = new ByteReader(record)
  if (reader.u32() === crc32(record, 4, record.length, crc32(BEGINNING_KEY))) return reader.varint()
  throw new HoldfastError('StoreCorrupt', 'the record that says where entries begin is damaged')
}

export function putBeginning(batch: StoreBatch, position: Position): void {
  const writer = new ByteWriter(16)
  writer.u32(0)
  writer.varint(position)
  writer.buffer.writeUInt32LE(crc32(writer.buffer, 4, writer.length, crc32(BEGINNING_KEY)), 0)
  batch.put(BEGINNING_KEY, writer.finish())
}
