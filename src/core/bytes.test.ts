import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  afterPrefix,
  binaryString,
  ByteReader,
  ByteWriter,
  compareBytes,
  concatBytes,
  copyBytes,
  EMPTY,
  equalBytes,
  fromHex,
  hex,
  type Bytes,
} from './bytes.ts'

const small = fc.uint8Array({ maxLength: 6 })
/** Bytes that favour the edges, so that prefixes and ties are common. */
const edgy = fc
  .array(fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff), { maxLength: 5 })
  .map((bytes) => Uint8Array.from(bytes))

describe('compareBytes', () => {
  it('orders as unsigned bytes, a prefix first', () => {
    fc.assert(
      fc.property(fc.oneof(small, edgy), fc.oneof(small, edgy), (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Math.sign(Buffer.compare(a, b)))
        expect(equalBytes(a, b)).toBe(Buffer.compare(a, b) === 0)
      }),
    )
  })

  it('orders as binaryString does', () => {
    fc.assert(
      fc.property(edgy, edgy, (a, b) => {
        const [x, y] = [binaryString(a), binaryString(b)]
        expect(Math.sign(compareBytes(a, b))).toBe(x < y ? -1 : x > y ? 1 : 0)
      }),
    )
  })
})

describe('copies', () => {
  it('own their memory, of a Buffer and of a view too', () => {
    const shared = new Uint8Array([1, 2, 3, 4])
    for (const source of [shared.subarray(1, 3), Buffer.from(shared.buffer, 1, 2)]) {
      const copy = copyBytes(source)
      source[0] = 9
      expect([...copy]).toEqual([2, 3])
      expect(copy.buffer).not.toBe(shared.buffer)
      source[0] = 2
    }
  })

  it('concatenate', () => {
    fc.assert(
      fc.property(fc.array(small), (parts) => {
        expect([...concatBytes(...parts)]).toEqual(parts.flatMap((part) => [...part]))
      }),
    )
    expect(concatBytes()).toEqual(EMPTY)
  })
})

describe('text forms', () => {
  it('round trip', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(fromHex(hex(bytes))).toEqual(bytes)
        expect(new Uint8Array(Buffer.from(binaryString(bytes), 'latin1'))).toEqual(bytes)
      }),
    )
  })

  it('read a view inside a larger buffer', () => {
    const view = new Uint8Array([1, 0xab, 0xff, 4]).subarray(1, 3)
    expect(hex(view)).toBe('abff')
    expect(binaryString(view)).toBe('\u00ab\u00ff')
  })
})

describe('afterPrefix', () => {
  it('is above all that starts with the prefix, and nothing lies between', () => {
    fc.assert(
      fc.property(edgy, edgy, edgy, (prefix, rest, other) => {
        const end = afterPrefix(prefix)
        const inside = concatBytes(prefix, rest)
        if (end === undefined) {
          expect(prefix.every((byte) => byte === 0xff)).toBe(true)
          return
        }
        expect(compareBytes(inside, end)).toBeLessThan(0)
        const starts = equalBytes(other.subarray(0, prefix.length), prefix)
        const inRange = compareBytes(other, prefix) >= 0 && compareBytes(other, end) < 0
        expect(inRange).toBe(starts)
      }),
    )
  })

  it('leaves the prefix as it was, when it is a Buffer too', () => {
    const prefix = Buffer.from([1, 2, 0xff])
    expect([...(afterPrefix(prefix) ?? [])]).toEqual([1, 3])
    expect([...prefix]).toEqual([1, 2, 0xff])
  })
})

describe('ByteWriter and ByteReader', () => {
  const part = fc.oneof(
    fc.record({ kind: fc.constant('u8' as const), value: fc.nat(255) }),
    fc.record({ kind: fc.constant('u32' as const), value: fc.nat(2 ** 32 - 1) }),
    fc.record({ kind: fc.constant('varint' as const), value: fc.maxSafeNat() }),
    fc.record({ kind: fc.constant('blob' as const), value: fc.uint8Array({ maxLength: 300 }) }),
    fc.record({ kind: fc.constant('text' as const), value: fc.string({ unit: 'grapheme' }) }),
  )

  it('round trip, from any capacity, in memory that is used again', () => {
    fc.assert(
      fc.property(fc.array(part), fc.integer({ min: 1, max: 64 }), (parts, capacity) => {
        const writer = new ByteWriter(capacity)
        writer.bytes(new Uint8Array(7))
        writer.reset()
        for (const { kind, value } of parts) {
          if (kind === 'blob') writer.blob(value)
          else if (kind === 'text') writer.text(value)
          else writer[kind](value)
        }
        const bytes = writer.finish()
        writer.reset()
        writer.bytes(new Uint8Array(bytes.length))
        const reader = new ByteReader(bytes)
        for (const { kind, value } of parts) {
          const read = reader[kind]()
          expect(read instanceof Uint8Array ? new Uint8Array(read) : read).toEqual(value)
        }
        expect(reader.done).toBe(true)
      }),
    )
  })

  it('round trip varints at each boundary', () => {
    for (let power = 0; power <= 53; power++) {
      for (const value of [2 ** power - 1, 2 ** power, 2 ** power + 1]) {
        if (!Number.isSafeInteger(value)) continue
        const writer = new ByteWriter(1)
        writer.varint(value)
        expect(new ByteReader(writer.finish()).varint()).toBe(value)
      }
    }
  })

  it('refuses to write what is no varint', () => {
    for (const value of [-1, 0.5, 2 ** 53, Number.NaN]) {
      expect(() => new ByteWriter().varint(value)).toThrow(/varint/)
    }
  })

  it('refuses a varint beyond a safe integer, and one without end', () => {
    for (const bytes of [
      [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
      new Array<number>(20).fill(0x80),
    ]) {
      expect(() => new ByteReader(Uint8Array.from(bytes)).varint()).toThrow(RangeError)
    }
  })

  it('throws RangeError past the end, for every cut of what was written', () => {
    const writer = new ByteWriter()
    writer.u8(1)
    writer.u32(2)
    writer.varint(300)
    writer.blob(new Uint8Array(5))
    const bytes = writer.finish()
    const readAll = (cut: Bytes): void => {
      const reader = new ByteReader(cut)
      reader.u8()
      reader.u32()
      reader.varint()
      reader.blob()
    }
    expect(() => readAll(bytes)).not.toThrow()
    for (let end = 0; end < bytes.length; end++) {
      expect(() => readAll(bytes.subarray(0, end))).toThrow(RangeError)
    }
  })

  it('stays inside the part it was given', () => {
    const reader = new ByteReader(new Uint8Array([1, 2, 3, 4, 5, 6]), 1, 3)
    expect([reader.u8(), reader.u8(), reader.done]).toEqual([2, 3, true])
    expect(() => reader.u8()).toThrow(RangeError)
    expect(() => new ByteReader(new Uint8Array(2), 1, 3)).toThrow(/stays inside/)
  })
})
