import { createHash } from 'node:crypto'
import { crc32 as zlibCrc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, hex } from './bytes.ts'
import { crc32, digest, DIGEST_BYTES, digest64, startDigest, type Digest64 } from './hash.ts'

/** Bytes that repeat from run to run. */
function sample(length: number, salt = 1): Uint8Array {
  let state = salt
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  })
}

describe('crc32', () => {
  it('has the known check value', () => {
    expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926)
    expect(crc32(new Uint8Array(0))).toBe(0)
  })

  it('equals that of zlib for all lengths to 600, inside a larger buffer', () => {
    const bytes = sample(620)
    for (let length = 0; length <= 600; length++) {
      const start = length % 17
      const part = bytes.subarray(start, start + length)
      expect(crc32(bytes, start, start + length)).toBe(zlibCrc32(part))
      expect(crc32(part)).toBe(zlibCrc32(part))
    }
  })

  it('continues from a seed, at every cut', () => {
    for (const length of [0, 1, 7, 64, 255, 256, 257, 600]) {
      const bytes = sample(length)
      const whole = zlibCrc32(bytes)
      for (let cut = 0; cut <= length; cut++) {
        expect(crc32(bytes, cut, length, crc32(bytes, 0, cut))).toBe(whole)
      }
    }
  })

  it('is changed by every flip of one bit', () => {
    for (const length of [1, 5, 100, 255, 256, 300]) {
      const bytes = sample(length)
      const good = crc32(bytes)
      for (let bit = 0; bit < length * 8; bit++) {
        const at = bit >>> 3
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
        expect(crc32(bytes)).not.toBe(good)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
      }
      expect(crc32(bytes)).toBe(good)
    }
  })
})

describe('digest', () => {
  it('is SHA-256 of the concatenation, cut to 16 bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), (parts) => {
        const whole = createHash('sha256')
          .update(concatBytes(...parts))
          .digest('hex')
        const cut = digest(...parts)
        expect(cut.length).toBe(DIGEST_BYTES)
        expect(whole.startsWith(hex(cut))).toBe(true)
        const running = startDigest()
        for (const part of parts) running.update(part)
        expect(hex(running.finish())).toBe(hex(cut))
      }),
    )
  })
})

describe('digest64', () => {
  const of = (bytes: Uint8Array, salt = 0): string => {
    const out: Digest64 = { hi: 0, lo: 0 }
    digest64(bytes, 0, bytes.length, salt, out)
    expect(out.hi >>> 0).toBe(out.hi)
    expect(out.lo >>> 0).toBe(out.lo)
    return `${out.hi}:${out.lo}`
  }

  it('depends on the bytes of its part alone', () => {
    const bytes = sample(40)
    const out: Digest64 = { hi: 0, lo: 0 }
    for (let length = 0; length < 20; length++) {
      digest64(bytes, 9, 9 + length, 3, out)
      expect(`${out.hi}:${out.lo}`).toBe(of(bytes.slice(9, 9 + length), 3))
    }
  })

  it('is changed by every flip of one bit, by zeros at the end, and by the salt', () => {
    for (let length = 0; length <= 40; length++) {
      const bytes = sample(length)
      const seen = new Set([of(bytes), of(bytes, 1), of(concatBytes(bytes, new Uint8Array(1)))])
      for (let bit = 0; bit < length * 8; bit++) {
        const flipped = bytes.slice()
        flipped[bit >>> 3] = (flipped[bit >>> 3] ?? 0) ^ (1 << (bit & 7))
        seen.add(of(flipped))
      }
      expect(seen.size).toBe(3 + length * 8)
    }
  })

  it('gives 200,000 short keys no collision in 64 bits, and spreads each half', () => {
    const seen = new Set<string>()
    const high = new Set<number>()
    const out: Digest64 = { hi: 0, lo: 0 }
    const count = 200_000
    for (let i = 0; i < count; i++) {
      const key = Buffer.from(`user:${i}`)
      digest64(key, 0, key.length, 0, out)
      seen.add(`${out.hi}:${out.lo}`)
      high.add(out.hi)
    }
    expect(seen.size).toBe(count)
    // About count^2 / 2^33 = 5 collisions are expected in 32 bits.
    expect(high.size).toBeGreaterThan(count - 40)
  })
})
