/** Feeds over HTTP: how they begin, live on in silence, and end. */
import { request } from 'node:http'
import { expect, test } from 'vitest'
import type { Value } from '../../src/core/wire.ts'
import { strong } from '../../src/index.ts'
import type { EventStream } from './event-stream.ts'
import { cleanUp, eventually, openDoor, type Door } from './feed-harness.ts'

cleanUp()

const NONE = { feeds: 0, hubs: 0 }
const FEED = '/v1/tables/t/feed'

async function problemOf(response: Response): Promise<Record<string, Value>> {
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  return (await response.json()) as Record<string, Value>
}

async function live(door: Door, query = ''): Promise<EventStream> {
  const stream = await door.feed(query)
  await stream.until(({ kind }) => kind === 'live')
  return stream
}

/** Trims everything that is not the newest. */
async function trim(door: Door): Promise<void> {
  for (let n = 0; n <= 60; n++) await door.db.t.put({ k: `k${n}`, n })
  await new Promise((resolve) => setTimeout(resolve, 5))
  await door.db.t.put({ k: 'last', n: 99 })
  await door.db.upkeep()
  await door.db.upkeep()
  expect(door.db.stats().oldestPosition).toBeGreaterThan(10)
}
const TRIMMING = { retention: { keepMs: 0, keepBytes: 1 } }

test.each([
  ['?from=yesterday', undefined, 400, 'InvalidRequest'],
  ['?limit=1', undefined, 400, 'InvalidRequest'],
  ['?from=now&from=start', undefined, 400, 'InvalidRequest'],
  ['?after=nonsense', undefined, 400, 'InvalidCursor'],
  ['?from=now', 'nonsense', 400, 'InvalidCursor'],
  ['?after=hf1.00000000000000000000000000000000.1', undefined, 400, 'TokenMismatch'],
])('a feed %s (last id %s) is refused before it begins', async (query, lastId, status, code) => {
  const door = await openDoor()
  const headers: Record<string, string> = lastId === undefined ? {} : { 'last-event-id': lastId }
  const answer = await door.fetch(`${FEED}${query}`, { headers })
  expect(answer.status).toBe(status)
  expect(await problemOf(answer)).toMatchObject({ status, code, applied: 'no' })
  expect(door.feeds.open).toEqual(NONE)
})

test('tables that are not there, or hidden, have no feed', async () => {
  const door = await openDoor()
  for (const name of ['none', '_tokens', '__proto__']) {
    const answer = await door.fetch(`/v1/tables/${name}/feed`)
    expect(await problemOf(answer)).toMatchObject({ status: 404, code: 'UnknownTable' })
  }
})

test('HEAD answers as GET would begin, and opens nothing', async () => {
  const door = await openDoor()
  const answer = await door.fetch(FEED, { method: 'HEAD' })
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe('text/event-stream')
  expect(door.feeds.open).toEqual(NONE)
})

test('what is no longer kept is 410 before the stream begins', async () => {
  const door = await openDoor(TRIMMING)
  const { token } = await door.db.t.put({ k: 'a', n: 0 })
  await trim(door)
  const answer = await door.fetch(`${FEED}?after=${token}`)
  expect(await problemOf(answer)).toMatchObject({ status: 410, code: 'FeedTrimmed' })
  expect(door.feeds.open).toEqual(NONE)
})

test('a reader that lags behind what is kept is told so, in the stream', async () => {
  const door = await openDoor(TRIMMING)
  const pad = 'x'.repeat(100_000)
  for (let n = 0; n < 4; n++) await door.db.t.put({ k: 'a', n, pad })
  const stream = await door.feed('?from=start')
  expect((await stream.next())?.kind).toBe('insert')
  await trim(door)
  const rest = await stream.until(() => false)
  expect(rest.at(-1)).toMatchObject({
    kind: 'problem',
    data: { status: 410, code: 'FeedTrimmed', applied: 'no' },
  })
  await eventually(() => door.feeds.open.feeds === 0)
})

test('dropping the table ends its feeds with a problem, and a new one has its own', async () => {
  const door = await openDoor()
  const streams = await Promise.all([live(door), live(door, '?from=snapshot')])
  await door.db.t.put({ k: 'a', n: 1 })
  await door.db.drop('t')
  for (const stream of streams) {
    const events = await stream.until(() => false)
    expect(events.map(({ kind }) => kind)).toEqual(['insert', 'problem'])
    expect(events.at(-1)?.data).toMatchObject({ status: 404, code: 'UnknownTable' })
  }
  expect(door.feeds.open).toEqual(NONE)
  await door.db.define('t', strong<{ k: string; n: number }>({ key: 'k' }))
  const anew = await live(door)
  await door.db.table('t').put({ k: 'b', n: 2 })
  expect(await anew.next()).toMatchObject({ kind: 'insert', data: { key: 'b' } })
  await anew.cancel()
})

test('a server that stops ends its feeds, and says why', async () => {
  const door = await openDoor()
  const pad = 'x'.repeat(100_000)
  await door.db.t.putMany([1, 2, 3].map((n) => ({ k: `k${n}`, n, pad })))
  const streams = [await live(door), await door.feed('?from=snapshot')]
  door.stop.abort()
  for (const stream of streams) {
    const events = await stream.until(() => false)
    expect(events.at(-1)).toMatchObject({ kind: 'end', data: { code: 'ShuttingDown' } })
  }
  expect(door.feeds.open).toEqual(NONE)
  expect(await problemOf(await door.fetch(FEED))).toMatchObject({ code: 'ShuttingDown' })
})

