import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonValue, Value } from './wire.ts'
import { fromWire, parseIsoDate, parseWire, stringifyWire, toWire, WireError } from './wire.ts'

const key = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('__proto__', 'constructor', 'toString', '$date', '$bigint', '$bytes', '$object'),
  fc.constantFrom('$', '$x', '', '0', 'length', 'toJSON'),
)

const { value: anyValue } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<Value>(null, true, false, ''),
    fc.string({ unit: 'binary' }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n)),
    fc.bigInt(),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array(),
    fc.array(tie('value')),
    fc.dictionary(key, tie('value'), { maxKeys: 4 }).map(ordinary),
  ),
}))

/** fast-check makes objects without a prototype as well; a decoded object always has one. */
function ordinary(object: Record<string, Value>): Value {
  return Object.fromEntries(Object.entries(object))
}

function orWireError<T>(run: () => T): T | WireError {
  try {
    return run()
  } catch (error) {
    if (error instanceof WireError) return error
    throw error
  }
}

function reason(run: () => unknown): string {
  const error = orWireError(run)
  if (error instanceof WireError) return error.message
  throw new Error('nothing was thrown')
}

describe('the wire form', () => {
  test('every value comes back as it was, through JSON text', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        expect(isDeepStrictEqual(parseWire(stringifyWire(value)), value)).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  test('it is JSON: the text reads back as the same wire form', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const wire = toWire(value)
        expect(isDeepStrictEqual(JSON.parse(JSON.stringify(wire)), wire)).toBe(true)
      }),
    )
  })

  test('no JSON makes fromWire throw anything but WireError, and what it accepts is stable', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), wireLike()), (json) => {
        const value = orWireError(() => fromWire(json as JsonValue))
        if (value instanceof WireError) return
        expect(isDeepStrictEqual(fromWire(toWire(value)), value)).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  test.each<[string, Value, string]>([
    ['bigint', -12n, '{"$bigint":"-12"}'],
    ['Date', new Date(978307200000), '{"$date":"2001-01-01T00:00:00.000Z"}'],
    ['the last Date', new Date(8.64e15), '{"$date":"+275760-09-13T00:00:00.000Z"}'],
    ['the first Date', new Date(-8.64e15), '{"$date":"-271821-04-20T00:00:00.000Z"}'],
    ['Uint8Array', Uint8Array.of(0, 1, 255), '{"$bytes":"AAH/"}'],
    ['no bytes', new Uint8Array(0), '{"$bytes":""}'],
    ['-0', -0, '0'],
    ['-0 inside', [1, -0], '[1,0]'],
    ['a missing property', { a: 1, b: undefined }, '{"a":1}'],
    ['null, which is not missing', { a: null }, '{"a":null}'],
    ['a key that looks like a form', { $date: 1 }, '{"$object":{"$date":1}}'],
    [
      'the escape itself',
      { $object: { $object: 1n } },
      '{"$object":{"$object":{"$object":{"$object":{"$bigint":"1"}}}}}',
    ],
    ['an unknown $ key', { $oid: 'x' }, '{"$object":{"$oid":"x"}}'],
    ['a $ key left alone by a missing one', { $x: 1, y: undefined }, '{"$object":{"$x":1}}'],
    ['a $ key among others', { $date: 1, b: 2 }, '{"$date":1,"b":2}'],
    [
      'an object without prototype',
      Object.assign(Object.create(null) as object, { a: 1n }),
      '{"a":{"$bigint":"1"}}',
    ],
    ['a lone surrogate', '\ud800', '"\\ud800"'],
  ])('%s', (_, value, text) => {
    expect(stringifyWire(value)).toBe(text)
    expect(stringifyWire(parseWire(text))).toBe(text)
  })

  test('every text of a time that is read is the one that toISOString writes', () => {
    const digit = fc.integer({ min: 0, max: 9 }).map(String)
    const near = fc.string({ unit: digit, minLength: 17, maxLength: 17 }).map((d) => {
      const day = `${d.slice(0, 4)}-${d.slice(4, 6)}-${d.slice(6, 8)}`
      return `${day}T${d.slice(8, 10)}:${d.slice(10, 12)}:${d.slice(12, 14)}.${d.slice(14)}Z`
    })
    const written = fc.date({ noInvalidDate: true }).map((date) => date.toISOString())
    const broken = fc
      .tuple(written, fc.nat(30), fc.string({ maxLength: 2 }))
      .map(([text, at, by]) => {
        return text.slice(0, at) + by + text.slice(at + by.length)
      })
    fc.assert(
      fc.property(fc.oneof(near, written, broken), (text) => {
        const date = new Date(text)
        const isWritten = !Number.isNaN(date.getTime()) && date.toISOString() === text
        expect(parseIsoDate(text)?.getTime()).toBe(isWritten ? date.getTime() : undefined)
      }),
      { numRuns: 20_000 },
    )
  })

  test('a Buffer goes out as bytes and comes back as a plain Uint8Array', () => {
    const back = parseWire(stringifyWire(Buffer.from('abc')))
    expect(back).toStrictEqual(Uint8Array.of(97, 98, 99))
    expect(Buffer.isBuffer(back)).toBe(false)
  })
})

