/** Definitions change online (S10): indexes, versions of rows, times to live; and folders keep them. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { open, strong, unique, unvalidated, type SchemaProgress } from '../../src/index.ts'
import { crc32 } from '../../src/core/hash.ts'
import { STATE_KEY } from '../../src/shard/apply-loop.ts'
import { systemEnv } from '../../src/core/system-env.ts'
import { openLmdbStore } from '../../src/store/lmdb-store.ts'
import { StoreBatch } from '../../src/store/store.ts'
import { declareTable } from '../../src/table/schema-work.ts'
import { StrongTableHandle } from '../../src/table/strong/strong-table.ts'
import { TableCore } from '../../src/table/strong/table-core.ts'
import { Snapshots } from '../../src/table/strong/snapshots.ts'
import { Transactor } from '../../src/table/strong/transactor.ts'
import { cleanUp, codeOf, freshFolder, onBothStores, openFolder, openInside } from './harness.ts'

interface Old {
  id: string
  name: string
  n?: number
}
interface New {
  id: string
  title: string
  n?: number
}
const old = strong({ row: unvalidated<Old>(), key: 'id' })
const migrated = strong({
  row: unvalidated<New>(),
  key: 'id',
  version: 1,
  migrate: ({ name, ...row }) => ({ ...row, title: String(name) }) as New,
})
const id = (i: number): string => `r${String(i).padStart(5, '0')}`
const some = (count: number): Old[] =>
  Array.from({ length: count }, (_, i) => ({ id: id(i), name: `n${i % 10}` }))

onBothStores('definitions', (openAt) => {
  test('give an index to rows that are there, while others are written', async () => {
    const db = await openAt({ t: old })
    await db.t.putMany(some(1_500))
    const writing = (async () => {
      for (let i = 0; i < 300; i++) {
        await db.t.put({ id: id(i * 5), name: `w${i % 3}` })
        if (i % 3 === 0) await db.t.delete(id(i * 4 + 1))
      }
    })()
    const indexed = strong({
      row: unvalidated<Old>(),
      key: 'id',
      indexes: { byName: 'name', both: ['name', 'id'] },
    })
    const t = await db.define('t', indexed)
    await writing
    const all = await t.query().toArray()
    for (const name of ['n3', 'w1', 'none']) {
      const found = await t.query({ index: 'byName', eq: name }).toArray()
      expect(found).toEqual(all.filter((row) => row.name === name))
    }
    const pairs = await t.query({ index: 'both', prefix: ['n2'] }).toArray()
    expect(pairs).toEqual(all.filter(({ name }) => name === 'n2'))
    expect((await db.check()).problems).toEqual([])
  })

  test('refuse a unique index that rows do not fit, and list them', async () => {
    const db = await openAt({ t: old })
    await db.t.putMany(some(12))
    const indexed = strong({
      row: unvalidated<Old>(),
      key: 'id',
      indexes: { byName: unique('name') },
    })
    await expect(db.define('t', indexed)).rejects.toMatchObject({
      code: 'SchemaConflict',
      details: { table: 't', rows: [{ key: id(10) }, { key: id(11) }] },
    })
    // It is taken back: nothing is left of it, and what does not fit it can be written again.
    expect(await codeOf(db.table('t').query({ index: 'byName' }).toArray())).toBe('UnknownIndex')
    await db.table('t').put({ id: 'more', name: 'n1' })
    await db.upkeep()
    expect((await db.check()).problems).toEqual([])
    await db.t.deleteMany([id(10), id(11), 'more'])
    await db.define('t', indexed)
    expect(await codeOf(db.table('t').insert({ id: 'x', name: 'n1' }))).toBe('UniqueViolation')
    expect((await db.check()).problems).toEqual([])
  })

  test('refuse values that no index can hold, by row', async () => {
    const db = await openAt({ t: old })
    await db.t.put({ id: 'a', name: { deep: 1 } as never })
    await db.t.put({ id: 'b', name: 'x'.repeat(1_000) })
    await db.t.put({ id: 'c', name: 'fine' })
    const indexed = strong({ row: unvalidated<Old>(), key: 'id', indexes: { byName: 'name' } })
    await expect(db.define('t', indexed)).rejects.toMatchObject({
      code: 'SchemaConflict',
      details: { rows: [{ key: 'a' }, { key: 'b' }] },
    })
    expect((await db.check()).problems).toEqual([])
  })

  test('bring rows to a new version, when read and in the background', async () => {
    const db = await openAt({ t: old })
    await db.t.putMany(some(500))
    const t = await db.define('t', migrated)
    expect(await t.get(id(3))).toEqual({ id: id(3), title: 'n3' })
    expect((await t.query({ gte: id(498) }).toArray()).map(({ title }) => title)).toEqual([
      'n8',
      'n9',
    ])
    expect((await db.check()).problems).toEqual([])
    const again = strong({
      row: unvalidated<{ id: string; upper: string }>(),
      key: 'id',
      version: 2,
      migrate: ({ title, ...row }) => ({ ...row, upper: String(title).toUpperCase() }) as never,
    })
    const t2 = await db.define('t', again)
    expect(await t2.get(id(3))).toEqual({ id: id(3), upper: 'N3' })
  })

  test('refuse a version that changes keys, or rows that cannot be brought to it', async () => {
    const db = await openAt({ t: old })
    await db.t.putMany(some(3))
    const moved = strong({
      row: unvalidated<Old>(),
      key: 'id',
      version: 1,
      migrate: (row) => ({ ...row, id: `other${String(row['id'])}` }) as never,
    })
    await expect(db.define('t', moved)).rejects.toMatchObject({ code: 'SchemaConflict' })
    expect((await db.check()).problems).toEqual([])
    const throwing = strong({
      row: unvalidated<Old>(),
      key: 'id',
      version: 1,
      migrate: (row) => {
        if (row['id'] === id(1)) throw new Error('not this one')
        return row as never
      },
    })
    await expect(db.define('t', throwing)).rejects.toMatchObject({
      code: 'SchemaConflict',
      details: { rows: [{ key: id(1), reason: 'not this one' }] },
    })
    // Mended, it goes through.
    await db.define(
      't',
      strong({ row: unvalidated<Old>(), key: 'id', version: 1, migrate: (row) => row as never }),
    )
    expect(await db.table('t').count()).toBe(3)
  })

  test('cannot change a key, or go back a version', async () => {
    const db = await openAt({ t: old })
    const rekeyed = strong({ row: unvalidated<Old>(), key: 'name' })
    expect(await codeOf(db.define('t', rekeyed))).toBe('InvalidSchema')
    const bare = strong({ row: unvalidated<Old>(), key: 'id', version: 2 })
    expect(await codeOf(db.define('t', bare))).toBe('InvalidSchema')
    await db.define('t', migrated)
    expect(await codeOf(db.define('t', old))).toBe('NewerFormat')
  })

  test('drop a table and an index, and leave nothing of them', async () => {
    const t = strong({
      row: unvalidated<Old>(),
      key: 'id',
      indexes: { byName: 'name', byN: unique('n') },
    })
    const db = await openAt({ t, other: old })
    await db.t.putMany(some(300).map((row, n) => ({ ...row, n })))
    await db.other.putMany(some(5))
    await db.dropIndex('t', 'byName')
    expect(await codeOf(db.t.query({ index: 'byName', eq: 'n1' }).toArray())).toBe('UnknownIndex')
    expect(await codeOf(db.dropIndex('t', 'byName'))).toBe('UnknownIndex')
    await db.dropIndex('t', 'byN')
    await db.t.put({ id: 'x', name: 'x', n: 1 })
    expect((await db.check()).problems).toEqual([])
    const handle = db.t
    await db.drop('t')
    expect(await codeOf(handle.get('x'))).toBe('UnknownTable')
    expect(await codeOf(handle.put({ id: 'x', name: 'x' }))).toBe('UnknownTable')
    expect(await codeOf(async () => db.table('t'))).toBe('UnknownTable')
    await db.upkeep()
    expect(db.stats().tables.map(({ name }) => name)).toEqual(['other'])
    expect((await db.check()).rows).toBe(5)
    const again = await db.define('t', t)
    expect(await again.count()).toBe(0)
    expect((await db.check()).problems).toEqual([])
  })

  test('drop and make a table anew under calls that are on their way', async () => {
    const db = await openAt({ t: old })
    await db.t.putMany(some(50))
    const calls = Array.from({ length: 200 }, (_, i) =>
      codeOf(
        i % 3 === 0
          ? db.t.put({ id: id(i), name: 'x' })
          : i % 3 === 1
            ? db.t.update(id(i % 50), (row) => ({ ...row, n: 1 }))
            : db.transact(async (tx) => {
                const row = await tx.t.get(id(i % 50))
                if (row !== undefined) await tx.t.put({ ...row, n: 2 })
              }),
      ),
    )
    const dropped = db.drop('t').then(() => db.define('t', old))
    const codes = new Set(await Promise.all(calls))
    await dropped
    for (const code of codes) expect(['none', 'UnknownTable', 'NotFound']).toContain(code)
    await db.upkeep()
    expect((await db.check()).problems).toEqual([])
  })

  test('drop what a transaction reads: it does not commit on what is gone, or half gone', async () => {
    const indexed = strong({ row: unvalidated<Old>(), key: 'id', indexes: { byName: 'name' } })
    const db = await openAt({ t: indexed, other: old })
    await db.t.putMany(some(1_200).map((row) => ({ ...row, name: 'same' })))
    let [tries, seen] = [0, 0]
    const scan = db.transact(async (tx) => {
      seen = 0
      for await (const row of tx.t.query({ index: 'byName', eq: 'same' })) {
        if (++seen === 100 && tries++ === 0) await db.dropIndex('t', 'byName')
        expect(row.name).toBe('same')
      }
      await tx.other.put({ id: 'count', name: 'x', n: seen })
    })
    expect(await codeOf(scan)).toBe('UnknownIndex')
    tries = 0
    const copy = db.transact(async (tx) => {
      const row = await tx.t.get(id(1))
      if (tries++ === 0) {
        await db.drop('t')
        await db.define('t', old)
      }
      await tx.other.put({ id: 'copy', name: row?.name ?? 'none' })
    })
    expect(await codeOf(copy)).toBe('none')
    expect(await db.other.query().toArray()).toEqual([{ id: 'copy', name: 'none' }])
    expect((await db.check()).problems).toEqual([])
  })

  test('race: many who change one table at once all end with all of it', async () => {
    const db = await openAt({ t: old })
    await db.t.putMany(some(30))
    const with1 = strong({ row: unvalidated<Old>(), key: 'id', indexes: { one: 'name' } })
    const with2 = strong({ row: unvalidated<Old>(), key: 'id', indexes: { two: ['name', 'id'] } })
    await Promise.all([
      db.define('t', with1),
      db.define('t', with2),
      db.define('t', with1),
      db.define('u', old),
      db.define('u', old),
    ])
    const [t] = db.stats().tables
    expect(t?.indexes.map(({ name, state }) => `${name} ${state}`).toSorted()).toEqual([
      'one ready',
      'two ready',
    ])
    expect((await db.check()).problems).toEqual([])
  })

  test('expire rows by upkeep, and leave those whose time was put off', async () => {
    interface Timed {
      id: string
      at?: Date | null
    }
    const t = strong({ row: unvalidated<Timed>(), key: 'id', ttl: 'at' })
    const db = await openAt({ t })
    const [past, future] = [new Date(Date.now() - 5_000), new Date(Date.now() + 3_600_000)]
    await db.t.putMany([
      { id: 'gone', at: past },
      { id: 'kept', at: future },
      { id: 'never' },
      { id: 'null', at: null },
    ])
    await db.t.putMany(Array.from({ length: 600 }, (_, i) => ({ id: id(i), at: past })))
    await db.t.update('gone', (row) => row)
    await db.t.put({ id: id(7), at: future })
    expect(await codeOf(db.t.max('gone', { at: future }))).toBe('IndexedField')
    await db.upkeep()
    expect((await db.t.query().toArray()).map((row) => row.id)).toEqual([
      'kept',
      'never',
      'null',
      id(7),
    ])
    expect((await db.check()).problems).toEqual([])
    const without = strong({ row: unvalidated<Timed>(), key: 'id' })
    await db.define('t', without)
    await db.table('t').patch(id(7), { at: past })
    await db.upkeep()
    expect(await db.table('t').has(id(7))).toBe(true)
    expect(db.stats().tables[0]?.indexes).toEqual([])
    expect((await db.check()).problems).toEqual([])
  })

  test('refuse names that are taken, and what contradicts itself', async () => {
    const db = await openAt({})
    for (const name of ['transact', 'close', 'table', 'then', 'define', 'constructor'])
      expect(await codeOf(db.define(name, old))).toBe('InvalidSchema')
    for (const name of ['', 'a b', '1a', 'x'.repeat(65), 'ä'])
      expect(await codeOf(db.define(name, old))).toBe('InvalidSchema')
    const loose = strong as unknown as (options: unknown) => unknown
    const bad: unknown[] = [
      { key: [] },
      { key: ['a', 'a'] },
      { key: 'a', partition: 2 },
      { key: 'a', partition: 0 },
      { key: 'a', indexes: { x: [] } },
      { key: 'a', indexes: { x: 5 } },
      { key: 'a', indexes: { 'not a name': 'b' } },
      { key: 'a', indexes: { _ttl: 'b' } },
      { key: 'a', version: -1 },
      { key: 'a', version: 1.5 },
    ]
    for (const options of bad)
      expect(await codeOf(async () => loose(options))).toBe('InvalidSchema')
    const asynchronous = strong({
      row: z.object({ id: z.string().refine(async () => true) }),
      key: 'id',
    })
    const t = await db.define('t', asynchronous)
    expect(await codeOf(t.put({ id: 'a' }))).toBe('InvalidSchema')
  })
})

describe('a version that is not everywhere yet', () => {
  cleanUp()
  interface User {
    id: string
    mail: string
    n?: number
    total?: number
  }
  const before = strong({
    row: unvalidated<User>(),
    key: 'id',
    indexes: { byMail: unique('mail'), plainMail: ['mail', 'id'] },
  })
  const after = strong({
    row: unvalidated<User>(),
    key: 'id',
    indexes: { byMail: unique('mail'), plainMail: ['mail', 'id'] },
    version: 1,
    migrate: ({ n, ...row }) =>
      ({ ...row, mail: String(row['mail']).toLowerCase(), total: n }) as unknown as User,
  })

  /** Rows of the old version under the new definition, as they are while the background pass goes on. */
  async function between(): Promise<ReturnType<typeof openInside<{ t: typeof after }>>> {
    const inside = await openInside({ t: before })
    await inside.db.t.putMany(
      ['A', 'B', 'C', 'D', 'E'].map((key, n) => ({ id: key, mail: `${key}@X`, n })),
    )
    // The definition is changed, and the pass over the rows is not begun.
    await declareTable(inside.node, 't', after)
    const { node } = inside
    const core = new TableCore(node, 't', { schema: after.schema, migrate: after.migrate })
    const snapshots = new Snapshots(node.env, node.store)
    const handle = new StrongTableHandle(core, snapshots, new Transactor(node, snapshots))
    Object.defineProperty(inside.db, 't', { value: handle, configurable: true })
    return inside
  }

  test('keeps unique indexes in step with rows that are written meanwhile', async () => {
    const { db } = await between()
    expect(await db.t.get('A')).toEqual({ id: 'A', mail: 'a@x', total: 0 })
    await db.t.update('A', (row) => ({ ...row, total: 5 }))
    await db.t.put({ id: 'B', mail: 'b@x' })
    await db.t.delete('C')
    await db.t.patch('D', { mail: 'new@x' })
    expect(await codeOf(db.t.insert({ id: 'other', mail: 'a@x' }))).toBe('UniqueViolation')
    await db.t.insert({ id: 'other', mail: 'c@x' })
    expect((await db.check()).problems).toEqual([])
    await db.define('t', after)
    expect((await db.check()).problems).toEqual([])
    const mails = (await db.table('t').query({ index: 'byMail' }).toArray()).map(
      (row) => row['mail'],
    )
    expect(mails).toEqual(['a@x', 'b@x', 'c@x', 'e@x', 'new@x'])
  })

  test('brings a row to it before a stateful op changes it', async () => {
    const { db } = await between()
    const { row } = await db.t.increment('B', { total: 10 })
    expect(row).toEqual({ id: 'B', mail: 'b@x', total: 11 })
    await db.transact(async (tx) => {
      const t = tx.table('t')
      t.increment('E', { n: 1 })
    })
    await db.define('t', after)
    expect(await db.table('t').get('B')).toEqual({ id: 'B', mail: 'b@x', total: 11 })
    expect((await db.check()).problems).toEqual([])
  })
})

