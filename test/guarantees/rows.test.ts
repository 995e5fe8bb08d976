/** Rows: what is written is what is read, whole, or it is refused with a code. */
import { type } from 'arktype'
import fc from 'fast-check'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { LIMITS, strong, unvalidated, type Value } from '../../src/index.ts'
import { codeOf, onBothStores } from './harness.ts'

interface Row {
  id: string
  v?: unknown
  n?: number
}
const t = strong({ row: unvalidated<Row>(), key: 'id' })

const leaf: fc.Arbitrary<Value> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
  fc.integer(),
  fc.bigInt(),
  fc.bigInt({ min: -(2n ** 900n), max: 2n ** 900n }),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array(),
)
const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthSize: 'medium' },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      fc.string().filter((field) => field !== '__proto__'),
      tie('value'),
      { maxKeys: 4, noNullPrototype: true },
    ),
  ),
})).value

onBothStores('rows', (openAt) => {
  test('are written, read, changed and removed', async () => {
    const db = await openAt({ t })
    const one = await db.t.insert({ id: 'a', n: 1 })
    expect(one.row).toEqual({ id: 'a', n: 1 })
    expect(await codeOf(db.t.insert({ id: 'a' }))).toBe('AlreadyExists')
    const two = await db.t.put({ id: 'a', n: 2 })
    expect(two.position).toBeGreaterThan(one.position)
    expect(await db.t.get('a', { after: two.token })).toEqual({ id: 'a', n: 2 })
    expect((await db.t.update('a', (row) => ({ ...row, n: 3 }))).row.n).toBe(3)
    expect((await db.t.update('a', () => undefined)).row.n).toBe(3)
    expect(await codeOf(db.t.update('none', (row) => row))).toBe('NotFound')
    expect(await codeOf(db.t.update('a', (row) => ({ ...row, id: 'b' })))).toBe('InvalidArgument')
    expect(await codeOf(db.t.update('a', (async () => ({ id: 'a' })) as never))).toBe(
      'InvalidArgument',
    )
    expect((await db.t.patch('a', { v: 'x', n: undefined })).row).toEqual({ id: 'a', v: 'x' })
    expect(await codeOf(db.t.patch('none', { n: 1 }))).toBe('NotFound')
    expect(await db.t.getMany(['a', 'b', 'a'])).toEqual([
      { id: 'a', v: 'x' },
      undefined,
      { id: 'a', v: 'x' },
    ])
    expect(await db.t.delete('a')).toMatchObject({ existed: true })
    expect(await db.t.delete('a')).toMatchObject({ existed: false })
    expect(await db.t.get('a')).toBeUndefined()
    expect((await db.check()).problems).toEqual([])
  })

  test('of any values come back as they were', async () => {
    const db = await openAt({ t })
    await fc.assert(
      fc.asyncProperty(value, async (v) => {
        await db.t.put({ id: 'a', v })
        expect(await db.t.get('a')).toEqual({ id: 'a', v })
        expect((await db.t.query().toArray())[0]).toEqual({ id: 'a', v })
      }),
      { numRuns: 150 },
    )
  })

  test('keep missing, null, bytes, dates and zero apart', async () => {
    const db = await openAt({ t })
    const v = { a: null, d: new Date(5), b: Uint8Array.of(1, 2), e: [], o: {}, big: 5n, small: 5 }
    await db.t.put({ id: 'a', v: { ...v, missing: undefined, zero: -0 } })
    const row = await db.t.get('a')
    expect(row).toStrictEqual({ id: 'a', v: { ...v, zero: 0 } })
    expect(Object.hasOwn(row?.v as object, 'missing')).toBe(false)
  })

  test('give bytes that nobody changes later', async () => {
    const db = await openAt({ t })
    const given = Buffer.from('hello')
    await db.t.put({ id: 'a', v: given })
    const got = (await db.t.get('a'))?.v as Uint8Array
    const [scanned] = await db.t.query().toArray()
    given.fill(0)
    for (let i = 0; i < 50; i++) await db.t.put({ id: 'a', v: Buffer.alloc(5, i) })
    expect(Buffer.from(got).toString()).toBe('hello')
    expect(Buffer.from(scanned?.v as Uint8Array).toString()).toBe('hello')
  })

  test('that are read belong to the reader', async () => {
    const db = await openAt({ t })
    const given = { id: 'a', v: { list: [1] } }
    const { row } = await db.t.put(given)
    given.v.list.push(2)
    ;(row.v as { list: number[] }).list.push(3)
    const one = (await db.t.get('a')) as { v: { list: number[] } }
    expect(one.v.list).toEqual([1])
    one.v.list.push(4)
    expect(await db.t.get('a')).toEqual({ id: 'a', v: { list: [1] } })
  })

  test('that cannot be stored are refused, with the place', async () => {
    const db = await openAt({ t })
    const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)])
    const proto = JSON.parse('{"id":"a","v":{"__proto__":1}}') as Row
    class Own {
      x = 1
    }
    const bad: [unknown, string][] = [
      [{ id: 'a', v: Number.NaN }, 'InvalidValue'],
      [{ id: 'a', v: Number.POSITIVE_INFINITY }, 'InvalidValue'],
      [{ id: 'a', v: () => 1 }, 'InvalidValue'],
      [{ id: 'a', v: Symbol('x') }, 'InvalidValue'],
      [{ id: 'a', v: [undefined] }, 'InvalidValue'],
      [{ id: 'a', v: new Date(Number.NaN) }, 'InvalidValue'],
      [{ id: 'a', v: new Map() }, 'InvalidValue'],
      [{ id: 'a', v: new Own() }, 'InvalidValue'],
      [{ id: 'a', v: deep(64) }, 'InvalidValue'],
      [proto, 'InvalidValue'],
      [{ id: 'a', v: 'x'.repeat(LIMITS.rowBytes) }, 'RowTooLarge'],
      [{ id: 'x'.repeat(LIMITS.keyBytes) }, 'KeyTooLarge'],
      [{ v: 1 }, 'InvalidKey'],
      [{ id: null }, 'InvalidKey'],
      [{ id: true }, 'InvalidKey'],
      [{ id: Number.NaN }, 'InvalidKey'],
      [{ id: {} }, 'InvalidKey'],
      ['text', 'InvalidRow'],
      [null, 'InvalidRow'],
      [[1], 'InvalidRow'],
      [new Date(), 'InvalidRow'],
    ]
    for (const [row, code] of bad) {
      expect(await codeOf(db.t.put(row as never))).toBe(code)
      expect(await codeOf(db.t.insert(row as never))).toBe(code)
      expect(await codeOf(db.transact((tx) => tx.t.put(row as never)))).toBe(code)
    }
    await expect(db.t.put({ id: 'a', v: { list: [1, Number.NaN] } })).rejects.toMatchObject({
      details: { path: 'v.list[1]' },
    })
    expect(await codeOf(db.t.put({ id: 'a', v: deep(62) }))).toBe('none')
    expect(await codeOf(db.t.put({ id: 'big', v: 'x'.repeat(LIMITS.rowBytes - 100) }))).toBe('none')
    expect(await codeOf(db.t.put({ id: 'x'.repeat(LIMITS.keyBytes - 2) }))).toBe('none')
    expect(await db.t.count()).toBe(3)
    expect((await db.check()).problems).toEqual([])
  })

  test('that grow past the limit by stateful ops are refused, and the row stays', async () => {
    const db = await openAt({ t })
    await db.t.put({ id: 'a', v: [] })
    const part = ['x'.repeat(100_000)]
    expect(await codeOf(db.t.append('a', { v: part } as never))).toBe('none')
    expect(await codeOf(db.t.append('a', { v: part } as never))).toBe('none')
    expect(await codeOf(db.t.append('a', { v: part } as never))).toBe('RowTooLarge')
    const kept = await db.t.get('a')
    expect(kept?.v).toHaveLength(2)
    expect((await db.check()).problems).toEqual([])
  })

  test('in bulk have a result each', async () => {
    const db = await openAt({ t })
    const results = await db.t.insertMany([
      { id: 'a' },
      { id: 'a' },
      { id: 'b', v: Number.NaN },
      { v: 1 } as never,
      { id: 'c' },
    ])
    const codes = results.map((one) => (one.ok ? 'ok' : (one.error as never)['code']))
    expect(codes).toEqual(['ok', 'AlreadyExists', 'InvalidValue', 'InvalidKey', 'ok'])
    const deleted = await db.t.deleteMany(['a', 'none', 'c'])
    expect(deleted.map((one) => one.ok && one.value.existed)).toEqual([true, false, true])
    const many = Array.from({ length: 9_000 }, (_, i) => ({ id: `r${i}`, n: i }))
    const written = await db.t.putMany(many.values())
    expect(written.every(({ ok }) => ok)).toBe(true)
    expect(await db.t.count()).toBe(9_000)
  })

  test('are checked by schemas of zod, valibot and arktype alike', async () => {
    const db = await openAt({
      zod: strong({ row: z.object({ id: z.string(), n: z.number().default(7) }), key: 'id' }),
      valibot: strong({
        row: v.object({ id: v.string(), n: v.optional(v.number(), 7) }),
        key: 'id',
      }),
      arktype: strong({ row: type({ id: 'string', n: 'number = 7' }), key: 'id' }),
    })
    for (const table of [db.zod, db.valibot, db.arktype]) {
      expect(table.validated).toBe(true)
      expect((await table.insert({ id: 'a' })).row).toEqual({ id: 'a', n: 7 })
      await expect(table.insert({ id: 'b', n: 'x' } as never)).rejects.toMatchObject({
        code: 'InvalidRow',
        details: { issues: [{ path: 'n' }] },
      })
      expect(await codeOf(table.update('a', () => ({ id: 5 }) as never))).toBe('InvalidRow')
      expect((await table.update('a', (row) => ({ ...row, n: row.n + 1 }))).row.n).toBe(8)
      const inside = db.transact((tx) => tx[table.name as 'zod'].put({ id: 'c', n: 'x' } as never))
      expect(await codeOf(inside)).toBe('InvalidRow')
    }
    expect(db.stats().tables.every(({ validated }) => validated)).toBe(true)
  })

  test('with keys of every type are found, and in order', async () => {
    const db = await openAt({ t: strong({ row: unvalidated<{ id: never }>(), key: 'id' }) })
    const keys = [
      -1,
      0,
      1.5,
      -5n,
      7n,
      new Date(0),
      '',
      'a',
      new Uint8Array(0),
      Uint8Array.of(9),
      ['a', 1],
    ]
    await db.t.putMany(keys.toReversed().map((id) => ({ id: id as never })))
    expect((await db.t.query().toArray()).map(({ id }) => id)).toEqual(keys)
    for (const id of keys) expect((await db.t.get(id as never))?.id).toEqual(id)
    expect((await db.t.get(-0 as never))?.id).toBe(0)
  })

  test('count without gaps under many stateful ops and updates', async () => {
    const db = await openAt({ t })
    await db.t.put({ id: 'a', n: 0, v: [] })
    const ops = Array.from({ length: 600 }, (_, i) =>
      i % 3 === 0
        ? db.t.increment('a', { n: 1 })
        : i % 3 === 1
          ? db.t.update('a', (row) => ({ ...row, n: (row.n ?? 0) + 1 }))
          : db.t.append('a', { v: [i] } as never),
    )
    const acks = await Promise.all(ops)
    const row = await db.t.get('a')
    expect(row?.n).toBe(400)
    expect(row?.v).toHaveLength(200)
    const told = acks.filter((_, i) => i % 3 !== 2).map((ack) => ack.row.n)
    expect(told.toSorted((a, b) => (a ?? 0) - (b ?? 0))).toEqual(
      Array.from({ length: 400 }, (_, i) => i + 1),
    )
  })
})
