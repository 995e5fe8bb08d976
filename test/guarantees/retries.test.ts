/** What a call that lost writes, reads and tells: the call decides, not what was done to its input later. */
import { afterEach, describe, expect, test } from 'vitest'
import { strong, unique, unvalidated } from '../../src/index.ts'
import type { Node } from '../../src/shard/node.ts'
import {
  cleanUp,
  codeOf,
  FaultyStore,
  later,
  onBothStores,
  openInside,
  sleep,
  within,
} from './harness.ts'

interface Row {
  k: string
  n: number
  tags?: string[]
  mail?: string
}
const plain = strong({ row: unvalidated<Row>(), key: 'k' })
const indexed = strong({ row: unvalidated<Row>(), key: 'k', indexes: { byN: 'n' } })
const both = strong({
  row: unvalidated<Row>(),
  key: 'k',
  indexes: { byN: 'n', byMail: 'mail' },
})
const rows = strong({ row: unvalidated<Row>(), key: 'k', indexes: { byMail: unique('mail') } })

onBothStores('a write that lost', (openAt) => {
  test('writes again what it was called with', async () => {
    const db = await openAt({ rows })
    const names = ['a', 'b', 'c']
    const first = names.map((k): Row => ({ k, n: 0, tags: ['z'], mail: `first-${k}` }))
    const given = names.map((k, n): Row => ({ k, n, tags: ['a'], mail: k }))
    const [a, b, c] = given as [Row, Row, Row]
    // All read their row in the step in which another write of it is sent ahead of them.
    const ahead = first.map((row) => db.rows.put(row))
    const calls = [
      db.rows.put(a),
      db.rows.put(b, { idempotencyKey: 'b' }),
      db.rows.append('c', { tags: c.tags as string[] }, { create: c }),
    ]
    for (const row of given) {
      row.k = 'other'
      row.n = 99
      row.mail = 'other'
      row.tags?.push('later')
    }
    await Promise.all(ahead)
    const written = await Promise.all(calls)
    const expected = [
      { k: 'a', n: 0, tags: ['a'], mail: 'a' },
      { k: 'b', n: 1, tags: ['a'], mail: 'b' },
      { k: 'c', n: 0, tags: ['z', 'a'], mail: 'first-c' },
    ]
    expect(written.map(({ row }) => row)).toEqual(expected)
    expect(await db.rows.query().toArray()).toEqual(expected)
    expect((await db.check()).problems).toEqual([])
  })

  test('goes by the key it was called with', async () => {
    const blobs = strong({ row: unvalidated<{ id: Uint8Array; n: number }>(), key: 'id' })
    const db = await openAt({ blobs })
    const key = (byte: number): Uint8Array => Uint8Array.of(byte)
    await db.blobs.putMany([1, 2, 9].map((byte) => ({ id: key(byte), n: byte })))
    const [one, two] = [key(1), key(2)]
    const ahead = [db.blobs.put({ id: key(1), n: 10 }), db.blobs.put({ id: key(2), n: 10 })]
    const calls = [db.blobs.delete(one), db.blobs.update(two, (row) => ({ ...row, n: row.n + 1 }))]
    for (const bytes of [one, two]) bytes[0] = 9
    await Promise.all([...calls, ...ahead])
    const left = (await db.blobs.query().toArray()).map(({ id, n }) => [id[0], n])
    expect(left).toEqual([
      [2, 11],
      [9, 9],
    ])
  })
})