describe('a folder', () => {
  cleanUp()
  test('keeps tables that are not declared, and takes new ones', async () => {
    const dir = await freshFolder()
    const first = await openFolder(dir, { a: old, b: old })
    await first.a.putMany(some(100))
    await first.b.put({ id: 'x', name: 'x' })
    await first.close()
    const second = await openFolder(dir, { a: old, c: old })
    expect(await second.a.count()).toBe(100)
    expect(await second.table('b').get('x')).toEqual({ id: 'x', name: 'x' })
    await second.table('b').put({ id: 'y', name: 'y' })
    await second.c.put({ id: 'z', name: 'z' })
    expect((await second.check()).problems).toEqual([])
    await second.close()
    const third = await openFolder(dir, {})
    expect(third.stats().tables.map(({ name, rows }) => `${name} ${rows}`)).toEqual([
      'a 100',
      'b 2',
      'c 1',
    ])
    expect((await third.check()).problems).toEqual([])
  })

  test('goes on with work on rows that was interrupted', async () => {
    const dir = await freshFolder()
    const first = await openFolder(dir, { t: old })
    for (let i = 0; i < 10_400; i += 2_600) await first.t.putMany(some(10_400).slice(i, i + 2_600))
    await first.close()
    const both = strong({
      row: unvalidated<New>(),
      key: 'id',
      version: 1,
      migrate: migrated.migrate as never,
      indexes: { byTitle: 'title' },
    })
    // Above 10,000 rows the work is done behind the open database, which is closed amid it.
    const second = await openFolder(dir, { t: both })
    expect(await codeOf(second.t.query({ index: 'byTitle', eq: 'n1' }).toArray())).toBe(
      'IndexNotReady',
    )
    expect((await second.t.get(id(10_399)))?.title).toBe('n9')
    const { row } = await second.t.update(id(10_000), (row) => ({ ...row, title: 'mine' }))
    expect(row).toEqual({ id: id(10_000), title: 'mine' })
    await second.close()
    const phases = new Set<string>()
    const third = await open({
      dir,
      tables: { t: both },
      onProgress: ({ phase }: SchemaProgress) => phases.add(phase),
    })
    try {
      await third.ready()
      expect([...phases]).toContain('done')
      expect(await third.t.count({ index: 'byTitle', eq: 'n1' })).toBe(1_040)
      expect(await third.t.count({ index: 'byTitle', eq: 'mine' })).toBe(1)
      expect((await third.check()).problems).toEqual([])
    } finally {
      await third.close()
    }
  })

  test('is refused to code of an older version of its rows', async () => {
    const dir = await freshFolder()
    const first = await openFolder(dir, { t: migrated })
    await first.t.put({ id: 'a', title: 'x' })
    await first.close()
    expect(await codeOf(openFolder(dir, { t: old }))).toBe('NewerFormat')
    // And the folder is free again.
    const again = await openFolder(dir, { t: migrated })
    expect(await again.t.count()).toBe(1)
  })

  test('of a newer format is refused in words, and is not touched', async () => {
    const dir = await freshFolder()
    const first = await openFolder(dir, { t: old })
    await first.t.put({ id: 'a', name: 'x' })
    await first.close()
    /** Returns the one that it had. */
    const formatted = async (format: number): Promise<number> => {
      const store = openLmdbStore({ env: systemEnv, dir })
      const record = Uint8Array.from(store.get(STATE_KEY) ?? [])
      const before = record[4] as number
      record[4] = format
      new DataView(record.buffer).setUint32(0, crc32(record, 4), true)
      const batch = new StoreBatch()
      batch.put(STATE_KEY, record)
      await store.write(batch)
      await store.close()
      return before
    }
    const own = await formatted(99)
    await expect(openFolder(dir, { t: old })).rejects.toMatchObject({
      code: 'NewerFormat',
      details: { format: 99 },
    })
    await formatted(own)
    expect(await (await openFolder(dir, { t: old })).t.count()).toBe(1)
  })

  test('has one close, however often it is called', async () => {
    const dir = await freshFolder()
    const db = await openFolder(dir, { t: old })
    const write = db.t.put({ id: 'a', name: 'x' })
    await Promise.all([db.close(), db.close()])
    expect((await write).row.id).toBe('a')
    const again = await openFolder(dir, { t: old })
    expect(await again.t.count()).toBe(1)
    expect(await codeOf(db.t.get('a'))).toBe('Closed')
    expect(await codeOf(db.t.put({ id: 'a', name: 'x' }))).toBe('Closed')
    expect(await codeOf(db.transact(() => 1))).toBe('Closed')
    expect(await codeOf(db.t.query().toArray())).toBe('Closed')
    expect(await codeOf(async () => db.stats())).toBe('Closed')
  })
})
