/**
 * A row in the store:
 *
 *   check u32 | position u48 | ordinal u16 | row version u16 | shard u8 | 0 | value
 *
 * `position` and `ordinal` say which op of which entry wrote it. The caller makes a CRC-32 over the
 * row's store key and its encoded value, once (S2); `check` mixes that with the rest of the header,
 * so a flip in the key, the header or the value is found wherever the row is decoded.
 */
import type { Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32, finalMix } from '../core/hash.ts'
import { decodeValue } from '../core/value-codec.ts'
import type { Position } from '../log/log.ts'

export const ROW_HEADER_BYTES = 16
/** A put's body in an entry: the caller's checksum, then the value. */
export const BODY_HEADER_BYTES = 4

/** What a row's header says. */
export interface RowHeader {
  readonly check: number
  readonly position: Position
  readonly ordinal: number
  readonly rowVersion: number
  readonly shard: number
}

export type Row = Record<string, unknown>

/** The body of a put: the row's bytes behind a checksum over its store key and them. */
export function encodeBody(storeKey: Bytes, value: Bytes): Bytes {
  const body = Buffer.allocUnsafe(BODY_HEADER_BYTES + value.length)
  body.writeUInt32LE(crc32(value, 0, value.length, crc32(storeKey)), 0)
  body.set(value, BODY_HEADER_BYTES)
  return body
}

/**
 * Writes a row's stored form into `out` from `at` on, and returns its check. `crc` and
 * value[from, ...) come from a body.
 */
export function writeRow(
  out: Buffer,
  at: number,
  header: Omit<RowHeader, 'check'>,
  crc: number,
  value: Bytes,
  from: number,
): number {
  const check = mixHeader(crc, header.position, header.ordinal, header.rowVersion, header.shard)
  out.writeUInt32LE(check, at)
  out.writeUIntLE(header.position, at + 4, 6)
  out.writeUInt16LE(header.ordinal, at + 10)
  out.writeUInt16LE(header.rowVersion, at + 12)
  out[at + 14] = header.shard
  out[at + 15] = 0
  out.set(from === 0 ? value : value.subarray(from), at + ROW_HEADER_BYTES)
  return check
}

export function rowCheck(stored: Bytes): number {
  return (
    ((stored[0] as number) |
      ((stored[1] as number) << 8) |
      ((stored[2] as number) << 16) |
      ((stored[3] as number) << 24)) >>>
    0
  )
}

export function rowPosition(stored: Bytes): Position {
  const low =
    (stored[4] as number) +
    (stored[5] as number) * 0x100 +
    (stored[6] as number) * 0x10000 +
    (stored[7] as number) * 0x1000000
  return low + ((stored[8] as number) + (stored[9] as number) * 0x100) * 0x100000000
}

export function rowVersionOf(stored: Bytes): number {
  return (stored[12] as number) | ((stored[13] as number) << 8)
}

export function rowShard(stored: Bytes): number {
  return stored[14] as number
}

/** Whether a stored row is what was written under `storeKey`. */
export function rowIsIntact(storeKey: Bytes, stored: Bytes): boolean {
  if (stored.length <= ROW_HEADER_BYTES || stored[15] !== 0) return false
  const crc = crc32(stored, ROW_HEADER_BYTES, stored.length, crc32(storeKey))
  const ordinal = (stored[10] as number) | ((stored[11] as number) << 8)
  return (
    mixHeader(crc, rowPosition(stored), ordinal, rowVersionOf(stored), rowShard(stored)) ===
    rowCheck(stored)
  )
}

/** The row, checked. Throws `StoreCorrupt` when its bytes are not what was written. */
export function decodeRow(storeKey: Bytes, stored: Bytes): Row {
  if (!rowIsIntact(storeKey, stored)) throw corruptRow(storeKey)
  return decodeValue(stored, ROW_HEADER_BYTES, stored.length) as Row
}

export function corruptRow(storeKey: Bytes): HoldfastError {
  const key = Buffer.from(storeKey).toString('hex')
  return new HoldfastError('StoreCorrupt', `the row under ${key} is not what was written`, {
    details: { storeKey: key },
  })
}

function mixHeader(
  crc: number,
  position: Position,
  ordinal: number,
  rowVersion: number,
  shard: number,
): number {
  let mixed = finalMix(crc ^ (position >>> 0))
  mixed = finalMix(mixed ^ Math.floor(position / 0x100000000) ^ (ordinal << 16))
  return finalMix(mixed ^ rowVersion ^ (shard << 16))
}
