// Calls that ask for what cannot be: each is refused by name, and nothing of it is in the database.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { LIMITS, open, strong, unique, unvalidated } from '../../src/index.ts'

interface Row {
  id: string
  text?: unknown
  group?: string
  n?: number
  list?: number[]
}

const openTables = () =>
  open({
    memory: true,
    tables: {
      rows: strong({
        row: unvalidated<Row>(),
        key: 'id',
        indexes: { byGroup: 'group', byGroupOnce: unique(['group', 'id']) },
      }),
      typed: strong({ row: z.object({ id: z.string(), n: z.number().int() }), key: 'id' }),
    },
  })

let db: Awaited<ReturnType<typeof openTables>>
beforeEach(async () => {
  db = await openTables()
  await db.rows.put({ id: 'kept', text: 'as it is', group: 'a', n: 1, list: [1] })
})
afterEach(async () => {
  // Whatever was refused left nothing behind.
  expect(await db.rows.query().toArray()).toEqual([
    { id: 'kept', text: 'as it is', group: 'a', n: 1, list: [1] },
  ])
  expect((await db.check()).problems).toEqual([])
  await db.close()
})

const code = (expected: string) => ({ code: expected, applied: 'no' })
const row = (fields: object): Row => ({ id: 'x', ...fields })

