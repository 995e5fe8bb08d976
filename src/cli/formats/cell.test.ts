import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CELL_PARSERS, formatCell, parsePlainNumber } from './cell.ts'
import type { ColumnKind } from './format.ts'

describe('a cell and its value', () => {
  test.each<[ColumnKind, string, unknown]>([
    ['number', '1.50', 1.5],
    ['number', '-1e3', -1000],
    ['number', '-0', 0],
    ['number', '007', 7],
    ['number', '9007199254740992', 2 ** 53],
    ['number', '9007199254740993', undefined],
    ['number', '1e999', undefined],
    ['number', '0x10', undefined],
    ['number', '', undefined],
    ['number', '1,5', undefined],
    ['bigint', '-00012', -12n],
    ['bigint', '1.0', undefined],
    ['boolean', 'TRUE', undefined],
    ['date', '2001-02-03', new Date('2001-02-03T00:00:00Z')],
    ['date', '2001-02-03T04:05Z', new Date('2001-02-03T04:05:00Z')],
    ['date', '2001-02-03T04:05:06+01:00', new Date('2001-02-03T03:05:06Z')],
    ['date', '2001-02-03T04:05:06.789999Z', new Date('2001-02-03T04:05:06.789Z')],
    ['date', '-000001-01-01T00:00:00.000Z', new Date('-000001-01-01T00:00:00.000Z')],
    ['date', '0001-01-01', new Date('0001-01-01T00:00:00Z')],
    ['date', '2001-02-03T04:05:06', undefined],
    ['date', '2001-02-30', undefined],
    ['date', '2000-02-29', new Date('2000-02-29T00:00:00Z')],
    ['date', '1900-02-29', undefined],
    ['date', '2001-13-01', undefined],
    ['date', '03/02/2001', undefined],
    ['bytes', 'AAE=', Uint8Array.of(0, 1)],
    ['bytes', 'AAE', undefined],
    ['json', '{"a":{"$bigint":"1"}}', { a: 1n }],
    ['json', '{"$bigint":1}', undefined],
  ])('%s %j', (kind, cell, value) => {
    expect(CELL_PARSERS[kind](cell)).toStrictEqual(value)
  })

  test.each<[ColumnKind, unknown]>([
    ['string', 1],
    ['number', '1'],
    ['number', Number.NaN],
    ['bigint', 1],
    ['boolean', 'true'],
    ['date', new Date(Number.NaN)],
    ['bytes', [1]],
  ])('no cell of a %s holds %o', (kind, value) => {
    expect(formatCell(kind, value as never)).toBeUndefined()
  })
})

describe('a plain number', () => {
  test.each([
    ['0', 0],
    ['-12.50', -12.5],
    ['1.10', 1.1],
    ['0.30000000000000004', 0.30000000000000004],
    ['31.95376472', 31.95376472],
    ['0.000000100', 1e-7],
    ['100000000000000000000', 1e20],
  ])('%s', (cell, number) => {
    expect(parsePlainNumber(cell)).toBe(number)
  })

  test.each([
    '007',
    '+1',
    '1e5',
    '-0',
    '0.1234567890123456789',
    '12345678901234567',
    '1.',
    '.5',
    '',
  ])('%s is text', (cell) => {
    expect(parsePlainNumber(cell)).toBeUndefined()
  })

  test('loses nothing but zeros at the end of a fraction', () => {
    const digit = fc.integer({ min: 0, max: 9 }).map(String)
    const part = fc.string({ unit: digit, minLength: 1, maxLength: 18 })
    fc.assert(
      fc.property(part, fc.option(part), (whole, fraction) => {
        const cell = fraction === null ? whole : `${whole}.${fraction}`
        const number = parsePlainNumber(cell)
        fc.pre(number !== undefined)
        const text = fraction === null ? cell : cell.replace(/\.?0+$/, '')
        expect([String(number), number?.toFixed(20).replace(/\.?0+$/, '')]).toContain(text)
      }),
    )
  })
})
