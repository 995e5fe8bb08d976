// How a server stops: what is under way is finished, what comes new is told to go elsewhere.
import { Agent, get, type IncomingMessage } from 'node:http'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { open, strong, type Database } from '../../src/index.ts'
import { serve, type HttpServer } from '../../src/server.ts'
import { parseAnswer, RawClient, until } from './raw-http.ts'

interface Item {
  id: string
}
const tables = { items: strong<Item>({ key: 'id' }) }
const ROW = '/v1/tables/items/rows/a'

let db: Database<typeof tables>
let server: HttpServer
let agent: Agent
const clients: RawClient[] = []

beforeEach(async () => {
  db = await open({ memory: true, tables })
  await db.items.insert({ id: 'a' })
  server = await serve(db, { port: 0 })
  agent = new Agent({ keepAlive: true, maxSockets: 1 })
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  agent.destroy()
  await server.close({ graceMs: 0 })
  await db.close()
})

/** On the one kept connection of the agent. */
function ask(path: string): Promise<IncomingMessage & { text: string }> {
  return new Promise((resolve, reject) => {
    get(`${server.url}${path}`, { agent }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => (text += chunk))
      answer.on('end', () => resolve(Object.assign(answer, { text })))
    }).on('error', reject)
  })
}
/** A request whose body is still to come. */
async function half(): Promise<RawClient> {
  const client = new RawClient(server.port)
  clients.push(client)
  client.send(
    'POST /v1/tables/items/rows HTTP/1.1',
    'Host: localhost',
    'Content-Type: application/json',
    'Content-Length: 10',
    '',
  )
  await until(async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text()
    return text.includes('holdfast_http_requests_under_way 2\n')
  })
  return client
}

it('says that it is not ready, and sends new requests elsewhere, while it still listens', async () => {
  const before = await ask(ROW)
  expect(before.statusCode).toBe(200)
  expect(before.headers.connection).toBe('keep-alive')
  server.drain()
  const refused = await ask(ROW)
  expect(refused.statusCode).toBe(503)
  expect(refused.headers.connection).toBe('close')
  expect(refused.headers['retry-after']).toBeDefined()
  expect(JSON.parse(refused.text)).toMatchObject({ code: 'ShuttingDown', applied: 'no' })
  expect((await ask('/readyz')).statusCode).toBe(503)
  expect((await ask('/livez')).statusCode).toBe(200)
  expect((await ask('/metrics')).text).toContain(
    'holdfast_http_refused_total{reason="shutting_down"} 1\n',
  )
  await expect(db.items.count()).resolves.toBe(1)
})

it('finishes what is under way before it closes', async () => {
  const client = await half()
  const closing = server.close()
  await expect(fetch(`${server.url}${ROW}`)).rejects.toThrow('fetch failed')
  client.socket.write('{"id":"b"}')
  await client.closed
  const answer = parseAnswer(client.received)
  expect(answer.status).toBe(201)
  expect(answer.headers['connection']).toBe('close')
  await closing
  expect(await db.items.has('b')).toBe(true)
})

it('closes connections that only wait', async () => {
  expect((await ask(ROW)).statusCode).toBe(200)
  const silent = new RawClient(server.port)
  clients.push(silent)
  await until(() => silent.socket.readyState === 'open')
  await server.close()
  await silent.closed
})

it('cuts off what does not end within the grace', async () => {
  const client = await half()
  await server.close({ graceMs: 50 })
  await client.closed
  expect(client.received).toBe('')
  expect(await db.items.count()).toBe(1)
})

it('ends feeds with an event that sends them elsewhere, and does not wait for them', async () => {
  const feed = await fetch(`${server.url}/v1/tables/items/feed?from=snapshot`)
  const reader = feed.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const read = async (): Promise<boolean> => {
    const step = await reader?.read()
    text += step?.value ?? ''
    return step?.done !== false
  }
  while (!text.includes('event: live')) await read()
  const closing = server.close({ graceMs: 3_600_000 })
  while (!(await read())) continue
  expect(text).toMatch(/event: end\ndata: .*"ShuttingDown".*\n\n$/)
  await closing
})

it('refuses feeds that come while it drains', async () => {
  server.drain()
  const feed = await fetch(`${server.url}/v1/tables/items/feed`)
  expect(feed.status).toBe(503)
  expect(await feed.json()).toMatchObject({ code: 'ShuttingDown' })
})

it('cuts off sooner when it is asked again with less grace', async () => {
  const client = await half()
  const closing = server.close({ graceMs: 3_600_000 })
  await server.close({ graceMs: 0 })
  await closing
  await client.closed
  expect(client.received).toBe('')
})

it('closes once, however often it is asked to', async () => {
  await Promise.all([server.close(), server.close(), server.close()])
  await expect(server.close()).resolves.toBeUndefined()
})
