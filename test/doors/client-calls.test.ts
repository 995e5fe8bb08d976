/** What a client makes of failures: which calls it makes again, and what it says of the others. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { connect, type ConnectOptions } from '../../src/client.ts'
import type { Database, HoldfastError } from '../../src/index.ts'
import { createHandler } from '../../src/server.ts'
import { cleanUp, client, closeLater, codeOf, openMemory } from './places.ts'
import { tables } from './tables.ts'

cleanUp()

type Fate = 'pass' | 'refused' | 'lost before' | 'lost behind' | 'proxy' | 'busy' | 'silent'
const QUICK = { backoffMs: 1, backoffMaxMs: 2 }
/** What a server that has too much to do says, without making anybody wait. */
const BUSY = {
  code: 'Overloaded',
  kind: 'retryable',
  applied: 'no',
  detail: 'too much at once',
  retryAfterMs: 1,
}

interface Scripted {
  readonly db: ReturnType<typeof connect<typeof tables>>
  readonly embedded: Database<typeof tables>
  /** The requests that were sent. */
  readonly sent: Request[]
  /** What becomes of the next ones; all later ones pass. */
  readonly fates: Fate[]
}

async function scripted(options: Partial<ConnectOptions> = {}): Promise<Scripted> {
  const embedded = await openMemory(tables)
  const handler = createHandler(embedded, { access: 'trusted' })
  const sent: Request[] = []
  const fates: Fate[] = []
  const fetch = async (request: Request): Promise<Response> => {
    sent.push(request)
    const fate = fates.shift() ?? 'pass'
    if (fate === 'refused') {
      throw new TypeError('fetch failed', {
        cause: Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }),
      })
    }
    if (fate === 'lost before') throw new TypeError('fetch failed')
    if (fate === 'proxy') return new Response('<h1>Bad Gateway</h1>', { status: 502 })
    if (fate === 'silent') return new Promise(() => undefined)
    if (fate === 'busy') {
      const headers = { 'content-type': 'application/problem+json' }
      return new Response(JSON.stringify(BUSY), { status: 429, headers })
    }
    const response = await handler.fetch(request)
    if (fate === 'lost behind') throw new TypeError('fetch failed')
    return response
  }
  const db = client<typeof tables>({
    url: 'http://holdfast.test/',
    fetch,
    retry: QUICK,
    ...options,
  })
  return { db, embedded, sent, fates }
}

async function refusal(run: Promise<unknown>): Promise<HoldfastError> {
  const error = await run.then(
    () => undefined,
    (cause: unknown) => cause,
  )
  expect(error).toMatchObject({ name: 'HoldfastError' })
  return error as HoldfastError
}

describe('calls are made again', () => {
  test.each<Fate>(['refused', 'lost before', 'lost behind', 'proxy', 'busy'])(
    'when they read, after: %s',
    async (fate) => {
      const { db, embedded, sent, fates } = await scripted()
      await embedded.plain.put({ k: 'a', n: 1 })
      fates.push(fate, fate)
      expect(await db.plain.get('a')).toEqual({ k: 'a', n: 1 })
      expect(sent).toHaveLength(3)
    },
  )

  test.each<Fate>(['refused', 'busy'])(
    'when they write and were certainly not applied, after: %s',
    async (fate) => {
      const { db, embedded, sent, fates } = await scripted()
      fates.push(fate)
      await db.plain.insert({ k: 'a', n: 1 })
      expect(sent).toHaveLength(2)
      expect(await embedded.plain.count()).toBe(1)
    },
  )

  test.each<Fate>(['lost before', 'lost behind', 'proxy'])(
    'when they have an idempotency key, after: %s',
    async (fate) => {
      const { db, embedded, sent, fates } = await scripted()
      await embedded.plain.put({ k: 'a', n: 1 })
      fates.push(fate)
      const { row } = await db.plain.increment('a', { n: 1 }, { idempotencyKey: 'once' })
      expect(row.n).toBe(2)
      expect(sent.map(({ headers }) => headers.get('idempotency-key'))).toEqual(['once', 'once'])
      expect(await embedded.plain.get('a')).toEqual({ k: 'a', n: 2 })
    },
  )

  test('a few times, and then no more', async () => {
    const { db, sent, fates } = await scripted()
    fates.push(...Array<Fate>(20).fill('refused'))
    expect(await refusal(db.plain.get('a'))).toMatchObject({
      code: 'Unreachable',
      kind: 'retryable',
      applied: 'no',
      message: expect.stringContaining('ECONNREFUSED') as unknown,
    })
    expect(sent).toHaveLength(4)
  })

  test('as part of all calls alone, when everything fails', async () => {
    const { db, sent, fates } = await scripted()
    fates.push(...Array<Fate>(1_000).fill('refused'))
    for (let i = 0; i < 200; i++) await refusal(db.plain.get('a'))
    // Ten of the reserve, and one for every ten calls.
    expect(sent.length).toBeGreaterThanOrEqual(200 + 10)
    expect(sent.length).toBeLessThanOrEqual(200 + 10 + 20 + 1)
  })
})