describe('__proto__ is a key like any other', () => {
  test('it comes back as an own property, and no prototype changes', () => {
    const text = '{"__proto__":{"polluted":{"$bigint":"1"}},"a":{"$bigint":"2"}}'
    const value = parseWire(text) as Record<string, Value>
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect(Object.keys(value)).toEqual(['__proto__', 'a'])
    expect(Object.getOwnPropertyDescriptor(value, '__proto__')?.value).toEqual({ polluted: 1n })
    expect((value as { polluted?: unknown }).polluted).toBeUndefined()
    expect(stringifyWire(value)).toBe(text)
  })
})

describe('the fast path', () => {
  test('what needs no converting is returned as it is, and parts of it are shared', () => {
    const plain = { a: [1, 'x', null, { b: true }], $c: 1, d: {} }
    expect(toWire(plain)).toBe(plain)
    expect(fromWire(plain)).toBe(plain)
    const mixed = { plain, big: 1n }
    expect((toWire(mixed) as { plain: unknown }).plain).toBe(plain)
    expect(mixed).toStrictEqual({ plain, big: 1n })
  })
})

describe('what has no wire form is refused with its place', () => {
  test.each<[unknown, string]>([
    [Number.NaN, 'NaN has no JSON form'],
    [{ a: [1, Infinity] }, '.a[1]: Infinity has no JSON form'],
    [{ 'odd key': { b: new Date(Number.NaN) } }, '["odd key"].b: an invalid Date has no JSON form'],
    [[undefined], '[0]: undefined has no JSON form; leave the property out, or use null'],
    [undefined, 'undefined has no JSON form; leave the property out, or use null'],
    [{ m: new Map() }, '.m: an object of class Map has no JSON form'],
    [{ f: () => 1 }, '.f: a function has no JSON form'],
    [{ f: new Float64Array(1) }, '.f: an object of class Float64Array has no JSON form'],
  ])('%o', (value, message) => {
    expect(reason(() => toWire(value as Value))).toBe(message)
  })

  test('nesting deeper than the stack allows is an error, not a crash', () => {
    const depth = 100_000
    const text = '['.repeat(depth) + ']'.repeat(depth)
    expect(reason(() => parseWire(text))).toContain('nested deeper than 128')
    expect(reason(() => toWire(JSON.parse(text) as Value))).toContain('nested deeper than 128')
  })
})

describe('malformed forms are refused with their place', () => {
  test.each<[string, string]>([
    ['{"a":{"$bigint":"1.5"}}', '.a: $bigint takes a string of decimal digits'],
    ['{"$bigint":"-0"}', '$bigint takes'],
    ['{"$bigint":"007"}', '$bigint takes'],
    ['{"$bigint":12}', '$bigint takes'],
    ['[{"$date":"2001-01-01"}]', '[0]: $date takes a UTC time with milliseconds'],
    ['{"$date":"2001-02-30T00:00:00.000Z"}', '$date takes'],
    ['{"$date":978307200000}', '$date takes'],
    ['{"$bytes":"AAE"}', '$bytes takes base64 with padding'],
    ['{"$bytes":"A A="}', '$bytes takes'],
    ['{"$bytes":"AA-_"}', '$bytes takes'],
    ['{"$object":[1]}', '$object takes an object'],
    [
      '{"$oid":"5"}',
      'unknown form $oid; a plain object with this one key is {"$object":{"$oid":"…"}}',
    ],
    ['[1e400]', '[0]: the number is too large'],
    [`{"a":1${'0'.repeat(400)}}`, '.a: the number is too large'],
    ['{"a":', 'not JSON: '],
  ])('%s', (text, message) => {
    expect(reason(() => parseWire(text))).toContain(message)
  })

  test('a whole number that a double would change is refused, others of any length are read', () => {
    expect(reason(() => parseWire('{"id":12345678901234567890}'))).toBe(
      '12345678901234567890 is not exact as a number: write {"$bigint":"12345678901234567890"}',
    )
    for (let place = 0; place < 40; place++) {
      const text = `[${' '.repeat(place)}-9007199254740993]`
      expect(
        reason(() => parseWire(text)),
        `at ${place}`,
      ).toContain('is not exact')
    }
    expect(
      parseWire('[1152921504606846976,1e+300,"12345678901234567891\\"12345678901234567891"]'),
    ).toEqual([2 ** 60, 1e300, '12345678901234567891"12345678901234567891'])
    expect(parseWire('[0.12345678901234567890]')).toEqual([0.12345678901234568])
  })

  test('every finite number a program writes is read', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
        expect(parseWire(JSON.stringify(number))).toBe(number === 0 ? 0 : number)
      }),
    )
  })
})

/** JSON near the forms, right and wrong. */
function wireLike(): fc.Arbitrary<unknown> {
  const form = fc.constantFrom('$bigint', '$date', '$bytes', '$object', '$other')
  const content = fc.oneof(
    fc.constantFrom('1', '-1', '01', 'AAEC', 'AAE=', '2001-01-01T00:00:00.000Z', ''),
    fc.jsonValue(),
  )
  return fc.array(fc.tuple(form, content).map(([k, v]) => ({ [k]: v })))
}