describe('calls of a database that is held up', () => {
  cleanUp()
  let store = new FaultyStore()
  afterEach(() => store.letGo())

  /** Entries on their way, as many as may be: what is sent now is decided later, in its order. */
  function occupy(node: Node): Promise<unknown> {
    store.hold()
    const size = { entries: 16_384, writes: 1_000_000 }
    return Promise.all(
      Array.from({ length: 16 }, () => node.proposer.command({ type: 'window', size })),
    )
  }

  test('a write that lost to a change of its table writes what it was called with', async () => {
    store = new FaultyStore()
    const { db, node } = await openInside({ plain }, { store })
    await db.plain.put({ k: 'a', n: 1 })
    const busy = occupy(node)
    const ready = db.define('plain', indexed)
    const given = ['b', 'c', 'd'].map((k): Row => ({ k, n: 1, tags: ['a'] }))
    const [b, c, d] = given as [Row, Row, Row]
    const calls = [
      db.plain.put(b),
      db.plain.insert(c),
      db.plain.append('d', { tags: d.tags as string[] }, { create: d }),
    ]
    for (const row of given) {
      row.k = 'other'
      row.n = 99
      row.tags?.push('later')
    }
    store.letGo()
    await Promise.all([busy, ready, ...calls])
    expect(
      await db
        .table('plain')
        .query({ index: 'byN', eq: 1 } as never)
        .toArray(),
    ).toEqual([
      { k: 'a', n: 1 },
      { k: 'b', n: 1, tags: ['a'] },
      { k: 'c', n: 1, tags: ['a'] },
      { k: 'd', n: 1, tags: ['a', 'a'] },
    ])
    expect((await db.check()).problems).toEqual([])
  })

  test('a row of the old shape is brought to the new one when its table changed meanwhile', async () => {
    store = new FaultyStore()
    const { db, node } = await openInside({ plain }, { store })
    await db.plain.put({ k: 'a', n: 1 })
    const next = strong({
      row: unvalidated<{ k: string; total: number }>(),
      key: 'k',
      version: 1,
      migrate: ({ k, n }) => ({ k: String(k), total: Number(n) }),
    })
    const busy = occupy(node)
    const ready = db.define('plain', next)
    await later()
    const behind = db.plain.put({ k: 'c', n: 3 })
    store.letGo()
    await Promise.all([busy, behind, ready])
    expect(await db.table('plain').query().toArray()).toEqual([
      { k: 'a', total: 1 },
      { k: 'c', total: 3 },
    ])
  })

  test.each(['get', 'query', 'index', 'get of nothing'] as const)(
    'a transaction that read a table by %s does not commit behind its drop or change',
    async (kind) => {
      for (const change of ['drop', 'define'] as const) {
        store = new FaultyStore()
        const { db, node } = await openInside({ read: indexed, rows }, { store })
        await db.read.put({ k: 'a', n: 1 })
        const busy = occupy(node)
        // Sent, and decided before the transaction, which is sent behind it.
        const done = change === 'drop' ? db.drop('read') : db.define('read', both)
        let runs = 0
        const run = db.transact(async (tx) => {
          runs++
          if (kind === 'get') await tx.read.get('a')
          else if (kind === 'query') await tx.read.query({ lt: 'b' }).toArray()
          else if (kind === 'index') await tx.read.query({ index: 'byN', eq: 2 }).toArray()
          else await tx.read.get('none')
          await tx.rows.put({ k: 'seen', n: runs })
        })
        const told = codeOf(run)
        await later()
        expect(runs).toBe(1)
        store.letGo()
        await Promise.all([busy, done])
        expect(await told).toBe(change === 'drop' ? 'UnknownTable' : 'none')
        expect(runs).toBeGreaterThan(1)
        expect((await db.rows.get('seen'))?.n).toBe(change === 'drop' ? undefined : runs)
      }
    },
  )

  test('an update that waits is told when its time is over', async () => {
    store = new FaultyStore()
    const { db } = await openInside({ plain }, { store })
    await db.plain.put({ k: 'a', n: 0 })
    store.hold()
    const add =
      (amount: number) =>
      (row: Row): Row => ({ ...row, n: row.n + amount })
    const [sent, stopped] = [new AbortController(), new AbortController()]
    // These are one chain each: the first goes at once, the second gathers behind it.
    const first = db.plain.update('a', add(1), { signal: sent.signal })
    const late = db.plain.update('a', add(10), { deadlineMs: 30 })
    const aborted = db.plain.update('a', add(100), { signal: stopped.signal })
    const patient = db.plain.update('a', add(1000))
    const told = Promise.all([codeOf(first), codeOf(late), codeOf(aborted)])
    await later()
    sent.abort()
    stopped.abort()
    expect(await within(5_000, told)).toEqual(['Aborted', 'DeadlineExceeded', 'Cancelled'])
    store.letGo()
    expect((await patient).row.n).toBe(1001)
    expect((await db.plain.get('a'))?.n).toBe(1001)
  })

  test('an update that was sent has an unknown outcome when its time is over', async () => {
    store = new FaultyStore()
    const { db } = await openInside({ plain }, { store })
    await db.plain.put({ k: 'a', n: 0 })
    const block = db.plain.update('a', () => undefined)
    // One chain with two deadlines.
    const hasty = db.plain.update('a', (row) => ({ ...row, n: row.n + 1 }), { deadlineMs: 30 })
    const patient = db.plain.update('a', (row) => ({ ...row, n: row.n + 1 }))
    store.hold()
    await block
    expect(await within(5_000, codeOf(hasty))).toBe('OutcomeUnknown')
    store.letGo()
    expect((await patient).row.n).toBe(2)
  })
})

