/** What a client says, and does not do, when what is between it and its server breaks. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connectOver } from '../../src/client/database.ts'
import type { ConnectOptions } from '../../src/client.ts'
import { systemClientEnv } from '../../src/client/system-client-env.ts'
import { createHandler } from '../../src/server.ts'
import { cleanUp, client, closeLater, codeOf, eventually, openMemory } from './places.ts'
import { tables } from './tables.ts'

cleanUp()

const QUICK = { backoffMs: 1, backoffMaxMs: 2 }
const PROBLEM = { 'content-type': 'application/problem+json' }

const unhandled: unknown[] = []
const hear = (cause: unknown): void => void unhandled.push(cause)
beforeEach(() => void process.on('unhandledRejection', hear))
afterEach(async () => {
  await new Promise(setImmediate)
  process.off('unhandledRejection', hear)
  expect(unhandled.splice(0)).toEqual([])
})

const aWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5))

type Pass = (request: Request) => Promise<Response>

/** A client whose requests go through `between`. */
async function through(
  between: (request: Request, pass: Pass) => Promise<Response>,
  options: Partial<ConnectOptions> = {},
): Promise<{
  db: ReturnType<typeof client<typeof tables>>
  embedded: Awaited<ReturnType<typeof openMemory<typeof tables>>>
}> {
  const embedded = await openMemory(tables)
  const handler = createHandler(embedded, { access: 'trusted' })
  const fetch = (request: Request): Promise<Response> =>
    between(request, async (passed) => handler.fetch(passed))
  const db = client<typeof tables>({ url: 'http://holdfast.test', fetch, retry: QUICK, ...options })
  return { db, embedded }
}

function refusedConnection(): never {
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  throw new TypeError('fetch failed', { cause })
}

describe('a write that was applied is never said not to be', () => {
  test('when the server is gone behind the commit of an update', async () => {
    let isGone = false
    const { db, embedded } = await through(async (request, pass) => {
      if (isGone) refusedConnection()
      const isCommit = (await request.clone().text()).includes('"mode":"commit"')
      const answer = await pass(request)
      isGone = isCommit
      return answer
    })
    await embedded.plain.put({ k: 'a', n: 1 })
    const change = (row: { n: number }): { k: string; n: number } => ({ k: 'a', n: row.n + 1 })
    const update = await db.plain.update('a', change, { idempotencyKey: 'once' })
    expect(update).toMatchObject({ row: { k: 'a', n: 2 }, durability: 'memory' })
    expect(update.position).toBeGreaterThan(0)
    expect(await embedded.plain.get('a')).toEqual({ k: 'a', n: 2 })
  })

  test('when the next try is refused, as by a token that has expired meanwhile', async () => {
    let sent = 0
    const { db, embedded } = await through(async (request, pass) => {
      sent++
      if (sent === 2) {
        const problem = { code: 'Unauthenticated', kind: 'rejected', applied: 'no', advice: 'do' }
        return new Response(JSON.stringify(problem), { status: 401, headers: PROBLEM })
      }
      await pass(request)
      throw new TypeError('terminated')
    })
    const insert = db.plain.insert({ k: 'a', n: 1 }, { idempotencyKey: 'once' })
    await expect(insert).rejects.toMatchObject({
      code: 'Unauthenticated',
      kind: 'rejected',
      applied: 'unknown',
      advice: 'do',
    })
    expect(await embedded.plain.count()).toBe(1)
  })

  test('when its answer was cut off, whatever is left of it', async () => {
    const { embedded } = await through((request, pass) => pass(request))
    const handler = createHandler(embedded, { access: 'trusted' })
    // The shortest, the longest, and those in the middle of an escape or a token.
    for (const cut of [0, 1, 2, 12, 40, 60]) {
      const cutting = client<typeof tables>({
        url: 'http://holdfast.test',
        retry: { tries: 1 },
        fetch: async (request) => {
          const answer = await handler.fetch(request)
          const text = (await answer.text()).slice(0, cut)
          return new Response(text, { status: answer.status, headers: answer.headers })
        },
      })
      expect(await codeOf(cutting.plain.put({ k: 'a', n: cut }))).toBe('OutcomeUnknown')
      expect((await embedded.plain.get('a'))?.n).toBe(cut)
      if (cut < 10) expect(await codeOf(cutting.plain.get('a'))).toBe('Unreachable')
      expect(await cutting.plain.putMany([{ k: 'b', n: 1 }])).toMatchObject([
        { ok: false, error: { code: 'OutcomeUnknown', applied: 'unknown' } },
      ])
    }
  })

  test('nor is a row said to be missing when the answer was cut off', async () => {
    const { db, embedded } = await through(async (request, pass) => {
      const { status, headers } = await pass(request)
      return new Response('', { status, headers })
    })
    await embedded.plain.put({ k: 'a', n: 1 })
    expect(await codeOf(db.plain.get('a'))).toBe('Unreachable')
    expect(await codeOf(db.plain.has('a'))).toBe('Unreachable')
  })
})

