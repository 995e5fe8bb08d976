/**
 * The seal of a folder (S7, S15): its promise to apply nothing more of the log that it has. Only a log
 * that goes on with that one opens it again. Kept in its store, durable before anybody acts on it.
 */
import { ByteReader, ByteWriter, copied, copyBytes, equalBytes, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32, DIGEST_BYTES } from '../core/hash.ts'
import type { StoreBatch, StoreReader } from '../store/store.ts'
import { metaKey } from './layout.ts'

export interface Seal {
  /** Why: the folder goes to a cluster, or a cluster's log is founded anew. */
  readonly kind: 'adopt' | 'refound'
  /** The log that nothing more is applied of. */
  readonly identity: Bytes
  /** The identity that the next log is given, if this folder's genesis is the first in it. */
  readonly next: Bytes
  /** The database of the cluster. */
  readonly database: string
}

export const SEAL_KEY: Bytes = metaKey('seal')
const KINDS: readonly Seal['kind'][] = ['adopt', 'refound']

/** The seal of this store on the log with that identity; undefined when there is none. */
export function readSeal(store: StoreReader, identity: Bytes): Seal | undefined {
  const record = copied(store.get(SEAL_KEY))
  if (record === undefined) return undefined
  const reader = new ByteReader(record)
  if (record.length < 4 || reader.u32() !== crc32(record, 4)) {
    throw new HoldfastError('StoreCorrupt', 'the record that seals this folder is damaged')
  }
  const kind = KINDS[reader.u8()] ?? 'refound'
  const sealed = copyBytes(reader.view(DIGEST_BYTES))
  const next = copyBytes(reader.view(DIGEST_BYTES))
  const database = Buffer.from(reader.blob()).toString('utf8')
  // What it promised was kept once the folder has another log.
  return equalBytes(sealed, identity) ? { kind, identity: sealed, next, database } : undefined
}

export function putSeal(batch: StoreBatch, seal: Seal): void {
  const writer = new ByteWriter()
  writer.u32(0)
  writer.u8(KINDS.indexOf(seal.kind))
  writer.bytes(seal.identity)
  writer.bytes(seal.next)
  writer.blob(Buffer.from(seal.database, 'utf8'))
  writer.buffer.writeUInt32LE(crc32(writer.buffer, 4, writer.length), 0)
  batch.put(SEAL_KEY, writer.finish())
}

export function removeSeal(batch: StoreBatch): void {
  batch.remove(SEAL_KEY)
}
