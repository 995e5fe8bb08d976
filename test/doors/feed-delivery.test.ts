/** Feeds over HTTP: every change exactly once, in order, whoever joins when, and whatever is cut. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Value } from '../../src/core/wire.ts'
import { EventStream, type StreamEvent } from './event-stream.ts'
import { cleanUp, openDoor, type Door, type Row } from './feed-harness.ts'

cleanUp()

const END = 'the end'
const isEnd = ({ data }: StreamEvent): boolean => data['key'] === END
const isChange = ({ kind }: StreamEvent): boolean => kind !== 'row' && kind !== 'live'

interface Told {
  readonly token: string
  readonly kind: string
  readonly key: Value | undefined
  readonly row: Value | undefined
}

/** All changes of the table, by the log itself. */
async function history(door: Door): Promise<Told[]> {
  const all: Told[] = []
  for await (const { token, kind, key, row } of door.db.t.watch({ from: 'start' })) {
    all.push({ token, kind, key, row: row as unknown as Value })
    if (key === END) break
  }
  return all
}

function told(events: readonly StreamEvent[]): Told[] {
  return events.filter(isChange).map(({ id, kind, data }) => {
    return { token: id, kind, key: data['key'], row: data['row'] }
  })
}

/** The history from its first change that was told, and the number of changes before it. */
function expectSuffix(events: readonly StreamEvent[], all: readonly Told[]): number {
  const changes = told(events)
  const first = all.findIndex(({ token }) => token === changes[0]?.token)
  expect(first).toBeGreaterThanOrEqual(0)
  expect(changes).toEqual(all.slice(first))
  return first
}

/** Writes in many ways until `done`, then the last row. */
async function writeUntil(door: Door, done: () => boolean): Promise<void> {
  const { t, other } = door.db
  for (let i = 0; !done(); i++) {
    const k = (step: number): string => `k${(i * step) % 97}`
    await Promise.all([
      t.put({ k: k(1), n: i }),
      t.delete(k(7)),
      t.increment(k(3), { n: 1 }, { create: { k: k(3), n: 0 } }),
      t.putMany([1, 2, 3].map((n) => ({ k: k(n), n }))),
      other.put({ k: 'other', n: i }),
    ])
    await new Promise((resolve) => setImmediate(resolve))
  }
  await t.put({ k: END, n: -1 })
}

/** A table built of what a feed from a snapshot gives. */
function replayed(events: readonly StreamEvent[]): Map<Value | undefined, Value | undefined> {
  const rows = new Map<Value | undefined, Value | undefined>()
  let live = false
  for (const { kind, data, id } of events) {
    const { key, row } = data
    if (kind === 'live') {
      live = true
      continue
    }
    if (kind === 'row') {
      expect([live, id, rows.has(key)]).toEqual([false, '', false])
      rows.set(key, row)
    } else if (kind === 'delete') {
      expect(rows.delete(key)).toBe(true)
    } else {
      expect(rows.has(key)).toBe(kind === 'update')
      rows.set(key, row)
    }
  }
  expect(live).toBe(true)
  return rows
}

async function rowsOf(door: Door): Promise<Map<Value | undefined, Value | undefined>> {
  const rows: Row[] = await door.db.t.query().toArray()
  return new Map(rows.map((row) => [row.k, row as unknown as Value]))
}

type Opened = { readonly from: string; readonly events: Promise<StreamEvent[]> }

