/** Feeds (S12): every change once, in order, without gaps, from wherever they are taken up. */
import { describe, expect, test } from 'vitest'
import { strong, unvalidated, type Change } from '../../src/index.ts'
import {
  cleanUp,
  codeOf,
  FaultyStore,
  freshFolder,
  later,
  onBothStores,
  openFolder,
  openInside,
  sleep,
  within,
} from './harness.ts'

interface Row {
  k: string
  n: number
}
const t = strong({ row: unvalidated<Row>(), key: 'k' })
type Seen = Change<Row, string>
const name = (i: number): string => `k${i}`

/** Takes changes until `enough` says so. */
async function take(
  feed: AsyncIterable<Seen>,
  enough: (seen: readonly Seen[]) => boolean,
): Promise<Seen[]> {
  const seen: Seen[] = []
  if (enough(seen)) return seen
  for await (const change of feed) {
    seen.push(change)
    if (enough(seen)) break
  }
  return seen
}
const count = (wanted: number) => (seen: readonly Seen[]) => seen.length >= wanted
const brief = (seen: readonly Seen[]): string =>
  seen.map(({ kind, key, row }) => `${kind} ${key} ${row?.n ?? '-'}`).join(', ')

onBothStores('a feed', (openAt) => {
  test('does not go on in another table that was made under the same name', async () => {
    const db = await openAt({ t })
    await db.t.insert({ k: 'a', n: 1 })
    const [first] = await take(db.t.watch({ from: 'start' }), count(1))
    const before = db.token
    await db.drop('t')
    await db.define('t', t)
    await db.t.insert({ k: 'b', n: 2 })
    const resumed = db.t.watch({ after: first?.token })[Symbol.asyncIterator]()
    expect(await codeOf(resumed.next())).toBe('FeedTrimmed')
    // The token of a moment is of no table: what came after it in this one is all there.
    const since = await take(db.t.watch({ after: before }), count(1))
    expect(brief(since)).toBe('insert b 2')
  })

  test('tells what happened to each row', async () => {
    const db = await openAt({ t, other: t })
    await db.t.insert({ k: 'a', n: 1 })
    await db.other.insert({ k: 'a', n: 1 })
    await db.t.put({ k: 'a', n: 2 })
    await db.t.increment('a', { n: 1 })
    await db.t.update('a', (row) => ({ ...row, n: row.n + 1 }))
    await db.t.delete('none')
    await db.t.delete('a')
    await db.t.max('b', { n: 5 }, { create: { k: 'b', n: 1 } })
    expect(await codeOf(db.t.increment('none', { n: 1 }))).toBe('NotFound')
    await codeOf(db.t.insert({ k: 'b', n: 1 }))
    await db.transact(async (tx) => {
      await tx.t.delete('b')
      await tx.t.put({ k: 'c', n: 1 })
      tx.t.increment('none', { n: 1 })
    })
    const seen = await take(db.t.watch({ from: 'start' }), count(8))
    expect(brief(seen)).toBe(
      'insert a 1, update a 2, update a 3, update a 4, delete a -, insert b 5, delete b -, insert c 1',
    )
  })

  test('from now begins where it was asked for', async () => {
    const db = await openAt({ t })
    await db.t.put({ k: 'before', n: 0 })
    const feed = db.t.watch()
    await db.t.put({ k: 'a', n: 1 })
    const seen = take(feed, count(2))
    await db.t.put({ k: 'b', n: 2 })
    expect(brief(await within(2_000, seen))).toBe('insert a 1, insert b 2')
  })

  test('goes on after any token, in the middle of an entry too', async () => {
    const db = await openAt({ t })
    // One entry with many ops, and many entries.
    await db.transact(async (tx) => {
      for (let n = 0; n < 20; n++) await tx.t.put({ k: name(n), n })
    })
    await db.t.putMany(Array.from({ length: 50 }, (_, n) => ({ k: name(n), n: n + 100 })))
    const all = await take(db.t.watch({ from: 'start' }), count(70))
    expect(new Set(all.map(({ token }) => token)).size).toBe(70)
    for (const at of [0, 1, 7, 18, 19, 20, 33, 68]) {
      const after = all[at]?.token as string
      const rest = await take(db.t.watch({ after }), count(70 - at - 1))
      expect(brief(rest)).toBe(brief(all.slice(at + 1)))
    }
  })

  test('behind a snapshot gives each row once, and then every change', async () => {
    const db = await openAt({ t })
    await db.t.putMany(Array.from({ length: 900 }, (_, n) => ({ k: name(n), n })))
    let stop = false
    const writer = (async () => {
      for (let i = 0; !stop; i++) {
        await Promise.all([
          db.t.put({ k: name(i % 1_200), n: 10_000 + i }),
          db.t.delete(name((i * 7) % 1_200)),
          db.t.increment(
            name((i * 3) % 900),
            { n: 1 },
            { create: { k: name((i * 3) % 900), n: 0 } },
          ),
        ])
        if (i % 4 === 0) await later()
      }
    })()
    // Whoever applies what a feed gives has the table, at every position it was told of.
    const copies = await Promise.all(
      Array.from({ length: 3 }, async (_, i) => {
        await sleep(i * 7)
        const copy = new Map<string, number>()
        let last = { position: 0, token: '' }
        let changes = 0
        for await (const { kind, key, row, position, token } of db.t.watch({ from: 'snapshot' })) {
          expect(position).toBeGreaterThanOrEqual(last.position)
          last = { position, token }
          if (kind === 'row') expect(changes).toBe(0)
          else changes++
          if (kind === 'delete') {
            expect(copy.delete(key)).toBe(true)
          } else {
            if (kind === 'insert' || kind === 'row') expect(copy.has(key)).toBe(false)
            if (kind === 'update') expect(copy.has(key)).toBe(true)
            copy.set(key, row?.n ?? Number.NaN)
          }
          if (changes >= 400) break
        }
        return { copy, token: last.token }
      }),
    )
    stop = true
    await writer
    await db.t.put({ k: 'end', n: -1 })
    const now = new Map((await db.t.query().toArray()).map(({ k, n }) => [k, n]))
    for (const { copy, token } of copies) {
      const rest = await take(db.t.watch({ after: token }), (seen) => seen.at(-1)?.key === 'end')
      for (const { kind, key, row } of rest) {
        if (kind === 'delete') expect(copy.delete(key)).toBe(true)
        else copy.set(key, row?.n ?? Number.NaN)
      }
      expect(copy).toEqual(now)
    }
  })

  test('has neither gaps nor duplicates under many writers', async () => {
    const db = await openAt({ t })
    const acked: [number, number][] = []
    const feeds = Array.from({ length: 3 }, () => take(db.t.watch(), count(600)))
    await later()
    await Promise.all(
      Array.from({ length: 6 }, async (_, client) => {
        for (let i = 0; i < 100; i++) {
          const n = client * 1_000 + i
          const { position } = await db.t.put({ k: name(n % 40), n })
          acked.push([position, n])
          if (i % 9 === client) await later()
        }
      }),
    )
    for (const seen of await within(10_000, Promise.all(feeds))) {
      const told = seen.map(({ position, row }): [number, number] => [position, row?.n ?? -1])
      expect(told.toSorted(byBoth)).toEqual(acked.toSorted(byBoth))
      const positions = told.map(([position]) => position)
      expect(positions).toEqual(positions.toSorted((a, b) => a - b))
    }
  })

  test('that fell behind what is kept is told so', async () => {
    const db = await openAt({ t }, { retention: { keepMs: 0, keepBytes: 1 } })
    await db.t.put({ k: 'a', n: 0 })
    const [first] = await take(db.t.watch({ from: 'start' }), count(1))
    const slow = db.t.watch({ from: 'start' })[Symbol.asyncIterator]()
    await slow.next()
    for (let n = 1; n <= 60; n++) await db.t.put({ k: name(n), n })
    await sleep(5)
    await db.t.put({ k: 'last', n: 99 })
    await db.upkeep()
    await db.upkeep()
    expect(db.stats().oldestPosition).toBeGreaterThan(10)
    const after = first?.token as string
    expect(await codeOf(take(db.t.watch({ after }), count(1)))).toBe('FeedTrimmed')
    expect(await codeOf(slow.next())).toBe('FeedTrimmed')
    // From the start there is, and behind a snapshot, it goes on.
    const snapshot = await take(db.t.watch({ from: 'snapshot' }), count(62))
    expect(snapshot).toHaveLength(62)
    const next = take(db.t.watch({ from: 'start' }), (seen) => seen.at(-1)?.key === 'new')
    await db.t.put({ k: 'new', n: 1 })
    expect((await within(2_000, next)).at(-1)?.row?.n).toBe(1)
    expect((await db.check()).problems).toEqual([])
  })

  test('is gap-free while what it reads is trimmed', async () => {
    const db = await openAt({ t }, { retention: { keepMs: 0, keepBytes: 1 } })
    await db.t.put({ k: 'a', n: -1 })
    let done = false
    const upkeep = (async () => {
      while (!done) {
        await db.upkeep()
        await later()
      }
    })()
    const feed = (async () => {
      let last = -1
      try {
        for await (const { row } of db.t.watch()) {
          expect(row?.n).toBe(last + 1)
          last = row?.n ?? Number.NaN
          if (last === 299) return 'all'
          if (last % 20 === 0) await sleep(1)
        }
      } catch (cause) {
        return (cause as { code: string }).code
      }
      return 'ended'
    })()
    await later()
    for (let n = 0; n < 300; n++) await db.t.put({ k: name(n % 5), n })
    expect(['all', 'FeedTrimmed']).toContain(await within(10_000, feed))
    done = true
    await upkeep
    expect((await db.check()).problems).toEqual([])
  })

  test('refuses tokens that are none, of another database, or from nowhere yet', async () => {
    const db = await openAt({ t })
    const other = await openAt({ t })
    const { token } = await other.t.put({ k: 'a', n: 1 })
    const refused = (after: string): Promise<string> =>
      codeOf(take(db.t.watch({ after }), count(1)))
    expect(await refused(token)).toBe('TokenMismatch')
    expect(await refused('nonsense')).toBe('InvalidCursor')
    const ahead = db.token.replace(/\d+$/, '99999')
    expect(await refused(ahead)).toBe('TokenMismatch')
    expect(await codeOf(db.t.get('a', { after: ahead }))).toBe('TokenMismatch')
    expect(await codeOf(take(db.t.watch({ after: db.token, from: 'now' }), count(1)))).toBe(
      'InvalidArgument',
    )
  })

  test('ends when its table is dropped', async () => {
    const db = await openAt({ t })
    const feed = db.t.watch()[Symbol.asyncIterator]()
    const next = codeOf(feed.next())
    await db.drop('t')
    expect(await within(2_000, next)).toBe('UnknownTable')
  })
})