test('closing the database ends its feeds', async () => {
  const door = await openDoor()
  const stream = await live(door)
  await door.db.close()
  expect(await stream.next()).toMatchObject({ kind: 'problem', data: { code: 'Closed' } })
  expect(await stream.next()).toBeUndefined()
})

test('past the limit feeds are refused, and room is made by those that leave', async () => {
  const door = await openDoor({ feeds: 2 })
  const streams = [await live(door), await live(door)]
  const refused = await door.fetch(FEED)
  expect(await problemOf(refused)).toMatchObject({ status: 429, code: 'Overloaded' })
  await streams[0]?.cancel()
  const next = await live(door)
  expect(door.feeds.open).toEqual({ feeds: 2, hubs: 1 })
  await Promise.all([next.cancel(), streams[1]?.cancel()])
  expect(door.feeds.open).toEqual(NONE)
})

test('clients that are gone leave no watch behind, whatever they were reading', async () => {
  const door = await openDoor()
  const pad = 'x'.repeat(50_000)
  await door.db.t.putMany(Array.from({ length: 200 }, (_, n) => ({ k: `k${n}`, n, pad })))
  const url = await door.listen()
  const gone = ['?from=now', '?from=snapshot', '?from=start'].flatMap((query) =>
    [1, 2, 3].map(
      () =>
        new Promise<void>((resolve, reject) => {
          const client = request(`${url}${FEED}${query}`, (answer) => {
            answer.once('data', () => {
              client.destroy()
              resolve()
            })
          })
          client.on('error', (cause) => {
            if (!client.destroyed) reject(cause)
          })
          client.end()
        }),
    ),
  )
  await Promise.all(gone)
  await eventually(() => door.feeds.open.feeds === 0 && door.feeds.open.hubs === 0)
  expect(door.feeds.open).toEqual(NONE)
})

test('one timer beats for all, and moves the id past what others wrote', async () => {
  const door = await openDoor()
  const streams = await Promise.all(Array.from({ length: 50 }, () => live(door)))
  const first = streams.map(({ lastId }) => lastId)
  const { token } = await door.db.other.put({ k: 'a', n: 1 })
  const reading = streams.map((stream) => stream.next())
  await eventually(() => {
    expect(door.beat()).toBeLessThanOrEqual(1)
    return streams.every(({ lastId }) => lastId === token)
  })
  expect(first).not.toContain(token)
  await door.db.t.put({ k: 'a', n: 1 })
  for (const event of await Promise.all(reading)) expect(event?.kind).toBe('insert')
  await Promise.all(streams.map((stream) => stream.cancel()))
  expect(door.feeds.open).toEqual(NONE)
  expect(door.beat()).toBe(1)
  expect(door.beat()).toBe(0)
})

test('snapshots that nobody reads on block neither queries nor other feeds for ever', async () => {
  const door = await openDoor()
  const pad = 'x'.repeat(50_000)
  await door.db.t.putMany(Array.from({ length: 20 }, (_, n) => ({ k: `k${n}`, n, pad })))
  const feeds = Array.from({ length: 40 }, () => door.feed('?from=snapshot'))
  const stalled = await Promise.all(feeds.slice(0, 8))
  for (const stream of stalled) expect((await stream.next())?.kind).toBe('row')
  expect(await door.db.t.query().toArray()).toHaveLength(20)
  // One beat later they have not moved; at the next they give way.
  door.beat()
  door.beat()
  for (const stream of stalled) {
    const events = await stream.until(() => false)
    expect(events.at(-1)).toMatchObject({ kind: 'problem', data: { code: 'SnapshotExpired' } })
  }
  for (const feed of feeds.slice(8)) {
    const stream = await feed
    const rows = await stream.until(({ kind }) => kind === 'live')
    expect(rows).toHaveLength(21)
    await stream.cancel()
  }
  expect(door.feeds.open).toEqual(NONE)
})

test('many that begin at once are no more than the limit', async () => {
  const door = await openDoor({ feeds: 2 })
  await door.db.t.put({ k: 'a', n: 1 })
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => door.fetch(`${FEED}?from=start`)),
  )
  const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b)
  expect(statuses).toEqual([200, 200, 429, 429, 429])
  for (const { body } of answers) await body?.cancel()
  expect(door.feeds.open).toEqual(NONE)
})

test('a feed that waits for its snapshot while the server stops holds none', async () => {
  const door = await openDoor()
  await door.db.t.putMany(Array.from({ length: 600 }, (_, n) => ({ k: `k${n}`, n })))
  const reading = await Promise.all(
    Array.from({ length: 8 }, () => door.fetch(`${FEED}?from=snapshot`)),
  )
  expect(reading.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200))
  const waiting = [1, 2, 3].map(() => door.fetch(`${FEED}?from=snapshot`))
  await new Promise((resolve) => setImmediate(resolve))
  door.stop.abort()
  for (const answer of await Promise.all(waiting)) {
    expect(await problemOf(answer)).toMatchObject({ status: 503, code: 'ShuttingDown' })
  }
  expect(door.feeds.open).toEqual(NONE)
  // All 32 there are for everybody are free.
  for (let i = 0; i < 32; i++) await door.db.t.query().page({ limit: 1 })
})
