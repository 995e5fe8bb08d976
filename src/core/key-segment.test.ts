import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeKey, type Key } from './key-codec.ts'
import { keySegment, parseKeySegment } from './key-segment.ts'
import { WireError } from './wire.ts'

const part: fc.Arbitrary<Key> = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '.', '..', '...', '~', '~1', '%', '%2F', 'a/b', '?', '#', '\\', '__proto__'),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
  fc.bigInt(),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array(),
)
const key: fc.Arbitrary<Key> = fc.oneof(part, fc.array(part, { minLength: 1, maxLength: 3 }))

describe('a key as a segment of a URL', () => {
  it('comes back through the parser of URLs as the same key', () => {
    fc.assert(
      fc.property(key, (given) => {
        const { pathname } = new URL(`http://h/a/${keySegment(given)}/b`)
        const parts = pathname.split('/')
        expect(parts).toHaveLength(4)
        const back = parseKeySegment(decodeURIComponent(parts[2] ?? ''))
        expect(encodeKey(back)).toEqual(encodeKey(given))
      }),
      { numRuns: 2_000 },
    )
  })

  it('is plain for the strings that people use', () => {
    expect(keySegment('ada')).toBe('ada')
    expect(keySegment('a b')).toBe('a%20b')
    expect(keySegment(7)).toBe('~7')
    expect(keySegment(['Ulm', 5n])).toBe(encodeURIComponent('~["Ulm",{"$bigint":"5"}]'))
  })

  it.each(['~', '~x', '~null', '~true', '~{}', '~{"$date":1}', '~[1', '~12345678901234567890'])(
    'refuses %s',
    (segment) => {
      expect(() => parseKeySegment(segment)).toThrow(WireError)
    },
  )
})