describe('a transaction that only reads', () => {
  cleanUp()

  test('settles on one state of rows that are written all the time', async () => {
    const { db } = await openInside({ plain })
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
    await db.plain.putMany(keys.map((k) => ({ k, n: 0 })))
    let done = false
    const writer = (async () => {
      for (let n = 1; !done; n++) {
        await db.transact((tx) => Promise.all(keys.map((k) => tx.plain.put({ k, n }))))
      }
    })()
    const read = async (end: (seen: number[]) => number): Promise<[number, number]> => {
      let runs = 0
      const value = await db.transact(
        async (tx) => {
          runs++
          const seen: number[] = []
          for (const k of keys) {
            seen.push((await tx.plain.get(k))?.n ?? -1)
            await sleep(1)
          }
          seen.push(...(await tx.plain.query().toArray()).map(({ n }) => n))
          return end(seen)
        },
        { deadlineMs: 5_000 },
      )
      return [value, runs]
    }
    const distinct = (seen: number[]): number => new Set(seen).size
    expect(await read(distinct)).toEqual([1, 2])
    const thrown = read((seen) => {
      throw new Error(`saw ${distinct(seen)}`)
    })
    await expect(thrown).rejects.toThrow('saw 1')
    done = true
    await writer
  })

  test('and then writes is judged as any other', async () => {
    const { db } = await openInside({ plain })
    await db.plain.putMany([
      { k: 'x', n: 0 },
      { k: 'y', n: 0 },
    ])
    const both = (n: number): Promise<unknown> =>
      db.transact((tx) => Promise.all(['x', 'y'].map((k) => tx.plain.put({ k, n }))))
    let runs = 0
    await db.transact(async (tx) => {
      const run = ++runs
      const x = (await tx.plain.get('x'))?.n ?? -1
      if (run <= 2) await both(run)
      const y = (await tx.plain.get('y'))?.n ?? -1
      if (run > 1) await tx.plain.put({ k: 'sum', n: x + y })
    })
    expect(runs).toBe(3)
    expect((await db.plain.get('sum'))?.n).toBe(4)
  })
})

onBothStores('a transaction whose function does not await', (openAt) => {
  test('has what was called before it returned', async () => {
    const db = await openAt({ plain })
    await db.transact((tx) => {
      void tx.plain.put({ k: 'a', n: 1 })
      void tx.plain.insert({ k: 'b', n: 2 })
    })
    await db.transact(async (tx) => {
      void tx.plain.update('a', (row) => ({ ...row, n: 5 }))
      void tx.plain.delete('b')
    })
    expect(await db.plain.query().toArray()).toEqual([{ k: 'a', n: 5 }])
  })

  test('fails with what was refused to nobody, and with nothing that somebody took', async () => {
    const db = await openAt({ plain })
    await db.plain.put({ k: 'a', n: 1 })
    const unseen = db.transact(async (tx) => {
      await tx.plain.put({ k: 'b', n: 1 })
      void tx.plain.insert({ k: 'a', n: 2 })
    })
    expect(await codeOf(unseen)).toBe('AlreadyExists')
    expect(await db.plain.has('b')).toBe(false)
    await db.transact(async (tx) => {
      tx.plain.insert({ k: 'a', n: 2 }).catch(() => undefined)
      const tried = await Promise.allSettled([tx.plain.insert({ k: 'a', n: 2 })])
      await tx.plain.put({ k: 'c', n: tried.length })
    })
    expect(await db.plain.has('c')).toBe(true)
    expect(await codeOf(db.transact((tx) => tx.plain.insert({ k: 'a', n: 2 })))).toBe(
      'AlreadyExists',
    )
  })

  test.each(['toArray', 'count', 'first', 'next'] as const)(
    'fails by name while %s still runs, and applies nothing',
    async (kind) => {
      const db = await openAt({ plain })
      await db.plain.putMany(Array.from({ length: 600 }, (_, i) => ({ k: `k${i}`, n: i })))
      const leave = db.transact(async (tx) => {
        await tx.plain.put({ k: 'b', n: 1 })
        const query = tx.plain.query({ gte: 'k' })
        if (kind === 'toArray') void query.toArray()
        else if (kind === 'first') void query.first()
        else if (kind === 'next') void query[Symbol.asyncIterator]().next()
        else void tx.plain.count({ gte: 'k' })
      })
      await expect(leave).rejects.toMatchObject({ code: 'TransactionClosed', applied: 'no' })
      expect(await db.plain.has('b')).toBe(false)
      await db.transact(async (tx) => {
        for await (const row of tx.plain.query({ gte: 'k' })) {
          await tx.plain.put({ k: 'b', n: row.n })
          break
        }
      })
      expect(await db.plain.has('b')).toBe(true)
    },
  )
})