test('many rows get a result each from an answer that is not Holdfast', async () => {
  const { db } = await through(async () => Response.json({ status: 'fine' }))
  const results = await db.plain.putMany(Array.from({ length: 1500 }, (_, n) => ({ k: `${n}`, n })))
  expect(results).toHaveLength(1500)
  for (let i = 0; i < 1500; i++) {
    expect(results[i]).toMatchObject({ ok: false, error: { code: 'OutcomeUnknown' } })
  }
})

describe('a deadline, and an abort, end a call', () => {
  test('that waits for its access token; nothing is sent then', async () => {
    let sent = 0
    let tell = (_: string): void => undefined
    const late = new Promise<string>((resolve) => (tell = resolve))
    const { db } = await through(
      async (request, pass) => {
        sent++
        return pass(request)
      },
      { token: () => late },
    )
    const deadline = { deadlineMs: 20 }
    expect(await codeOf(db.plain.get('a', deadline))).toBe('DeadlineExceeded')
    expect(await codeOf(db.plain.put({ k: 'a', n: 1 }, deadline))).toBe('DeadlineExceeded')
    const stop = new AbortController()
    const write = codeOf(db.plain.put({ k: 'a', n: 1 }, { signal: stop.signal }))
    stop.abort()
    expect(await write).toBe('Cancelled')
    tell('late')
    await new Promise(setImmediate)
    expect(sent).toBe(0)
  })

  test('that reads why its feed is refused', async () => {
    const body = (): ReadableStream => new ReadableStream({ start: () => undefined })
    const { db } = await through(async () => new Response(body(), { status: 503 }))
    const feed = codeOf(async () => {
      for await (const _ of db.plain.watch({ from: 'start', deadlineMs: 20 })) expect.unreachable()
    })
    expect(await feed).toBe('Unreachable')
  })
})

test('an update holds the key to what the table has now, when another made the table anew', async () => {
  const { db, embedded } = await through((request, pass) => pass(request))
  const update = (): Promise<unknown> =>
    db.transact((tx) =>
      (tx as unknown as { table(name: string): typeof tx.plain })
        .table('made')
        .update('x', (row) => ({ ...row, b: 'y' }) as never),
    )
  const handler = createHandler(embedded, { access: 'trusted' })
  const url = 'http://holdfast.test'
  const other = client<typeof tables>({ url, fetch: (request) => handler.fetch(request) })
  const first = await other.define<{ a: string; b: string }>('made', { key: 'a' })
  await first.put({ a: 'x', b: 'x' })
  await update()
  await other.drop('made')
  const second = await other.define<{ a: string; b: string }>('made', { key: 'b' })
  await second.put({ a: 'x', b: 'x' })
  expect(await codeOf(update())).toBe('InvalidArgument')
  expect(await second.query().toArray()).toEqual([{ a: 'x', b: 'x' }])
})

test('a call that nobody awaits, in a transaction that fails, fails silently', async () => {
  const { db } = await through(async () => refusedConnection())
  const run = db.transact(async (tx) => {
    void tx.plain.update('a', (row) => row)
    void tx.plain.get('b')
    void tx.plain.query().toArray()
    await aWhile()
    throw new Error('mine')
  })
  await expect(run).rejects.toThrow('mine')
})

describe('a feed', () => {
  test('takes no page of a proxy for an empty feed', async () => {
    const page = { 'content-type': 'text/html' }
    const { db } = await through(async () => new Response('<p>Sign in</p>', { headers: page }))
    const feed = (async () => {
      for await (const _ of db.plain.watch({ from: 'start', deadlineMs: 20 })) expect.unreachable()
    })()
    await expect(feed).rejects.toMatchObject({
      code: 'Unreachable',
      message: expect.stringContaining("not Holdfast's: HTTP 200, text/html") as unknown,
    })
  })

  test('has its whole deadline again to get a line back that was there, changes or none', async () => {
    let aheadMs = 0
    const lines: ReadableStreamDefaultController<Uint8Array>[] = []
    const text = new TextEncoder()
    const clock = { monotonicMs: () => performance.now() + aheadMs }
    const fetch = async (request: Request): Promise<Response> => {
      if (!request.url.includes('/feed')) return Response.json({ count: 0 })
      const body = new ReadableStream<Uint8Array>({ start: (line) => void lines.push(line) })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    }
    const db = connectOver<typeof tables>(
      { env: { ...systemClientEnv, clock }, fetch },
      { url: 'http://holdfast.test', retry: QUICK },
    )
    closeLater(() => db.close())
    const seen: unknown[] = []
    const feed = (async () => {
      for await (const { key } of db.plain.watch({ from: 'start', deadlineMs: 5_000 })) {
        seen.push(key)
        return
      }
    })()
    feed.catch(() => undefined)
    // Twice a line on which nothing but a heartbeat comes for an hour, and which breaks then.
    for (const broken of [0, 1]) {
      await eventually(() => lines.length === broken + 1)
      aheadMs += 3_600_000
      lines[broken]?.enqueue(text.encode(':\n\n'))
      await new Promise(setImmediate)
      lines[broken]?.error(new TypeError('terminated'))
    }
    await eventually(() => lines.length === 3)
    const data = '{"key":"a","row":{"k":"a","n":1},"position":1}'
    lines[2]?.enqueue(text.encode(`id: 1\nevent: insert\ndata: ${data}\n\n`))
    await feed
    expect(seen).toEqual(['a'])
  })
})
