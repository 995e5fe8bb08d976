/**
 * What is stored under a blob's name, once all its bytes are: a message of its own.
 *
 *   magic u32 'HFB1' | format u8 | id 12 | bytes varint | digest 16 | chunks varint
 *   | the place of each chunk, varint | crc u32 of all else
 */
import { ByteReader, ByteWriter, copyBytes, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32, DIGEST_BYTES } from '../core/hash.ts'

export interface BlobRecord {
  /** Names the blob's chunks among those of other puts, of the same name too. */
  readonly id: Bytes
  readonly bytes: number
  readonly digest: Bytes
  /** Where its chunks are in the stream, in the order of its bytes. */
  readonly places: readonly number[]
}

export const BLOB_ID_BYTES = 12
/** Chunks of one blob at the most: a record fits one message of 1 MiB. */
export const BLOB_CHUNKS_MAX = 150_000
const MAGIC = 0x31424648
const FORMAT = 1
const CRC_BYTES = 4

export function encodeRecord({ id, bytes, digest, places }: BlobRecord): Bytes {
  const writer = new ByteWriter()
  writer.u32(MAGIC)
  writer.u8(FORMAT)
  writer.bytes(id)
  writer.varint(bytes)
  writer.bytes(digest)
  writer.varint(places.length)
  for (const place of places) writer.varint(place)
  writer.u32(crc32(writer.buffer, 0, writer.length))
  return writer.finish()
}

/** Throws `StoreCorrupt` for what is no record, and `NewerFormat`. */
export function decodeRecord(name: string, encoded: Bytes): BlobRecord {
  const end = encoded.length - CRC_BYTES
  const sound = end > 0 && new ByteReader(encoded, end).u32() === crc32(encoded, 0, end)
  if (!sound) throw damaged(name, 'what is stored under its name is damaged')
  const reader = new ByteReader(encoded, 0, end)
  if (reader.u32() !== MAGIC) throw damaged(name, 'what is stored under its name is no record')
  const format = reader.u8()
  if (format !== FORMAT) {
    throw new HoldfastError('NewerFormat', `blob '${name}' is of format ${format}, not ${FORMAT}`)
  }
  const id = copyBytes(reader.view(BLOB_ID_BYTES))
  const bytes = reader.varint()
  const digest = copyBytes(reader.view(DIGEST_BYTES))
  const places = Array.from({ length: reader.varint() }, () => reader.varint())
  return { id, bytes, digest, places }
}

export function damaged(name: string, reason: string): HoldfastError {
  return new HoldfastError('StoreCorrupt', `blob '${name}' is not what was put: ${reason}`, {
    details: { name },
  })
}
