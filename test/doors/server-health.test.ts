// What a server says of itself: probes for whoever restarts and routes, and metrics for Prometheus.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { HoldfastError, open, strong, type Database } from '../../src/index.ts'
import { openLocalLog } from '../../src/log/local-log.ts'
import { systemEnv } from '../../src/open.ts'
import { createHandler, serve, type HttpServer } from '../../src/server.ts'
import { openMemoryStore } from '../../src/store/memory-store.ts'
import type { Store } from '../../src/store/store.ts'
import { startDatabase } from '../../src/table/start-database.ts'
import { RawClient, rawRequest, until } from './raw-http.ts'

interface Item {
  id: string
  secret?: string
}
const tables = { items: strong<Item>({ key: 'id' }) }

let db: Database<typeof tables>
let server: HttpServer

beforeEach(async () => {
  db = await open({ memory: true, tables })
  server = await serve(db, { port: 0 })
})
afterEach(async () => {
  await server.close({ graceMs: 0 })
  await db.close()
})

const status = async (path: string): Promise<number> => {
  const answer = await fetch(`${server.url}${path}`)
  await answer.text()
  return answer.status
}
const metrics = async (): Promise<readonly string[]> =>
  (await (await fetch(`${server.url}/metrics`)).text()).split('\n')

it('is alive, started and ready', async () => {
  for (const path of ['/livez', '/readyz', '/startupz']) {
    const answer = await fetch(`${server.url}${path}`)
    expect([path, answer.status]).toEqual([path, 200])
    expect(answer.headers.get('cache-control')).toBe('no-store')
    await answer.text()
  }
})

it('counts the nodes there are: an embedded database is one', async () => {
  const lines = await metrics()
  const [node] = (await db.status()).nodes
  expect(node).toMatchObject({ state: 'alive', url: server.url })
  const labels = `{node="${node?.id}",name="this process"}`
  for (const line of ['holdfast_nodes{state="alive"} 1', 'holdfast_nodes{state="dead"} 0']) {
    expect(lines).toContain(line)
  }
  expect(lines).toContain(`holdfast_node_suspicion${labels} 0`)
  expect(lines).toContain(`holdfast_node_lag${labels} 0`)
})

it('is alive, but not ready, over a database that is closed', async () => {
  await db.close()
  expect(await status('/livez')).toBe(200)
  expect(await status('/readyz')).toBe(503)
  expect(await metrics()).toContain('holdfast_open 0')
})

it('is not ready, but reads on, over a database whose disk is full', async () => {
  const memory = openMemoryStore(systemEnv)
  let isFull = false
  const write: Store['write'] = (batch) =>
    isFull ? Promise.reject(new HoldfastError('StorageFull', 'no space')) : memory.write(batch)
  const store = new Proxy(memory, {
    get(target, name) {
      if (name === 'write') return write
      const member = Reflect.get(target, name, target) as (...given: unknown[]) => unknown
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  const started = await startDatabase(
    { tables },
    {
      env: systemEnv,
      store,
      openLog: openLocalLog,
      dir: undefined,
      release: () => Promise.resolve(),
    },
  )
  await started.db.items.insert({ id: 'a' })
  const handler = createHandler(started.db, { access: 'trusted' })
  const get = async (path: string): Promise<Response> =>
    handler.fetch(new Request(`http://localhost${path}`))
  expect((await get('/readyz')).status).toBe(200)
  isFull = true
  await expect(started.db.items.insert({ id: 'b' })).rejects.toMatchObject({ code: 'StorageFull' })
  expect((await get('/livez')).status).toBe(200)
  const ready = await get('/readyz')
  expect(ready.status).toBe(503)
  expect(await ready.text()).toContain('StorageFull')
  expect((await get('/v1/tables/items/rows/a')).status).toBe(200)
  expect(await (await get('/metrics')).text()).toContain('holdfast_halted 1\n')
  await started.db.close()
})

it('counts requests by pattern, method and status, and no key gets into a label', async () => {
  await db.items.insert({ id: 'the-key', secret: 'the-content' })
  expect(await status('/v1/tables/items/rows/the-key')).toBe(200)
  expect(await status('/v1/tables/items/rows/the-key')).toBe(200)
  expect(await status('/v1/tables/items/rows/no-such-key')).toBe(404)
  expect(await status('/no-such-path')).toBe(404)
  const lines = await metrics()
  const route = 'route="/v1/tables/:table/rows/:key"'
  expect(lines).toContain(`holdfast_http_requests_total{${route},method="GET",status="200"} 2`)
  expect(lines).toContain(`holdfast_http_requests_total{${route},method="GET",status="404"} 1`)
  expect(lines).toContain('holdfast_http_requests_total{route="none",method="GET",status="404"} 1')
  expect(lines).toContain(`holdfast_http_request_duration_seconds_count{${route}} 3`)
  const text = lines.join('\n')
  for (const word of ['the-key', 'no-such', 'the-content']) expect(text).not.toContain(word)
})

it('says how many rows, bytes and problems there are, and what the process takes', async () => {
  await db.items.insertMany([{ id: 'a' }, { id: 'b' }])
  const lines = await metrics()
  expect(lines).toContain('holdfast_rows{table="items"} 2')
  expect(lines).toContain(`holdfast_position ${db.stats().position}`)
  expect(lines).toContain('holdfast_problems 0')
  expect(lines).toContain('holdfast_open 1')
  for (const name of [
    'holdfast_row_bytes{table="items"}',
    'holdfast_data_bytes',
    'process_resident_memory_bytes',
    'process_cpu_seconds_total',
    'nodejs_heap_size_used_bytes',
  ]) {
    const line = lines.find((each) => each.startsWith(`${name} `))
    expect(line).toMatch(/ [\d.]+$/)
    expect(line).not.toMatch(/ 0$/)
  }
  expect(lines.some((line) => line.startsWith('nodejs_eventloop_delay_seconds{quantile='))).toBe(
    true,
  )
})

it('counts connections and feeds as they come and go', async () => {
  // Each look is a connection of its own.
  const connections = async (): Promise<string | undefined> => {
    const { body } = await rawRequest(server.port, 'GET /metrics HTTP/1.1', ['Host: localhost'])
    return /^holdfast_http_connections (\d+)$/m.exec(body)?.[1]
  }
  const idle = [new RawClient(server.port), new RawClient(server.port)]
  await until(async () => (await connections()) === '3')
  for (const client of idle) client.destroy()
  await until(async () => (await connections()) === '1')
  const gone = new AbortController()
  const feed = await fetch(`${server.url}/v1/tables/items/feed`, { signal: gone.signal })
  expect(feed.status).toBe(200)
  expect(await metrics()).toContain('holdfast_http_feeds 1')
  gone.abort()
  await until(async () => (await metrics()).includes('holdfast_http_feeds 0'))
})

it('is text that Prometheus can read', async () => {
  await status('/v1/tables/items/rows/a')
  const answer = await fetch(`${server.url}/metrics`)
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  const sample = /^[a-z_]+(?:\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? (?:[-+.\de]+|[+-]Inf)$/
  const text = await answer.text()
  expect(text.endsWith('\n')).toBe(true)
  for (const line of text.trimEnd().split('\n')) {
    if (line.startsWith('# ')) expect(line).toMatch(/^# (?:HELP|TYPE) [a-z_]+ \S/)
    else expect(line).toMatch(sample)
  }
})
