import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { afterPrefix, compareBytes, concatBytes, hex } from './bytes.ts'
import { isHoldfastError, type ErrorCode } from './errors.ts'
import {
  compareKeys,
  decodeKey,
  decodeKeys,
  encodeKey,
  encodeStringPrefix,
  encodeTuplePrefix,
  keyEnd,
  type Key,
} from './key-codec.ts'
import { LIMITS } from './limits.ts'

const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer({ min: -300, max: 300 }),
  fc.constantFrom(0, -0, 5e-324, -5e-324, 2.2e-308, -2.2e-308, Number.MAX_VALUE, -Number.MAX_VALUE),
)
const bigint = fc.oneof(
  fc.bigInt({ min: -(2n ** 1007n), max: 2n ** 1007n }),
  fc.bigInt({ min: -70_000n, max: 70_000n }),
  fc.constantFrom(0n, 1n, -1n, 255n, 256n, -255n, -256n, 2n ** 1008n - 1n, -(2n ** 1008n) + 1n),
)
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({
    unit: fc.constantFrom(
      '\0',
      '\u0001',
      '\u0002',
      'a',
      '\u007f',
      '\u0080',
      '\uffff',
      '\ue000',
      '😀',
      '\u{10ffff}',
    ),
    maxLength: 4,
  }),
)
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc.array(fc.constantFrom(0, 1, 2, 0xfe, 0xff), { maxLength: 4 }).map((b) => Uint8Array.from(b)),
)
const date = fc.date({ noInvalidDate: true })
const part = fc.oneof(number, bigint, text, bytes, date)
const key = fc.letrec<{ key: Key }>((tie) => ({
  key: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    part,
    fc.array(tie('key'), { maxLength: 3 }),
  ),
})).key

/** The documented order, written plainly. */
function order(a: Key, b: Key): number {
  const [x, y] = [rank(a), rank(b)]
  if (x !== y) return x - y
  if (typeof a === 'string' && typeof b === 'string') return listOrder(codePoints(a), codePoints(b))
  if (a instanceof Uint8Array && b instanceof Uint8Array) return listOrder([...a], [...b])
  if (Array.isArray(a) && Array.isArray(b)) return listOrder(a as Key[], b as Key[])
  const [p, q] = [Number(a), Number(b)]
  if (typeof a === 'bigint' && typeof b === 'bigint') return a < b ? -1 : a > b ? 1 : 0
  return p < q ? -1 : p > q ? 1 : 0
}

