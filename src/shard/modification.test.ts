import { describe, expect, it } from 'vitest'
import type { Value } from '../core/value-codec.ts'
import { modify, touchedFields, type Modification } from './modification.ts'

const row = (fields: Record<string, unknown>): Record<string, unknown> => ({ id: 'a', ...fields })
const done = (fields: Record<string, unknown>, modification: Modification): unknown => {
  const outcome = modify(row(fields), modification)
  return outcome.ok ? outcome.row : `${outcome.code} ${outcome.field}`
}

describe('modifications', () => {
  it('add to numbers and bigints, from zero where there is none', () => {
    expect(done({ n: 1 }, { increment: { n: 2 } })).toEqual(row({ n: 3 }))
    expect(done({ n: 1n }, { increment: { n: -2n } })).toEqual(row({ n: -1n }))
    expect(done({}, { increment: { n: 2 } })).toEqual(row({ n: 2 }))
    expect(done({ n: null }, { increment: { n: 2n } })).toEqual(row({ n: 2n }))
  })

  it('refuse what is no number, or of the other kind', () => {
    expect(done({ n: 'x' }, { increment: { n: 1 } })).toBe('NotNumeric n')
    expect(done({ n: 1 }, { increment: { n: 1n } })).toBe('NotNumeric n')
    expect(done({ n: 1n }, { increment: { n: 1 } })).toBe('NotNumeric n')
    expect(done({ n: Number.MAX_VALUE }, { increment: { n: Number.MAX_VALUE } })).toBe(
      'NotNumeric n',
    )
    expect(done({ n: [1] }, { min: { n: 1 } })).toBe('NotNumeric n')
    expect(done({ n: 'a' }, { max: { n: 1 } })).toBe('NotNumeric n')
  })

  it('keep the lesser or the greater', () => {
    expect(done({ n: 5 }, { min: { n: 3 }, max: { n: 4 } })).toEqual(row({ n: 4 }))
    expect(done({}, { min: { n: 3 } })).toEqual(row({ n: 3 }))
    expect(done({ s: 'b' }, { max: { s: 'a' } })).toEqual(row({ s: 'b' }))
    const [early, late] = [new Date(1), new Date(2)]
    expect(done({ d: early }, { max: { d: late } })).toEqual(row({ d: late }))
    expect(done({ n: 5n }, { min: { n: 7n } })).toEqual(row({ n: 5n }))
  })

  it('append to arrays', () => {
    expect(done({ l: [1] }, { append: { l: [2, 3] } })).toEqual(row({ l: [1, 2, 3] }))
    expect(done({}, { append: { l: [1] } })).toEqual(row({ l: [1] }))
    expect(done({ l: null }, { append: { l: [1] } })).toEqual(row({ l: [1] }))
    expect(done({ l: 'x' }, { append: { l: [1] } })).toBe('NotAppendable l')
  })

  it('set and remove fields', () => {
    expect(done({ a: 1, b: 2 }, { patch: { a: null }, remove: ['b'] })).toEqual(row({ a: null }))
    expect(done({}, { patch: { nested: { deep: [1n] } } })).toEqual(row({ nested: { deep: [1n] } }))
  })

  it('start from the row to create when there is none', () => {
    const create: Record<string, Value> = { id: 'a', n: 10 }
    expect(modify(undefined, { increment: { n: 1 }, create })).toEqual({
      ok: true,
      row: row({ n: 11 }),
    })
    expect(modify(undefined, { increment: { n: 1 } })).toMatchObject({
      ok: false,
      code: 'NotFound',
    })
    expect(done({ n: 1 }, { increment: { n: 1 }, create })).toEqual(row({ n: 2 }))
  })

  it('change nothing that they were given', () => {
    const before = row({ n: 1, l: [1] })
    const create = { id: 'a', l: [0] }
    modify(before, { increment: { n: 1 }, append: { l: [2] }, patch: { x: 1 }, create })
    modify(undefined, { append: { l: [2] }, create })
    expect(before).toEqual(row({ n: 1, l: [1] }))
    expect(create).toEqual({ id: 'a', l: [0] })
  })

  it('name every field that they touch', () => {
    const touched = touchedFields({
      increment: { a: 1 },
      min: { b: 1 },
      max: { c: 1 },
      append: { d: [1] },
      patch: { e: 1 },
      remove: ['f'],
      create: { g: 1 },
    })
    expect(touched).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  })
})