const byBoth = (a: readonly [number, number], b: readonly [number, number]): number =>
  a[0] - b[0] || a[1] - b[1]

describe('a feed over a folder', () => {
  cleanUp()
  test('goes on after its token when the folder is opened again', async () => {
    const dir = await freshFolder()
    const first = await openFolder(dir, { t })
    await first.t.putMany(Array.from({ length: 30 }, (_, n) => ({ k: name(n), n })))
    const seen = await take(first.t.watch({ from: 'start' }), count(11))
    await first.close()
    const second = await openFolder(dir, { t })
    await second.t.put({ k: 'new', n: 1 })
    const rest = await take(second.t.watch({ after: seen.at(-1)?.token }), count(20))
    expect(brief(rest)).toBe(
      [
        ...Array.from({ length: 19 }, (_, i) => `insert ${name(i + 11)} ${i + 11}`),
        'insert new 1',
      ].join(', '),
    )
  })

  test('gives no change again that its snapshot has, flushed or not yet reported', async () => {
    const store = new FaultyStore()
    const { db } = await openInside({ t }, { store })
    await db.t.put({ k: 'a', n: 1 })
    store.hold()
    const writing = db.t.put({ k: 'b', n: 2 })
    await later()
    await later()
    const feed = db.t.watch({ from: 'snapshot' })[Symbol.asyncIterator]()
    const first = [(await feed.next()).value as Seen, (await feed.next()).value as Seen]
    expect(brief(first)).toBe('row a 1, row b 2')
    store.letGo()
    await writing
    await db.t.put({ k: 'c', n: 3 })
    expect(brief([(await within(2_000, feed.next())).value as Seen])).toBe('insert c 3')
  })

  test('hands out nothing that is not flushed', async () => {
    const { db, node } = await openInside({ t })
    const feed = (async () => {
      for await (const { position } of db.t.watch()) {
        expect(position).toBeLessThanOrEqual(node.loop.flushed)
        if (position > 40) return
      }
    })()
    await later()
    for (let n = 0; n < 60; n++) await db.t.put({ k: name(n), n })
    await within(5_000, feed)
  })
})