describe('refused', () => {
  test.each([
    ['no row', undefined],
    ['null', null],
    ['text', 'row'],
    ['a number', 7],
    ['an array', [1]],
    ['a date', new Date(0)],
  ])('a row that is %s', async (_what, value) => {
    const refused = {
      code: expect.stringMatching(/^Invalid(Row|Value|Key|Argument)$/) as string,
      applied: 'no',
    }
    await expect(db.rows.put(value as never)).rejects.toMatchObject(refused)
    await expect(db.rows.insert(value as never)).rejects.toMatchObject(refused)
  })

  test.each([
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['NaN', Number.NaN],
    ['an infinity', Number.POSITIVE_INFINITY],
    ['an invalid date', new Date(Number.NaN)],
    ['a Map', new Map()],
    ['an object of a class', new (class Thing {})()],
    ['a promise', Promise.resolve()],
    ['half a surrogate pair', '\ud800'],
  ])('a field that holds %s', async (_what, value) => {
    await expect(db.rows.put(row({ text: value }))).rejects.toMatchObject(code('InvalidValue'))
    await expect(
      db.transact((tx) => tx.rows.put(row({ text: { deep: [value] } }))),
    ).rejects.toMatchObject(code('InvalidValue'))
  })

  test('a value that holds itself, or is nested too deep', async () => {
    const loop: { self?: unknown } = {}
    loop.self = loop
    await expect(db.rows.put(row({ text: loop }))).rejects.toMatchObject(code('InvalidValue'))
    let deep: unknown = 1
    for (let depth = 0; depth <= LIMITS.valueDepth; depth++) deep = [deep]
    await expect(db.rows.put(row({ text: deep }))).rejects.toMatchObject(code('InvalidValue'))
  })

  test.each([
    ['missing', undefined],
    ['null', null],
    ['true', true],
    ['an object', {}],
    ['NaN', Number.NaN],
  ])('a key that is %s', async (_what, id) => {
    const bad = { id } as never
    await expect(db.rows.put(bad)).rejects.toMatchObject(code('InvalidKey'))
    const calls: (() => Promise<unknown>)[] = [
      async () => db.rows.get(id as never),
      async () => db.rows.has(id as never),
      async () => db.rows.delete(id as never),
    ]
    for (const call of calls) await expect(call()).rejects.toMatchObject(code('InvalidKey'))
  })

  test('keys, rows, transactions and idempotency keys that are too large, with the figure', async () => {
    const key = 'k'.repeat(LIMITS.keyBytes)
    await expect(db.rows.put(row({ id: key }))).rejects.toMatchObject({
      ...code('KeyTooLarge'),
      message: expect.stringContaining(` ${LIMITS.keyBytes} bytes`) as string,
    })
    await expect((async () => db.rows.get(key))()).rejects.toMatchObject(code('KeyTooLarge'))
    const large = { text: 'x'.repeat(LIMITS.rowBytes) }
    await expect(db.rows.put(row(large))).rejects.toMatchObject({
      ...code('RowTooLarge'),
      message: expect.stringContaining(String(LIMITS.rowBytes)) as string,
    })
    await expect(db.rows.update('kept', (old) => ({ ...old, ...large }))).rejects.toMatchObject(
      code('RowTooLarge'),
    )
    const half = { text: 'x'.repeat(LIMITS.rowBytes * 0.9) }
    await expect(
      db.transact(async (tx) => {
        await tx.rows.put(row(half))
        await tx.rows.put(row({ id: 'y', ...half }))
      }),
    ).rejects.toMatchObject(code('TransactionTooLarge'))
    await expect(
      db.rows.put(row({ group: 'g'.repeat(LIMITS.indexValueBytes) })),
    ).rejects.toMatchObject(code('KeyTooLarge'))
    const idempotencyKey = 'i'.repeat(LIMITS.idempotencyKeyBytes + 1)
    await expect(db.rows.put(row({}), { idempotencyKey })).rejects.toMatchObject(
      code('InvalidArgument'),
    )
  })

  test('an indexed field that no index can hold', async () => {
    await expect(db.rows.put(row({ group: { a: 1 } }))).rejects.toMatchObject(code('NotIndexable'))
  })

  test('a row that its schema refuses', async () => {
    for (const bad of [{ id: 'x' }, { id: 'x', n: 'one' }, { id: 'x', n: 1.5 }, { id: 7, n: 1 }]) {
      await expect(db.typed.put(bad as never)).rejects.toMatchObject(code('InvalidRow'))
    }
    expect(await db.typed.count()).toBe(0)
  })

  test('stateful ops on what cannot take them', async () => {
    const none = db.rows.increment('none', { n: 1 })
    await expect(none).rejects.toMatchObject(code('NotFound'))
    const text = db.rows.increment('kept', { text: 1 } as never)
    await expect(text).rejects.toMatchObject(code('NotNumeric'))
    const bigint = db.rows.increment('kept', { n: 1n } as never)
    await expect(bigint).rejects.toMatchObject(code('NotNumeric'))
    const appended = db.rows.append('kept', { text: [1] } as never)
    await expect(appended).rejects.toMatchObject(code('NotAppendable'))
    const patched = db.transact((tx) => tx.rows.patch('kept', { group: 'b' }))
    await expect(patched).rejects.toMatchObject(code('IndexedField'))
  })

  // It stopped the node: the op was evaluated at apply, where it threw.
  test.each([
    ['a number', 5],
    ['text', 'abc'],
    ['an object', {}],
    ['bytes', new Uint8Array(2)],
    ['null', null],
  ])('elements to append that are %s', async (_what, elements) => {
    const list = { list: elements } as never
    await expect(db.rows.append('kept', list)).rejects.toMatchObject(code('InvalidArgument'))
    await expect(db.rows.append('kept', list, { idempotencyKey: 'append' })).rejects.toMatchObject(
      code('InvalidArgument'),
    )
    await expect(
      db.transact((tx) => {
        tx.rows.append('kept', list)
      }),
    ).rejects.toMatchObject(code('InvalidArgument'))
  })

  test.each<[string, () => unknown]>([
    ['transact without a function', () => db.transact(undefined as never)],
    ['update without a function', () => db.rows.update('kept', {} as never)],
    ['insertMany of no list', () => db.rows.insertMany(5 as never)],
    ['deleteMany of no list', () => db.rows.deleteMany({} as never)],
    ['getMany of no list', () => db.rows.getMany('kept' as never)],
    ['a signal that is none', () => db.rows.put(row({}), { signal: {} as never })],
    ['a deadline that is no number', () => db.rows.put(row({}), { deadlineMs: Number.NaN })],
    ['a deadline that is text', () => db.transact(() => 1, { deadlineMs: '5' as never })],
    [
      'an idempotency key that is no text',
      () => db.rows.put(row({}), { idempotencyKey: 5 as never }),
    ],
    ['a page without options', () => db.rows.query().page(undefined as never)],
    [
      'a feed from nowhere',
      () =>
        db.rows
          .watch({ from: 'nope' as never })
          [Symbol.asyncIterator]()
          .next(),
    ],
  ])('%s', async (_what, call) => {
    await expect((async () => call())()).rejects.toMatchObject(code('InvalidArgument'))
  })

  test('a cursor that is no text', async () => {
    await expect(db.rows.query().page({ limit: 1, cursor: 5 as never })).rejects.toMatchObject(
      code('InvalidCursor'),
    )
  })

  test.each<[string, () => unknown]>([
    ['nothing', () => strong(undefined as never)],
    ['no key', () => strong({ row: unvalidated<Row>() } as never)],
    ['a key that is a number', () => strong({ row: unvalidated<Row>(), key: 5 } as never)],
    ['an object', () => open({ memory: true, tables: { rows: {} as never } })],
    [
      '__proto__',
      () => open({ memory: true, tables: { ['__proto__']: strong<Row>({ key: 'id' }) } }),
    ],
    ['no definition', () => db.define('more', {} as never)],
  ])('a table that is declared by %s', async (_what, declare) => {
    await expect((async () => declare())()).rejects.toMatchObject(code('InvalidSchema'))
  })

  test.each<[string, unknown]>([
    ['null', null],
    ['a folder that is a number', { dir: 5 }],
    ['an empty folder name', { dir: '' }],
  ])('opening with %s', async (_what, options) => {
    await expect(open(options as never)).rejects.toMatchObject(code('InvalidArgument'))
  })

  test('unknown tables and indexes', async () => {
    expect(() => db.table('nowhere')).toThrow(expect.objectContaining(code('UnknownTable')))
    await expect(db.transact((tx) => tx.table('nowhere').put({ id: 'x' }))).rejects.toMatchObject(
      code('UnknownTable'),
    )
    await expect(
      (async () => db.rows.query({ index: 'nothing', eq: 1 } as never).toArray())(),
    ).rejects.toMatchObject(code('UnknownIndex'))
    await expect(db.drop('nowhere')).rejects.toMatchObject(code('UnknownTable'))
  })
})