describe('a write whose answer is lost', () => {
  test.each<Fate>(['lost before', 'lost behind', 'proxy'])(
    'is sent once, and may have been applied, after: %s',
    async (fate) => {
      const { db, embedded, sent, fates } = await scripted()
      fates.push(fate)
      expect(await refusal(db.plain.insert({ k: 'a', n: 1 }))).toMatchObject({
        code: 'OutcomeUnknown',
        kind: 'unknown-outcome',
        applied: 'unknown',
      })
      expect(sent).toHaveLength(1)
      expect(await embedded.plain.count()).toBe(fate === 'lost behind' ? 1 : 0)
    },
  )

  test('stays unknown, whatever keeps the next try from the server', async () => {
    const { db, fates } = await scripted()
    fates.push('lost behind', 'refused', 'refused', 'refused')
    const insert = db.plain.insert({ k: 'a', n: 1 }, { idempotencyKey: 'once' })
    expect(await refusal(insert)).toMatchObject({ code: 'OutcomeUnknown', applied: 'unknown' })
  })

  test('is no transaction that failed for good', async () => {
    const { db, embedded, sent, fates } = await scripted()
    const run = (): Promise<unknown> =>
      db.transact(
        async (tx) => {
          await tx.plain.insert({ k: 'a', n: 1 })
          return 'done'
        },
        { idempotencyKey: 'once' },
      )
    fates.push('pass', 'pass', 'lost behind')
    expect(await run()).toBe('done')
    expect(sent).toHaveLength(4)
    expect(await run()).toBe('done')
    expect(sent).toHaveLength(5)
    expect(await embedded.plain.count()).toBe(1)
    fates.push('pass', 'lost behind')
    const plain = db.transact((tx) => tx.plain.put({ k: 'b', n: 1 }))
    expect(await refusal(plain)).toMatchObject({ code: 'OutcomeUnknown', applied: 'unknown' })
    expect(await embedded.plain.count()).toBe(2)
  })
})

describe('calls end', () => {
  test('at their deadline', async () => {
    const { db, sent, fates } = await scripted({ deadlineMs: 40 })
    fates.push('silent', 'silent', 'silent')
    expect(await codeOf(db.plain.get('a'))).toBe('DeadlineExceeded')
    expect(await codeOf(db.plain.put({ k: 'a', n: 1 }))).toBe('OutcomeUnknown')
    expect(await codeOf(db.plain.put({ k: 'a', n: 1 }, { deadlineMs: -1 }))).toBe(
      'DeadlineExceeded',
    )
    expect(await codeOf(db.transact((tx) => tx.plain.get('a')))).toBe('DeadlineExceeded')
    for (const { headers } of sent) {
      expect(Number(headers.get('holdfast-deadline-ms'))).toBeLessThanOrEqual(40)
    }
  })

  test('when they are aborted, and say whether they were sent', async () => {
    const { db, sent, fates } = await scripted()
    expect(await codeOf(db.plain.put({ k: 'a', n: 1 }, { signal: AbortSignal.abort() }))).toBe(
      'Cancelled',
    )
    expect(sent).toHaveLength(0)
    fates.push('silent', 'silent')
    const stop = new AbortController()
    const { signal } = stop
    const write = codeOf(db.plain.put({ k: 'a', n: 1 }, { signal }))
    const read = codeOf(db.plain.get('a', { signal }))
    await new Promise(setImmediate)
    expect(sent).toHaveLength(2)
    stop.abort()
    expect([await write, await read]).toEqual(['Aborted', 'Cancelled'])
    expect(sent.map((request) => request.signal.aborted)).toEqual([true, true])
  })

  test('when the client is closed; writes that are on their way are settled first', async () => {
    const { db, embedded, fates } = await scripted()
    fates.push('pass', 'silent')
    const write = db.plain.put({ k: 'a', n: 1 })
    const read = codeOf(db.plain.get('a'))
    await db.close()
    expect((await write).row).toEqual({ k: 'a', n: 1 })
    expect(await read).toBe('Closed')
    expect(await codeOf(db.plain.get('a'))).toBe('Closed')
    expect(await embedded.plain.count()).toBe(1)
  })
})

