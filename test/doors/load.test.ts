// The server under more than it takes: what it acked is there, what it refused is not, and nobody
// who behaves waits for somebody who does not.
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { open, strong, type Database } from '../../src/index.ts'
import { serve, type HttpServer, type ServeOptions } from '../../src/server.ts'
import { RawClient, until } from './raw-http.ts'

interface Item {
  id: string
  writer: number
}
const tables = { items: strong<Item>({ key: 'id' }), quiet: strong<Item>({ key: 'id' }) }

interface Answer {
  readonly status: number
  readonly body: unknown
}

const closers: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function openFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-load-'))
  closers.push(() => rm(dir, { recursive: true, force: true }))
  return dir
}

async function openDoor(
  options: ServeOptions = {},
): Promise<{ dir: string; db: Database<typeof tables>; server: HttpServer }> {
  const dir = await openFolder()
  const db = await open({ dir, tables })
  closers.push(() => db.close())
  const server = await serve(db, { port: 0, ...options })
  closers.push(() => server.close())
  return { dir, db, server }
}

/** Callers over `connections` kept connections. */
class Callers {
  readonly #server: HttpServer
  readonly #agent: Agent

  constructor(server: HttpServer, connections: number) {
    this.#server = server
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections })
    closers.push(() => this.#agent.destroy())
  }

  ask(method: string, path: string, body?: object): Promise<Answer> {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    return new Promise((resolve, reject) => {
      const url = `${this.#server.url}${path}`
      const asked = request(url, { method, headers, agent: this.#agent }, (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => (text += chunk))
        answer.on('error', reject)
        answer.on('end', () => {
          resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) as unknown })
        })
      })
      asked.on('error', reject)
      asked.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  put(item: Item): Promise<Answer> {
    return this.ask('PUT', `/v1/tables/items/rows/${item.id}`, item)
  }
}

/** Closed loops: each of `callers` makes its next call when it has its answer. */
async function inLoops(
  callers: number,
  calls: number,
  call: (caller: number, number: number) => Promise<void>,
): Promise<void> {
  const loop = async (caller: number): Promise<void> => {
    for (let number = 0; number < calls; number++) await call(caller, number)
  }
  await Promise.all(Array.from({ length: callers }, (_, caller) => loop(caller)))
}

/** What the server says of itself. */
async function gauge(server: HttpServer, name: string): Promise<number> {
  const answer = await fetch(`${server.url}/metrics`, { headers: { connection: 'close' } })
  const found = new RegExp(`^${name} (\\d+)$`, 'm').exec(await answer.text())
  if (found === null) throw new Error(`there is no gauge ${name}`)
  return Number(found[1])
}

/** Opens feeds by hand; resolves when each has its head. */
async function openFeeds(server: HttpServer, table: string, count: number): Promise<RawClient[]> {
  const clients = Array.from({ length: count }, () => new RawClient(server.port))
  closers.push(() => {
    for (const client of clients) client.destroy()
  })
  for (const client of clients) {
    client.send(`GET /v1/tables/${table}/feed HTTP/1.1`, `Host: 127.0.0.1:${server.port}`, '')
  }
  await until(() => clients.every(({ received }) => received.includes('\r\n\r\n')))
  for (const { received } of clients) expect(received).toMatch(/^HTTP\/1\.1 200 /)
  return clients
}

it('holds every put it acked under load, and none it refused, which is told as Overloaded', async () => {
  const { dir, db, server } = await openDoor({ limits: { requests: 24 } })
  const callers = new Callers(server, 96)
  const acked = new Map<string, Item>()
  const refused = new Set<string>()
  await inLoops(96, 40, async (caller, number) => {
    const item = { id: `${caller}-${number}`, writer: caller }
    const { status, body } = await callers.put(item)
    if (status === 200) {
      acked.set(item.id, item)
      return
    }
    expect({ status, body }).toMatchObject({
      status: 429,
      body: { code: 'Overloaded', kind: 'retryable', applied: 'no' },
    })
    refused.add(item.id)
  })
  expect(acked.size).toBeGreaterThan(0)
  expect(refused.size).toBeGreaterThan(0)
  await server.close()
  await db.close()

  const again = await open({ dir, tables })
  closers.push(() => again.close())
  const rows = await again.items.query().toArray()
  expect(new Map(rows.map((row) => [row.id, row]))).toEqual(acked)
})

it('gives each of many callers its own answers, in gets, puts and queries at once', async () => {
  const { server } = await openDoor()
  const callers = new Callers(server, 48)
  await inLoops(48, 25, async (caller, number) => {
    const item = { id: `${caller}`, writer: number }
    expect(await callers.put(item)).toMatchObject({ status: 200 })
    // The last one it wrote: a read is never older than an ack before it.
    const path = `/v1/tables/items/rows/${item.id}`
    expect(await callers.ask('GET', path)).toEqual({ status: 200, body: item })
    const found = await callers.ask('GET', `/v1/tables/items/query?eq=${item.id}`)
    expect(found).toMatchObject({ status: 200, body: { rows: [item] } })
  })
})

it('answers others beside slow senders, idle feeds and readers who do not read', async () => {
  const { db, server } = await openDoor()
  const host = `Host: 127.0.0.1:${server.port}`
  const put = ['PUT /v1/tables/items/rows/slow HTTP/1.1', host, 'Content-Length: 100']
  const slow = Array.from({ length: 150 }, (_, i) => {
    const client = new RawClient(server.port)
    // Half of them never end their heads, half never send the body that they announced.
    client.send(...(i % 2 === 0 ? put : [...put, 'Content-Type: application/json', '', '{']))
    return client
  })
  closers.push(() => {
    for (const client of slow) client.destroy()
  })
  await openFeeds(server, 'quiet', 250)
  for (const { socket } of await openFeeds(server, 'items', 20)) socket.pause()

  const callers = new Callers(server, 16)
  await inLoops(16, 40, async (caller, number) => {
    const item = { id: `${caller}-${number}`, writer: caller }
    expect(await callers.put(item)).toMatchObject({ status: 200 })
    const path = `/v1/tables/items/rows/${item.id}`
    expect(await callers.ask('GET', path)).toEqual({ status: 200, body: item })
  })
  expect(await db.items.count()).toBe(640)
  expect(await db.items.get('slow')).toBeUndefined()
})

it('opens a thousand idle feeds, tells all of them, and keeps nothing of them', async () => {
  const { db, server } = await openDoor()
  const feeds = await openFeeds(server, 'quiet', 1_000)
  await until(async () => (await gauge(server, 'holdfast_http_feeds')) === 1_000)
  await db.quiet.put({ id: 'wake', writer: 1 })
  await until(() => feeds.every(({ received }) => received.includes('"id":"wake"')))
  for (const feed of feeds) feed.destroy()
  await until(async () => (await gauge(server, 'holdfast_http_feeds')) === 0)
  // Its own request is one.
  await until(async () => (await gauge(server, 'holdfast_http_connections')) === 1)
  expect(await gauge(server, 'holdfast_http_requests_under_way')).toBe(1)
})