test('every call on a closed database is Closed, and closing again is nothing', async () => {
  const closed = await openTables()
  await closed.rows.put(row({}))
  const under = closed.rows.put(row({ id: 'under way' }))
  const closing = closed.close()
  await expect(under).resolves.toMatchObject({ durability: 'memory' })
  await closing
  await closed.close()
  const calls: [string, () => unknown][] = [
    ['get', () => closed.rows.get('x')],
    ['has', () => closed.rows.has('x')],
    ['getMany', () => closed.rows.getMany(['x'])],
    ['count', () => closed.rows.count()],
    ['query', () => closed.rows.query().toArray()],
    ['page', () => closed.rows.query().page({ limit: 1 })],
    ['put', () => closed.rows.put(row({}))],
    ['insert', () => closed.rows.insert(row({}))],
    ['update', () => closed.rows.update('x', (old) => old)],
    ['delete', () => closed.rows.delete('x')],
    ['increment', () => closed.rows.increment('x', { n: 1 })],
    ['transact', () => closed.transact((tx) => tx.rows.put(row({})))],
    ['empty transact', () => closed.transact(() => 1)],
    ['watch', () => closed.rows.watch()[Symbol.asyncIterator]().next()],
    ['snapshot feed', () => closed.rows.watch({ from: 'snapshot' })[Symbol.asyncIterator]().next()],
    ['stats', () => closed.stats()],
    ['check', () => closed.check()],
    ['define', () => closed.define('more', strong<Row>({ key: 'id' }))],
    ['drop', () => closed.drop('rows')],
    ['upkeep', () => closed.upkeep()],
  ]
  for (const [name, call] of calls) {
    await expect((async () => call())(), `call of ${name}`).rejects.toMatchObject({
      code: 'Closed',
    })
  }
})
