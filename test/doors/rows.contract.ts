/** Single rows: what is stored, what is refused, and by which code. */
import { describe, expect, test } from 'vitest'
import { strong, type Key, type Value } from '../../src/index.ts'
import { codeOf, type OpenDoor } from './places.ts'
import { tables, type Plain } from './tables.ts'

const KEYS: readonly Key[] = [
  'a',
  '',
  '.',
  '..',
  '...',
  '~',
  '~1',
  'a/b',
  'a b+c%20?#&=',
  'ü\u{1F600}\0',
  'rows',
  0,
  -1.5,
  1e21,
  123456789012345678901234567890n,
  -1n,
  new Date(0),
  new Date('2026-11-22T01:02:03.004Z'),
  Uint8Array.of(),
  Uint8Array.of(0, 255, 1),
  [],
  ['a', 1],
  ['~', ['x', 2n], new Date(5), Uint8Array.of(1)],
]

export function rowsContract(open: OpenDoor): void {
  describe('rows', () => {
    test('come back as they were stored', async () => {
      const { db, other } = await open(tables)
      const row: Record<string, Value> = {
        k: 'all',
        big: 2n ** 70n,
        at: new Date(7),
        bytes: Uint8Array.of(1, 2, 255),
        none: null,
        list: [1, 'two', [3n], { deep: { er: new Date(1) } }],
        $date: 'a field of this name',
        one: { $bytes: 'an object with one such field' },
        'odd name/': 0.1,
        text: 'ü\u{1F600}\u2028"\\',
        yes: true,
      }
      const written = await db.table('plain').put(row)
      expect(written.row).toEqual(row)
      expect(written).toMatchObject({
        position: expect.any(Number) as unknown,
        durability: expect.stringMatching(/^(memory|fsynced)$/) as unknown,
        token: expect.stringMatching(/^hf1\.[0-9a-f]{32}\.\d+$/) as unknown,
      })
      expect(await other.table('plain').get('all')).toEqual(row)
      const missing = { k: 'm', n: 1, g: undefined }
      expect(Object.keys((await db.plain.put(missing as never)).row)).toEqual(['k', 'n'])
      expect(await other.plain.get('m')).toEqual({ k: 'm', n: 1 })
    })

    test('have keys of every type, whatever is in them', async () => {
      const { db, embedded } = await open({ any: strong<{ k: string }>({ key: 'k' }) })
      const table = db.table('any')
      for (const [n, k] of KEYS.entries()) await table.insert({ k, n })
      expect(await embedded.any.count()).toBe(KEYS.length)
      for (const [n, k] of KEYS.entries()) {
        expect(await table.get(k)).toEqual({ k, n })
        expect(await table.has(k)).toBe(true)
        expect((await table.increment(k, { n: 100 } as never)).row).toEqual({ k, n: n + 100 })
        expect(await table.query({ eq: k }).toArray()).toEqual([{ k, n: n + 100 }])
        const rows = await db.transact((tx) => tx.table('any').getMany([k, ['none', 1]]))
        expect(rows).toEqual([{ k, n: n + 100 }, undefined])
        expect(await table.delete(k)).toMatchObject({ existed: true })
        expect(await table.delete(k)).toMatchObject({ existed: false })
        expect(await table.get(k)).toBeUndefined()
      }
    })

    test('are inserted once, overwritten by put, and deleted', async () => {
      const { db } = await open(tables)
      await db.plain.insert({ k: 'a', n: 1 })
      expect(await codeOf(db.plain.insert({ k: 'a', n: 2 }))).toBe('AlreadyExists')
      expect((await db.plain.put({ k: 'a', n: 3 })).row).toEqual({ k: 'a', n: 3 })
      expect(await db.plain.getMany(['a', 'none', 'a'])).toEqual([
        { k: 'a', n: 3 },
        undefined,
        { k: 'a', n: 3 },
      ])
      const first = await db.plain.put({ k: 'b', n: 1 })
      const second = await db.plain.delete('b')
      expect(second.existed).toBe(true)
      expect(second.position).toBeGreaterThan(first.position)
      expect(await db.plain.has('b')).toBe(false)
    })

    test('are checked by their schema, and get its defaults', async () => {
      const { db } = await open(tables)
      const { row } = await db.checked.insert({ id: ' x ' })
      expect(row).toEqual({ id: 'x', age: 18, tags: [] })
      expect(await db.checked.get('x')).toEqual(row)
      const refusal = db.checked.put({ id: 'y', age: 1.5 })
      await expect(refusal).rejects.toMatchObject({
        code: 'InvalidRow',
        kind: 'rejected',
        applied: 'no',
        details: { issues: [{ path: 'age' }] },
      })
      const updated = await db.checked.update('x', (before) => ({ id: before.id, tags: ['t'] }))
      expect(updated.row).toEqual({ id: 'x', age: 18, tags: ['t'] })
      expect(await codeOf(db.checked.update('x', () => ({ id: 'x', age: 'no' }) as never))).toBe(
        'InvalidRow',
      )
      const made = await db.transact((tx) => tx.checked.put({ id: 'z' }))
      expect(made).toEqual({ id: 'z', age: 18, tags: [] })
    })

    test('are refused by the same codes', async () => {
      const { db } = await open(tables)
      const { plain, full } = db
      await full.insert({ k: 'a', n: 1, g: 'x', mail: 'm' })
      await plain.insert({ k: 'a', n: 1 })
      const bad = (fields: object): Promise<string> =>
        codeOf(() => plain.put({ k: 'bad', n: 1, ...fields }))
      expect({
        nan: await bad({ n: Number.NaN }),
        function: await bad({ f: () => 1 }),
        date: await bad({ d: new Date(Number.NaN) }),
        class: await bad({ m: new Map() }),
        key: await bad({ k: null }),
        noKey: await codeOf(() => plain.put({ n: 1 } as never)),
        large: await bad({ g: 'x'.repeat(300_000) }),
        longKey: await bad({ k: 'x'.repeat(1_100) }),
        noRow: await codeOf(() => plain.put('row' as never)),
        list: await codeOf(() => plain.insert([] as never)),
        getNone: await codeOf(() => plain.get(undefined as never)),
        getNaN: await codeOf(() => plain.get(Number.NaN as never)),
        unique: await codeOf(full.insert({ k: 'b', n: 1, mail: 'm' })),
        uniquePut: await codeOf(full.put({ k: 'b', n: 1, mail: 'm' })),
        uniqueUpdate: await codeOf(async () => {
          await full.put({ k: 'c', n: 1 })
          await full.update('c', (row) => ({ ...row, mail: 'm' }))
        }),
        notIndexable: await codeOf(full.put({ k: 'b', n: 1, g: [null] } as never)),
        indexed: await codeOf(full.increment('a', { n: 1 })),
        missing: await codeOf(plain.increment('none', { n: 1 })),
        updateMissing: await codeOf(plain.update('none', (row) => row)),
        notNumeric: await codeOf(plain.increment('a', { k2: 1, n: 1n } as never)),
        notAppendable: await codeOf(plain.append('a', { n: [1] } as never)),
        amount: await codeOf(() => plain.increment('a', { n: Number.NaN })),
        elements: await codeOf(() => plain.append('a', { tags: 'x' } as never)),
        otherKey: await codeOf(plain.update('a', (row) => ({ ...row, k: 'b' }))),
        promise: await codeOf(plain.update('a', (() => Promise.resolve()) as never)),
        noFunction: await codeOf(() => plain.update('a', 1 as never)),
        table: await codeOf(() => db.table('none').get('a')),
        hidden: await codeOf(() => db.table('_tokens').get('a')),
        index: await codeOf(() => plain.query({ index: 'none', eq: 1 } as never).toArray()),
        signal: await codeOf(() => plain.put({ k: 'a', n: 1 }, { signal: 1 as never })),
        deadline: await codeOf(() => plain.put({ k: 'a', n: 1 }, { deadlineMs: 'x' as never })),
        cancelled: await codeOf(() => plain.put({ k: 'a', n: 9 }, { signal: AbortSignal.abort() })),
      }).toEqual({
        nan: 'InvalidValue',
        function: 'InvalidValue',
        date: 'InvalidValue',
        class: 'InvalidValue',
        key: 'InvalidKey',
        noKey: 'InvalidKey',
        large: 'RowTooLarge',
        longKey: 'KeyTooLarge',
        noRow: 'InvalidRow',
        list: 'InvalidRow',
        getNone: 'InvalidKey',
        getNaN: 'InvalidKey',
        unique: 'UniqueViolation',
        uniquePut: 'UniqueViolation',
        uniqueUpdate: 'UniqueViolation',
        notIndexable: 'NotIndexable',
        indexed: 'IndexedField',
        missing: 'NotFound',
        updateMissing: 'NotFound',
        notNumeric: 'NotNumeric',
        notAppendable: 'NotAppendable',
        amount: 'InvalidArgument',
        elements: 'InvalidArgument',
        otherKey: 'InvalidArgument',
        promise: 'InvalidArgument',
        noFunction: 'InvalidArgument',
        table: 'UnknownTable',
        hidden: 'UnknownTable',
        index: 'UnknownIndex',
        signal: 'InvalidArgument',
        deadline: 'InvalidArgument',
        cancelled: 'Cancelled',
      })
      expect(await plain.query().toArray()).toEqual([{ k: 'a', n: 1 }])
    })

    test('are changed where they are', async () => {
      const { db } = await open(tables)
      const row: Plain = { k: 'a', n: 1, big: 1n, at: new Date(5), g: 'm' }
      await db.plain.insert(row)
      expect((await db.plain.increment('a', { n: 2, big: 2n })).row).toEqual({
        ...row,
        n: 3,
        big: 3n,
      })
      expect((await db.plain.decrement('a', { n: 5 })).row.n).toBe(-2)
      expect((await db.plain.min('a', { n: -7, at: new Date(9), g: 'a' })).row).toMatchObject({
        n: -7,
        at: new Date(5),
        g: 'a',
      })
      expect((await db.plain.max('a', { n: -9, at: new Date(9) })).row.at).toEqual(new Date(9))
      expect((await db.plain.append('a', { tags: ['x', 'y'] })).row.tags).toEqual(['x', 'y'])
      const patched = await db.plain.patch('a', { g: undefined, n: 1 })
      expect(patched.row).toEqual({ k: 'a', n: 1, big: 3n, at: new Date(9), tags: ['x', 'y'] })
      const create = { k: 'new', n: 10 }
      expect((await db.plain.increment('new', { n: 1 }, { create })).row).toEqual({
        k: 'new',
        n: 11,
      })
      await db.full.put({ k: 'f', n: 1, g: 'x', mail: 'm' })
      await db.full.patch('f', { g: 'y', mail: undefined })
      expect(await db.full.query({ index: 'byG', eq: 'y' }).toArray()).toEqual([
        { k: 'f', n: 1, g: 'y' },
      ])
    })

    test('are each on their own in bulk', async () => {
      const { db } = await open(tables)
      const inserted = await db.full.insertMany([
        { k: 'a', n: 1, mail: 'm' },
        { k: 'b', n: 2, mail: 'm' },
        { k: 'c', n: Number.NaN },
        { k: 'd', n: 4 },
        { k: 'a', n: 5 },
      ])
      expect(
        inserted.map((one) => (one.ok ? one.value.row.k : (one.error as never)['code'])),
      ).toEqual(['a', 'UniqueViolation', 'InvalidValue', 'd', 'AlreadyExists'])
      expect(inserted[0]).toMatchObject({
        ok: true,
        value: {
          position: expect.any(Number) as unknown,
          durability: expect.any(String) as unknown,
        },
      })
      const put = await db.plain.putMany(
        Array.from({ length: 1_500 }, (_, n) => ({ k: String(n), n })),
      )
      expect(put.filter(({ ok }) => ok)).toHaveLength(1_500)
      expect(await db.plain.count()).toBe(1_500)
      const deleted = await db.plain.deleteMany(['1', 'none', '2'])
      expect(deleted.map((one) => one.ok && one.value.existed)).toEqual([true, false, true])
      expect(await db.plain.insertMany([])).toEqual([])
      expect(await codeOf(() => db.plain.insertMany(1 as never))).toBe('InvalidArgument')
    })

    test('are many with one signal, of which nothing warns', async () => {
      const { db } = await open(tables)
      const warned: string[] = []
      const hear = (warning: Error): void => void warned.push(warning.message)
      process.on('warning', hear)
      try {
        const { signal } = new AbortController()
        const rows = Array.from({ length: 500 }, (_, n) => ({ k: String(n), n }))
        await db.plain.putMany(rows, { signal })
        await Promise.all(rows.map(({ k }) => db.plain.update(k, (row) => row, { signal })))
        await new Promise(setImmediate)
        expect(warned).toEqual([])
      } finally {
        process.off('warning', hear)
      }
    })

    test('are updated by all who do it at once', async () => {
      const { db, other } = await open(tables)
      await db.plain.insert({ k: 'n', n: 0 })
      await Promise.all(
        Array.from({ length: 40 }, (_, i) =>
          (i % 2 === 0 ? db : other).plain.update('n', (row) => ({ ...row, n: row.n + 1 })),
        ),
      )
      expect(await db.plain.get('n')).toEqual({ k: 'n', n: 40 })
      const same = await db.plain.update('n', (row) => {
        row.n = -1
        return undefined
      })
      expect(same.row).toEqual({ k: 'n', n: 40 })
      expect(same.durability).toMatch(/^(memory|fsynced)$/)
      const thrown = new Error('mine')
      const update = db.plain.update('n', () => {
        throw thrown
      })
      await expect(update).rejects.toBe(thrown)
    })

    test('are written once by an idempotency key', async () => {
      const { db } = await open(tables)
      const once = (idempotencyKey: string): { idempotencyKey: string } => ({ idempotencyKey })
      const first = await db.plain.insert({ k: 'a', n: 1 }, once('i'))
      await db.plain.delete('a')
      const again = await db.plain.insert({ k: 'a', n: 1 }, once('i'))
      expect([again.position, again.row]).toEqual([first.position, first.row])
      expect(await db.plain.has('a')).toBe(false)
      expect(await codeOf(db.plain.insert({ k: 'a', n: 2 }, once('i')))).toBe('IdempotencyMismatch')
      await db.plain.put({ k: 'a', n: 1 })
      for (let i = 0; i < 3; i++) {
        expect((await db.plain.increment('a', { n: 1 }, once('inc'))).row.n).toBe(2)
        const updated = await db.plain.update('a', (row) => ({ ...row, g: 'u' }), once('up'))
        expect(updated.row).toEqual({ k: 'a', n: 2, g: 'u' })
      }
      expect(await db.plain.get('a')).toEqual({ k: 'a', n: 2, g: 'u' })
      expect((await db.plain.delete('a', once('del'))).existed).toBe(true)
      expect((await db.plain.delete('a', once('del'))).existed).toBe(true)
      expect(await codeOf(db.plain.put({ k: 'a', n: 1 }, once('')))).toBe('InvalidArgument')
      expect(await codeOf(db.plain.put({ k: 'a', n: 1 }, once('x'.repeat(257))))).toBe(
        'InvalidArgument',
      )
    })
  })

  describe('the database', () => {
    test('tells its figures, and drops tables and indexes', async () => {
      const { db } = await open(tables)
      await db.plain.put({ k: 'a', n: 1 })
      const stats = await db.stats()
      expect(stats.tables.map(({ name }) => name)).toEqual(['checked', 'full', 'pairs', 'plain'])
      expect(stats.tables.find(({ name }) => name === 'plain')).toMatchObject({
        rows: 1,
        key: ['k'],
        validated: false,
      })
      expect(stats.identity).toMatch(/^[0-9a-f]{32}$/)
      expect(stats.durability).toMatch(/^(memory|fsynced)$/)
      await db.dropIndex('full', 'byG')
      expect(await codeOf(db.full.query({ index: 'byG', eq: 'x' }).toArray())).toBe('UnknownIndex')
      expect(await codeOf(db.dropIndex('full', 'byG'))).toBe('UnknownIndex')
      await db.drop('plain')
      expect(await codeOf(() => db.table('plain').get('a'))).toBe('UnknownTable')
      expect(await codeOf(() => db.drop('plain'))).toBe('UnknownTable')
    })

    test('reads what a token stands for, and refuses what is none', async () => {
      const { db, other } = await open(tables)
      const { token } = await db.plain.put({ k: 'a', n: 1 })
      expect(await other.plain.get('a', { after: token, level: 'session' })).toBeDefined()
      expect(db.token).toMatch(/^hf1\./)
      expect(await codeOf(other.plain.get('a', { after: 'none' }))).toBe('InvalidCursor')
      const foreign = `hf1.${'0'.repeat(32)}.1`
      expect(await codeOf(other.plain.get('a', { after: foreign }))).toBe('TokenMismatch')
    })

    test('does nothing once it is closed', async () => {
      const { db } = await open(tables)
      await db.plain.put({ k: 'a', n: 1 })
      await db.close()
      expect(await codeOf(() => db.plain.get('a'))).toBe('Closed')
      expect(await codeOf(() => db.plain.put({ k: 'a', n: 2 }))).toBe('Closed')
      expect(await codeOf(() => db.transact((tx) => tx.plain.get('a')))).toBe('Closed')
    })
  })
}