describe('requests', () => {
  test('carry the newest token that was seen, and the one given at first', async () => {
    const { db, embedded, sent } = await scripted()
    expect(db.token).toBeUndefined()
    await db.plain.get('a')
    expect(sent[0]?.headers.get('holdfast-after')).toBeNull()
    const { token } = await db.plain.put({ k: 'a', n: 1 })
    expect(db.token).toBe(token)
    await db.plain.get('a')
    expect(sent[2]?.headers.get('holdfast-after')).toBe(token)
    await db.plain.get('a', { level: 'local' })
    expect(sent[3]?.headers.get('holdfast-after')).toBeNull()
    expect(sent[3]?.headers.get('holdfast-read-level')).toBe('local')
    const later = (await embedded.plain.put({ k: 'a', n: 2 })).token
    await db.plain.get('a', { after: later })
    expect(sent[4]?.headers.get('holdfast-after')).toBe(later)
    await db.plain.get('a', { after: token })
    expect(sent[5]?.headers.get('holdfast-after')).toBe(db.token)

    const next = await scripted({ after: later })
    expect(next.db.token).toBe(later)
    expect(await codeOf(next.db.plain.get('a'))).toBe('TokenMismatch')
    expect(next.sent[0]?.headers.get('holdfast-after')).toBe(later)
  })

  test('carry an access token, the headers given, and go under the path given', async () => {
    const paths: string[] = []
    const fetch = (request: Request): Response => {
      paths.push(new URL(request.url).pathname)
      expect(request.headers.get('authorization')).toBe('Bearer hf_now')
      expect(request.headers.get('x-mine')).toBe('1')
      return Response.json({ position: 1, durability: 'memory', token: 'x', row: {} })
    }
    const token = (): Promise<string> => Promise.resolve('hf_now')
    const url = new URL('http://holdfast.test/behind/')
    const db = client<typeof tables>({ url, fetch, token, headers: { 'x-mine': '1' } })
    await db.plain.put({ k: 'a', n: 1 })
    expect(paths).toEqual(['/behind/v1/tables/plain/rows'])
  })

  test('of one turn of a transaction go together', async () => {
    const { db, sent } = await scripted()
    await db.plain.putMany(['a', 'b', 'c'].map((k) => ({ k, n: 1 })))
    sent.splice(0)
    const read = await db.transact((tx) =>
      Promise.all([tx.plain.get('a'), tx.plain.get('b'), tx.plain.count()]),
    )
    expect(read).toEqual([{ k: 'a', n: 1 }, { k: 'b', n: 1 }, 3])
    expect(sent).toHaveLength(1)
    sent.splice(0)
    await db.transact((tx) => {
      tx.plain.increment('a', { n: 1 })
      void tx.plain.put({ k: 'd', n: 1 })
    })
    expect(sent).toHaveLength(1)
    expect(await db.plain.count()).toBe(4)
  })

  test('are refused where nothing can be behind them', () => {
    expect(() => connect({ url: 'no address' })).toThrow('url is no address')
    expect(() => connect(undefined as never)).toThrow('connect takes options')
  })
})

test('a port that nobody listens on is unreachable', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => {
    server.close(resolve)
  })
  const db = client<typeof tables>({ url: `http://127.0.0.1:${port}`, retry: QUICK })
  expect(await refusal(db.plain.put({ k: 'a', n: 1 }))).toMatchObject({
    code: 'Unreachable',
    applied: 'no',
  })
})

test('a server that hangs up has perhaps applied a write', async () => {
  const server = createServer((request) => request.socket.destroy())
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  closeLater(
    () =>
      new Promise((resolve) => {
        server.close(resolve)
      }),
  )
  const { port } = server.address() as AddressInfo
  const db = client<typeof tables>({ url: `http://127.0.0.1:${port}`, retry: QUICK })
  expect(await codeOf(db.plain.put({ k: 'a', n: 1 }))).toBe('OutcomeUnknown')
  expect(await codeOf(db.plain.get('a'))).toBe('Unreachable')
})

test('a client defines tables whose rows are plain, and indexes of them', async () => {
  const { db, embedded } = await scripted()
  const made = await db.define<{ id: string; at: Date }>('made', { key: 'id' })
  await made.insert({ id: 'a', at: new Date(5) })
  const again = await db.define<{ id: string; at: Date }>('made', {
    key: 'id',
    indexes: { byAt: 'at' },
  })
  expect(await again.query({ index: 'byAt', eq: new Date(5) }).toArray()).toEqual([
    { id: 'a', at: new Date(5) },
  ])
  expect(embedded.table('made').validated).toBe(false)
  expect(await codeOf(() => db.define('made', tables.checked as never))).toBe('InvalidArgument')
})

test('many calls at once warn of nothing', async () => {
  const warned: string[] = []
  const hear = (warning: Error): void => void warned.push(warning.name)
  process.on('warning', hear)
  try {
    const { db } = await scripted()
    await Promise.all(Array.from({ length: 50 }, (_, n) => db.plain.get(`k${n}`)))
    await new Promise(setImmediate)
    expect(warned).toEqual([])
  } finally {
    process.off('warning', hear)
  }
})
