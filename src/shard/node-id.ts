/**
 * Which node this is, for ever: minted at its first start and kept in its store. Not log-wide state:
 * every other record of two stores that applied the same entries is alike, this one never.
 */
import { ByteReader, ByteWriter, copied, copyBytes, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32 } from '../core/hash.ts'
import type { StoreBatch, StoreReader } from '../store/store.ts'
import { metaKey } from './layout.ts'

export const NODE_KEY: Bytes = metaKey('node')
export const NODE_ID_BYTES = 16

/** The id, or undefined when this store has none yet. Throws `StoreCorrupt`. */
export function readNodeId(store: StoreReader): Bytes | undefined {
  const record = copied(store.get(NODE_KEY))
  if (record === undefined) return undefined
  if (
    record.length !== 4 + NODE_ID_BYTES ||
    new ByteReader(record).u32() !== crc32(record, 4, record.length, crc32(NODE_KEY))
  ) {
    throw new HoldfastError('StoreCorrupt', 'the record that says which node this is is damaged')
  }
  return copyBytes(record.subarray(4))
}

export function putNodeId(batch: StoreBatch, id: Bytes): void {
  const writer = new ByteWriter(4 + NODE_ID_BYTES)
  writer.u32(0)
  writer.bytes(id)
  writer.buffer.writeUInt32LE(crc32(writer.buffer, 4, writer.length, crc32(NODE_KEY)), 0)
  batch.put(NODE_KEY, writer.finish())
}