/** Feeds that begin one after another, of each kind in turn, while rows are written. */
async function joinAtAllMoments(count: number, open: OpenFeed): Promise<Opened[]> {
  const opened: Opened[] = []
  for (let i = 0; i < count; i++) {
    const from = ['now', 'snapshot', 'start'][i % 3] as string
    const stream = await open(`?from=${from}`)
    opened.push({ from, events: stream.until(isEnd) })
    if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  return opened
}
type OpenFeed = (query: string) => Promise<EventStream>

async function expectExact(door: Door, opened: readonly Opened[]): Promise<void> {
  const all = await history(door)
  const rows = await rowsOf(door)
  for (const { from, events } of opened) {
    const seen = await events
    const before = expectSuffix(seen, all)
    expect(seen.filter(({ kind }) => kind === 'live')).toHaveLength(1)
    if (from === 'start') expect(before).toBe(0)
    if (from === 'snapshot') expect(replayed(seen)).toEqual(rows)
  }
}

describe('feeds of one table', () => {
  test.each([100, 1_000])(
    '%i of them get every change once and in order',
    async (count) => {
      const door = await openDoor()
      await door.db.t.putMany(Array.from({ length: 60 }, (_, n) => ({ k: `k${n}`, n })))
      let joined = false
      const writing = writeUntil(door, () => joined)
      const opened = await joinAtAllMoments(count, (query) => door.feed(query))
      joined = true
      await writing
      await expectExact(door, opened)
    },
    60_000,
  )

  test('go on after any event, wherever they are cut', async () => {
    const door = await openDoor()
    let stop = false
    const writing = writeUntil(door, () => stop)
    await door.feed('?from=start').then(async (stream) => {
      let count = 0
      await stream.until(() => ++count >= 1_500)
      await stream.cancel()
    })
    stop = true
    await writing
    const all = await history(door)
    const cuts = fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 12 })
    const resumed = fc.asyncProperty(cuts, fc.boolean(), async (lengths, byHeader) => {
      const changes: Told[] = []
      let lastId = ''
      for (const length of [...lengths, Number.POSITIVE_INFINITY]) {
        const query = byHeader && lastId !== '' ? '?after=nonsense' : `?after=${lastId}`
        const stream = await door.feed(lastId === '' ? '?from=start' : query, lastId)
        let count = 0
        changes.push(...told(await stream.until((event) => isEnd(event) || ++count >= length)))
        // What was read ahead of the last event taken is not taken.
        lastId = changes.at(-1)?.token ?? lastId
        await stream.cancel()
        if (changes.at(-1)?.key === END) break
      }
      expect(changes).toEqual(all)
    })
    const seed = Number(process.env['HOLDFAST_SEED'] ?? Date.now() % 1_000_000_000)
    console.log(`feed cuts: seed ${seed}`)
    await fc.assert(resumed, { seed, numRuns: 25 })
    expect(door.feeds.open).toEqual({ feeds: 0, hubs: 0 })
  }, 60_000)

  test('go on from `live` as from any event, and rows of a snapshot have no id', async () => {
    const door = await openDoor()
    await door.db.t.putMany([1, 2, 3].map((n) => ({ k: `k${n}`, n })))
    const stream = await door.feed('?from=snapshot')
    const rows = await stream.until(({ kind }) => kind === 'live')
    expect(rows.map(({ kind, id }) => [kind, id === ''])).toEqual([
      ['row', true],
      ['row', true],
      ['row', true],
      ['live', false],
    ])
    await stream.cancel()
    await door.db.t.put({ k: 'k1', n: 9 })
    const again = await door.feed('', stream.lastId)
    expect(await again.next()).toMatchObject({ kind: 'update', data: { key: 'k1' } })
    expect(await again.next()).toMatchObject({ kind: 'live' })
    await again.cancel()
  })

  test('a snapshot of no rows is live at once', async () => {
    const door = await openDoor()
    const stream = await door.feed('?from=snapshot')
    expect((await stream.next())?.kind).toBe('live')
    expect(stream.retryMs).toBe(2_000)
    await door.db.t.put({ k: 'a', n: 1 })
    expect(await stream.next()).toMatchObject({ kind: 'insert', data: { row: { k: 'a', n: 1 } } })
    await stream.cancel()
  })

  test('hand out bigint, dates and bytes in wire form, on one line each', async () => {
    const door = await openDoor()
    const row = { k: 'a\n\nid: x', at: new Date(0), big: 2n ** 70n, bytes: new Uint8Array([1, 2]) }
    const stream = await door.feed('')
    await stream.next()
    await door.db.table('t').put(row)
    expect((await stream.next())?.data['row']).toEqual(row)
    await stream.cancel()
  })
})

describe('readers that stall', () => {
  test('lag behind what is kept for all, and miss nothing', async () => {
    const door = await openDoor()
    const streams = await Promise.all(Array.from({ length: 20 }, () => door.feed('?from=now')))
    for (const stream of streams) expect((await stream.next())?.kind).toBe('live')
    // Twice what the ring holds, in changes that come in many batches.
    const pad = 'x'.repeat(20_000)
    for (let round = 0; round < 40; round++) {
      await door.db.t.putMany(
        Array.from({ length: 10 }, (_, n) => ({ k: `k${n}`, n: round * 10 + n, pad })),
      )
    }
    await door.db.t.put({ k: END, n: 0 })
    const all = await history(door)
    expect(all).toHaveLength(401)
    for (const stream of streams) {
      expect(told(await stream.until(isEnd))).toEqual(all)
      await stream.cancel()
    }
  })

  test('over sockets, every change reaches those that read and those that pause', async () => {
    const door = await openDoor()
    const url = await door.listen()
    const open: OpenFeed = async (query) => {
      return new EventStream(await fetch(`${url}/v1/tables/t/feed${query}`))
    }
    let joined = false
    const writing = writeUntil(door, () => joined)
    const paused = await open('?from=start')
    const opened = await joinAtAllMoments(30, open)
    joined = true
    await writing
    opened.push({ from: 'start', events: paused.until(isEnd) })
    await expectExact(door, opened)
  })
})
