/** When the store fails, or the database is closed: every caller is told, nothing hangs (S9, S14). */
import { describe, expect, test } from 'vitest'
import { HoldfastError, strong, unvalidated } from '../../src/index.ts'
import { cleanUp, codeOf, FaultyStore, later, openInside, sleep, within } from './harness.ts'

interface Row {
  k: string
  n: number
}
const t = strong({ row: unvalidated<Row>(), key: 'k', indexes: { byN: 'n' } })
const full = (): HoldfastError => new HoldfastError('StorageFull', 'the disk is full')
const broken = (): HoldfastError => new HoldfastError('StorageFailed', 'the disk is broken')

describe('a store that fails', () => {
  cleanUp()

  test.each([
    ['StorageFull', full],
    ['StorageFailed', broken],
  ])('with %s: every call is told so, and reads go on', async (code, failure) => {
    const store = new FaultyStore()
    const { db, node } = await openInside({ t }, { store })
    await db.t.putMany([1, 2, 3].map((n) => ({ k: `k${n}`, n })))
    const feed = db.t.watch()[Symbol.asyncIterator]()
    const change = codeOf(feed.next())
    store.failWith = failure()
    const calls = [
      db.t.put({ k: 'a', n: 1 }),
      db.t.insert({ k: 'b', n: 1 }),
      db.t.update('k1', (row) => ({ ...row, n: 9 })),
      db.t.update('k1', (row) => ({ ...row, n: 10 })),
      db.t.delete('k2'),
      db.transact(async (tx) => {
        const row = (await tx.t.get('k3')) as Row
        await later()
        await tx.t.put({ ...row, n: 7 })
      }),
      db.define('u', t),
      db.drop('t'),
    ]
    const codes = await within(5_000, Promise.all(calls.map((call) => codeOf(call))))
    for (const told of codes) expect([code, 'Halted']).toContain(told)
    expect(await within(1_000, change)).toBe(code)
    // Later ones too; none of these was ever sent, and they say so.
    await sleep(5)
    const late = db.t.put({ k: 'z', n: 1 }).catch((cause: unknown) => cause as HoldfastError)
    expect(await within(1_000, late)).toMatchObject({ kind: 'unavailable', applied: 'no' })
    expect(await codeOf(within(1_000, db.upkeep()))).not.toBe('none')
    expect(node.loop.halted?.code).toBe(code)
    // What was flushed stays readable.
    expect(await db.t.get('k1')).toEqual({ k: 'k1', n: 1 })
    expect(await db.t.query({ index: 'byN', gte: 2 }).toArray()).toHaveLength(2)
    expect(await db.t.count()).toBe(3)
    expect(await db.transact(async (tx) => (await tx.t.query().toArray()).length)).toBe(3)
    await within(2_000, db.close())
  })

  test('while it is being closed: the close ends, and lets go', async () => {
    const store = new FaultyStore()
    const { db, released } = await openInside({ t }, { store })
    await db.t.put({ k: 'a', n: 1 })
    store.hold()
    const write = codeOf(db.t.put({ k: 'b', n: 1 }))
    await later()
    await later()
    const closing = db.close()
    store.failWith = full()
    const next = codeOf(db.t.put({ k: 'c', n: 1 }))
    store.letGo()
    await within(5_000, closing)
    expect(['none', 'StorageFull', 'Closed', 'OutcomeUnknown']).toContain(
      await within(1_000, write),
    )
    expect(await within(1_000, next)).not.toBe('none')
    expect(released()).toBe(1)
  })
})

describe('closing', () => {
  cleanUp()

  test('settles every promise, whatever it was waiting for', async () => {
    const { db } = await openInside({ t })
    await db.t.putMany(Array.from({ length: 600 }, (_, n) => ({ k: `k${n}`, n })))
    const feed = db.t.watch()[Symbol.asyncIterator]()
    const rows = db.t.query()[Symbol.asyncIterator]()
    await rows.next()
    const calls: Promise<unknown>[] = [feed.next()]
    for (let i = 0; i < 300; i++) {
      calls.push(
        db.t.put({ k: `k${i}`, n: -i }),
        db.t.update('k1', (row) => ({ ...row, n: row.n + 1 })),
        db.transact(async (tx) => {
          const row = (await tx.t.get('k2')) as Row
          if (i % 3 === 0) await later()
          await tx.t.put({ ...row, n: row.n + 1 })
        }),
      )
    }
    calls.push(db.define('u', t), db.upkeep(), db.check(), db.t.query().toArray())
    const told = Promise.all(calls.map((call) => codeOf(call)))
    await later()
    await within(5_000, db.close())
    const codes = new Set(await within(5_000, told))
    for (const code of codes)
      expect(['none', 'Closed', 'SnapshotExpired', 'Conflict']).toContain(code)
    const rest = (async () => {
      for (;;) if ((await rows.next()).done === true) return
    })()
    expect(['Closed', 'SnapshotExpired']).toContain(await within(1_000, codeOf(rest)))
  })
})

describe('deadlines and signals', () => {
  cleanUp()

  test('a call that is sent and not settled in time has an unknown outcome', async () => {
    const store = new FaultyStore()
    const { db } = await openInside({ t }, { store })
    store.hold()
    const slow = db.t.put({ k: 'a', n: 1 }, { deadlineMs: 50 })
    await later()
    await later()
    // Behind it: not sent, so not applied.
    const behind = db.t.put({ k: 'b', n: 1 }, { deadlineMs: 50 })
    expect(await within(2_000, codeOf(slow))).toBe('OutcomeUnknown')
    expect(await within(2_000, codeOf(behind))).toBe('DeadlineExceeded')
    store.letGo()
    await db.t.put({ k: 'c', n: 1 })
    expect(await db.t.has('b')).toBe(false)
  })

  test('an abort tells what was sent from what was not', async () => {
    const store = new FaultyStore()
    const { db } = await openInside({ t }, { store })
    store.hold()
    const [one, two] = [new AbortController(), new AbortController()]
    const sent = codeOf(db.t.put({ k: 'a', n: 1 }, { signal: one.signal }))
    await later()
    await later()
    const unsent = codeOf(db.t.put({ k: 'b', n: 1 }, { signal: two.signal }))
    await later()
    one.abort()
    two.abort()
    expect(await within(1_000, sent)).toBe('Aborted')
    expect(await within(1_000, unsent)).toBe('Cancelled')
    store.letGo()
    await db.t.put({ k: 'c', n: 1 })
    expect(await db.t.has('a')).toBe(true)
    expect(await db.t.has('b')).toBe(false)
  })

  test('a process that was busy does not cut deadlines short', async () => {
    const { db } = await openInside({ t })
    await db.t.put({ k: 'a', n: 1 })
    const until = performance.now() + 700
    while (performance.now() < until);
    expect(await codeOf(db.t.put({ k: 'b', n: 1 }, { deadlineMs: 300 }))).toBe('none')
  })
})