function listOrder(a: readonly Key[], b: readonly Key[]): number {
  for (const [i, element] of a.entries()) {
    const other = b[i]
    if (other === undefined) return 1
    const difference = order(element, other)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

const codePoints = (value: string): number[] => [...value].map((char) => char.codePointAt(0) ?? 0)

function rank(value: Key): number {
  if (typeof value === 'number') return 0
  if (typeof value === 'bigint') return 1
  if (value instanceof Date) return 2
  if (typeof value === 'string') return 3
  return value instanceof Uint8Array ? 4 : 5
}

/** -0 is stored as 0. */
function stored(value: Key): Key {
  if (typeof value === 'number') return value === 0 ? 0 : value
  return Array.isArray(value) ? (value as Key[]).map((element) => stored(element)) : value
}

const encode = (value: Key): Uint8Array => encodeKey(value, LIMITS.storeKeyBytes)

describe('key codec', () => {
  it('has the documented bytes', () => {
    expect(hex(encodeKey(-1.5))).toBe('104007ffffffffffff')
    expect(hex(encodeKey(10n))).toBe('18810a')
    expect(hex(encodeKey('ab'))).toBe('30616200')
    expect(hex(encodeKey('\0\u0001\u0002'))).toBe('30010101020200')
    expect(hex(encodeKey(new Uint8Array([0, 255])))).toBe('380101ff00')
    expect(hex(encodeKey(['a']))).toBe('4030610000')
  })

  it('round trips', () => {
    fc.assert(
      fc.property(key, (value) => {
        expect(decodeKey(encode(value))).toStrictEqual(stored(value))
      }),
      { numRuns: 2_000 },
    )
  })

  it('orders encodings as the documented order', () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(Math.sign(compareBytes(encode(a), encode(b)))).toBe(Math.sign(order(a, b)))
        expect(Math.sign(compareKeys(a, b))).toBe(Math.sign(order(a, b)))
      }),
      { numRuns: 5_000 },
    )
  })

  it.each([
    ['numbers', number],
    ['bigints', bigint],
    ['strings', text],
    ['bytes', bytes],
    ['dates', date],
  ] as [string, fc.Arbitrary<Key>][])('orders %s among themselves', (_name, kind) => {
    fc.assert(
      fc.property(kind, kind, (a, b) => {
        expect(Math.sign(compareBytes(encode(a), encode(b)))).toBe(Math.sign(order(a, b)))
      }),
      { numRuns: 2_000 },
    )
  })

  it('gives no encoding that is a prefix of another', () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        const [x, y] = [encode(a), encode(b)]
        if (order(a, b) === 0) return
        const length = Math.min(x.length, y.length)
        expect(compareBytes(x.subarray(0, length), y.subarray(0, length))).not.toBe(0)
      }),
      { numRuns: 5_000 },
    )
    const [a, zero] = [encodeKey('a'), encodeKey('a\0')]
    expect(compareBytes(zero.subarray(0, a.length), a)).not.toBe(0)
  })

  it('keeps the order of concatenations, and where each key ends', () => {
    const list = fc.array(part, { maxLength: 4 })
    fc.assert(
      fc.property(list, list, (a, b) => {
        const x = concatBytes(...a.map(encode))
        const y = concatBytes(...b.map(encode))
        expect(Math.sign(compareBytes(x, y))).toBe(Math.sign(listOrder(a, b)))
        expect(decodeKeys(x, 0, x.length)).toStrictEqual(a.map(stored))
        let at = 0
        for (const element of a) {
          const end = keyEnd(x, at)
          expect(end - at).toBe(encode(element).length)
          at = end
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('reads a key inside a larger buffer', () => {
    fc.assert(
      fc.property(key, (value) => {
        const encoded = encode(value)
        const padded = concatBytes(new Uint8Array(3).fill(0x30), encoded, new Uint8Array(4))
        const end = 3 + encoded.length
        expect(decodeKey(padded, 3, end)).toStrictEqual(stored(value))
        expect(keyEnd(padded, 3, end)).toBe(end)
      }),
    )
  })
})

describe('key prefixes', () => {
  const inRange = (value: Key, prefix: Uint8Array): boolean => {
    const end = afterPrefix(prefix)
    const encoded = encode(value)
    return compareBytes(encoded, prefix) >= 0 && end !== undefined && compareBytes(encoded, end) < 0
  }

  it('of a tuple hold the tuples that begin with it, and nothing else', () => {
    const parts = fc.array(fc.oneof(text, fc.constantFrom<Key>(1, 2, 1n, 'a', 'a\0')), {
      maxLength: 2,
    })
    fc.assert(
      fc.property(parts, parts, parts, key, (start, rest, other, any) => {
        const prefix = encodeTuplePrefix(start)
        expect(inRange([...start, ...rest], prefix)).toBe(true)
        const begins = start.every((element, i) => {
          const match = other[i]
          return match !== undefined && order(element, match) === 0
        })
        expect(inRange(other, prefix)).toBe(begins)
        if (!Array.isArray(any)) expect(inRange(any, prefix)).toBe(false)
      }),
      { numRuns: 2_000 },
    )
    expect(inRange(['a\0'], encodeTuplePrefix(['a']))).toBe(false)
  })

  it('of a string hold the strings that start with it, and nothing else', () => {
    fc.assert(
      fc.property(text, text, key, (start, rest, any) => {
        const prefix = encodeStringPrefix(start)
        expect(inRange(start + rest, prefix)).toBe(true)
        const starts = typeof any === 'string' && any.startsWith(start)
        expect(inRange(any, prefix)).toBe(starts)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('key refusals', () => {
  const refusal = (run: () => unknown): ErrorCode | undefined => {
    try {
      run()
    } catch (error) {
      if (isHoldfastError(error)) return error.code
      throw error
    }
    return undefined
  }

  it('are InvalidKey for what is no key', () => {
    const nested = (depth: number): Key => (depth === 0 ? 1 : [nested(depth - 1)])
    const cyclic: unknown[] = []
    cyclic.push(cyclic)
    const invalid: unknown[] = [
      ...[undefined, null, true, Symbol('x'), () => 1, {}, new Map(), [1, null], [undefined]],
      ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, new Date(Number.NaN)],
      ...['\ud800', 'a\udc00b', ['x', '\udfff'], 2n ** 1008n, -(2n ** 1008n)],
      ...[cyclic, nested(9), Object.freeze({ a: 1 }), new Array<Key>(2)],
    ]
    for (const value of invalid) expect(refusal(() => encodeKey(value as Key))).toBe('InvalidKey')
    expect(refusal(() => encodeKey(nested(8)))).toBeUndefined()
    expect(decodeKey(encodeKey(nested(8)))).toEqual(nested(8))
  })

  it('are KeyTooLarge from one byte past the limit, whatever the key is made of', () => {
    const limit = LIMITS.keyBytes
    const fits: Key[] = [
      'a'.repeat(limit - 2),
      '\0'.repeat((limit - 2) / 2),
      'é'.repeat((limit - 2) / 2),
      new Uint8Array(limit - 2).fill(7),
      new Uint8Array((limit - 2) / 2),
      ['a'.repeat(limit - 4)],
      [...Array.from({ length: 113 }, () => 1), 'abc'],
    ]
    for (const value of fits) {
      const size = encodeKey(value).length
      expect(size).toBeLessThanOrEqual(limit)
      expect(encodeKey(value, size).length).toBe(size)
      expect(refusal(() => encodeKey(value, size - 1))).toBe('KeyTooLarge')
    }
    const tooLarge: Key[] = [
      'a'.repeat(limit - 1),
      '\0'.repeat(limit - 2),
      'é'.repeat(limit - 2),
      '😀'.repeat(limit),
      `${'a'.repeat(limit - 3)}é`,
      new Uint8Array(limit - 1),
      new Uint8Array(limit - 2),
      new Uint8Array(100_000),
      'a'.repeat(10_000_000),
      Array.from({ length: 5_000 }, () => 1),
      Array.from({ length: 5_000 }, () => []),
    ]
    for (const value of tooLarge) expect(refusal(() => encodeKey(value))).toBe('KeyTooLarge')
    // What was refused leaves nothing behind.
    expect(decodeKey(encodeKey('a'))).toBe('a')
  })
})

describe('decodeKey', () => {
  it('throws RangeError for every cut of a key, also inside a larger buffer', () => {
    fc.assert(
      fc.property(key, (value) => {
        const encoded = encode(value)
        const padded = concatBytes(encoded, new Uint8Array(8))
        for (let end = 0; end < encoded.length; end++) {
          expect(() => decodeKey(encoded.subarray(0, end))).toThrow(RangeError)
          expect(() => decodeKey(padded, 0, end)).toThrow(RangeError)
          expect(() => keyEnd(padded, 0, end)).toThrow(RangeError)
          if (end > 0) expect(() => decodeKeys(padded, 0, end)).toThrow(RangeError)
        }
        expect(() => decodeKey(padded)).toThrow(RangeError)
      }),
    )
  })

  it('throws RangeError on bytes that no key has: what it reads, it would write the same', () => {
    const mutated = fc.tuple(key, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
      const encoded = encode(value)
      encoded[at % encoded.length] = byte
      return encoded
    })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 20 }), mutated), (encoded) => {
        let value: Key
        try {
          value = decodeKey(encoded)
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
          return
        }
        expect(hex(encode(value))).toBe(hex(encoded))
      }),
      { numRuns: 20_000 },
    )
  })

  it.each([
    ['NaN', '10fff8000000000000'],
    ['infinity', '10fff0000000000000'],
    ['-0', '107fffffffffffffff'],
    ['a date of half a millisecond', '20bfe0000000000000'],
    ['a bigint with leading zeros', '188200ff'],
    ['a bigint of no negative bytes', '187f'],
    ['malformed UTF-8', '30ff00'],
    ['an escape that none has', '30010300'],
    ['an escape cut short', '300100'],
    ['an unknown tag', '11'],
    ['a tuple nested too deep', '40'.repeat(9) + '00'.repeat(9)],
  ])('refuses %s', (_name, bytes) => {
    expect(() => decodeKey(new Uint8Array(Buffer.from(bytes, 'hex')))).toThrow(RangeError)
  })

  it('keeps the replacement character', () => {
    expect(decodeKey(encodeKey('a\ufffdb'))).toBe('a\ufffdb')
  })
})
