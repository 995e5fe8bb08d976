/**
 * Checksums and digests. CRC-32 (IEEE 802.3, reflected 0xEDB88320) guards rows and frames against
 * damage: it finds every burst of up to 32 bits. SHA-256, cut to 16 bytes, makes the digests and
 * chains that are compared between nodes (S3, S7). `keyDigest` spreads keys over the resolver's
 * window: a collision costs an abort there, never correctness (S4).
 */
import { createHash, hash } from 'node:crypto'
import { crc32 as nativeCrc32 } from 'node:zlib'
import type { Bytes } from './bytes.ts'

/** Bytes of a digest or chain hash. */
export const DIGEST_BYTES = 16

const NATIVE_FROM = 256
const TABLE = crcTables()

/** CRC-32 of bytes[start, end), continuing from `seed` (the crc of what came before). */
export function crc32(bytes: Bytes, start = 0, end: number = bytes.length, seed = 0): number {
  if (end - start >= NATIVE_FROM) return nativeCrc32(bytes.subarray(start, end), seed)
  let crc = ~seed
  let i = start
  for (; i + 4 <= end; i += 4) {
    crc ^=
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24)
    crc =
      (TABLE[768 + (crc & 255)] as number) ^
      (TABLE[512 + ((crc >>> 8) & 255)] as number) ^
      (TABLE[256 + ((crc >>> 16) & 255)] as number) ^
      (TABLE[crc >>> 24] as number)
  }
  for (; i < end; i++) crc = (TABLE[(crc ^ (bytes[i] as number)) & 255] as number) ^ (crc >>> 8)
  return ~crc >>> 0
}

/** SHA-256 of the parts, one after another, cut to 16 bytes. */
export function digest(...parts: readonly Bytes[]): Bytes {
  let length = 0
  for (const part of parts) length += part.length
  if (length > TOGETHER_MAX) {
    const running = startDigest()
    for (const part of parts) running.update(part)
    return running.finish()
  }
  let at = 0
  for (const part of parts) {
    together.set(part, at)
    at += part.length
  }
  return new Uint8Array(
    hash('sha256', together.subarray(0, length), 'buffer').subarray(0, DIGEST_BYTES),
  )
}

/** Up to this many bytes, putting the parts together is cheaper than a running hash. */
const TOGETHER_MAX = 4096
const together = Buffer.allocUnsafeSlow(TOGETHER_MAX)

/** `digest` of bytes that come part by part. */
export interface RunningDigest {
  update(part: Bytes): void
  /** The digest of all parts; ends the use of this object. */
  finish(): Bytes
}

export function startDigest(): RunningDigest {
  const running = createHash('sha256')
  return {
    update: (part) => void running.update(part),
    finish: () => new Uint8Array(running.digest().subarray(0, DIGEST_BYTES)),
  }
}

/** A 64-bit digest as two unsigned 32-bit words. */
export interface Digest64 {
  hi: number
  lo: number
}

/**
 * Two MurmurHash3-style 32-bit streams over bytes[start, end) (Appleby, public domain), seeded by
 * `salt`. Written into `out`: this runs once an op, and allocates nothing.
 */
export function digest64(
  bytes: Bytes,
  start: number,
  end: number,
  salt: number,
  out: Digest64,
): void {
  let a = (salt ^ 0x9e3779b9) | 0
  let b = (Math.imul(salt, 0x85ebca6b) ^ 0x27d4eb2f) | 0
  let i = start
  for (; i + 4 <= end; i += 4) {
    const word =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24)
    a = mixWord(a, word, 0xcc9e2d51, 0x1b873593)
    b = mixWord(b, word, 0x239b961b, 0xab0e9789)
  }
  let tail = 0
  for (let shift = 0; i < end; i++, shift += 8) tail |= (bytes[i] as number) << shift
  a = mixWord(a, tail, 0xcc9e2d51, 0x1b873593)
  b = mixWord(b, tail, 0x239b961b, 0xab0e9789)
  out.hi = finalMix(a ^ (end - start))
  out.lo = finalMix(b ^ Math.imul(end - start, 0x9e3779b1))
}

/** MurmurHash3's finaliser: every input bit reaches every output bit. */
export function finalMix(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function mixWord(state: number, word: number, c1: number, c2: number): number {
  let k = Math.imul(word, c1)
  k = (k << 15) | (k >>> 17)
  let h = state ^ Math.imul(k, c2)
  h = (h << 13) | (h >>> 19)
  return (Math.imul(h, 5) + 0xe6546b64) | 0
}

function crcTables(): Int32Array {
  const table = new Int32Array(1024)
  for (let i = 0; i < 256; i++) {
    let crc = i
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
    table[i] = crc
  }
  for (let i = 0; i < 256; i++) {
    let crc = table[i] as number
    for (let row = 1; row < 4; row++) {
      crc = (table[crc & 255] as number) ^ (crc >>> 8)
      table[row * 256 + i] = crc
    }
  }
  return table
}
