// Clients that send too slowly, too much, or nothing that makes sense, and clients that do not read:
// each of them loses its connection, and the others keep getting answers.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { open, strong, type Database } from '../../src/index.ts'
import { serve, type HttpServer, type ServeOptions } from '../../src/server.ts'
import { parseAnswer, RawClient, until } from './raw-http.ts'

interface Item {
  id: string
  text: string
}
const tables = { items: strong<Item>({ key: 'id' }) }
const ROW = '/v1/tables/items/rows/a'
/** So many answers must others get while an attack goes on. */
const ANSWERS = 50

let db: Database<typeof tables>
let server: HttpServer
let problems: Error[]
const clients: RawClient[] = []

const start = async (limits: ServeOptions['limits']): Promise<void> => {
  server = await serve(db, { port: 0, limits, onProblem: (problem) => problems.push(problem) })
}
const attack = (count: number): readonly RawClient[] => {
  const made = Array.from({ length: count }, () => new RawClient(server.port))
  clients.push(...made)
  return made
}

beforeEach(async () => {
  problems = []
  db = await open({ memory: true, tables })
  await db.items.insert({ id: 'a', text: 'x' })
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await server.close({ graceMs: 0 })
  await db.close()
  // What clients do is no problem of the server.
  expect(problems).toEqual([])
})

/** Others' requests while `isOver` is not so yet: every one is answered, and there are enough. */
async function othersAreAnswered(isOver: () => boolean): Promise<void> {
  let answered = 0
  while (answered < ANSWERS || !isOver()) {
    const answer = await fetch(`${server.url}${ROW}`)
    expect(answer.status).toBe(200)
    await answer.text()
    answered++
  }
}
const metric = async (line: string): Promise<number> => {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const found = text.split('\n').find((each) => each.startsWith(`${line} `))
  return found === undefined ? 0 : Number(found.slice(line.length + 1))
}
const refused = (reason: string): Promise<number> =>
  metric(`holdfast_http_refused_total{reason="${reason}"}`)

it('cuts off 200 clients that send the head of a request byte by byte', async () => {
  await start({ headersMs: 300 })
  const slow = attack(200)
  let closed = 0
  for (const client of slow) {
    client.send(`GET ${ROW} HTTP/1.1`, 'Host: localhost')
    const drip = setInterval(() => client.socket.write('X'), 50)
    void client.closed.then(() => {
      clearInterval(drip)
      closed++
    })
  }
  await othersAreAnswered(() => closed === slow.length)
  expect(closed).toBe(200)
  expect(await refused('timeout')).toBeGreaterThan(0)
  expect(slow.some(({ received }) => parseAnswer(received).status === 408)).toBe(true)
})

it('cuts off clients that connect and say nothing', async () => {
  await start({ headersMs: 200 })
  const silent = attack(50)
  let closed = 0
  for (const client of silent) void client.closed.then(() => closed++)
  await othersAreAnswered(() => closed === silent.length)
  expect(closed).toBe(50)
})

it('cuts off clients that announce a body and never send it', async () => {
  await start({ headersMs: 200, requestMs: 300 })
  const waiting = attack(50)
  let closed = 0
  for (const client of waiting) {
    client.send(
      'POST /v1/tables/items/rows HTTP/1.1',
      'Host: localhost',
      'Content-Type: application/json',
      'Content-Length: 1000',
      '',
      '{"id":',
    )
    void client.closed.then(() => closed++)
  }
  await othersAreAnswered(() => closed === waiting.length)
  await until(async () => (await metric('holdfast_http_requests_under_way')) === 1)
  expect(await db.items.count()).toBe(1)
})

it('answers heads that are too large with 431, and noise with 400', async () => {
  await start({ headerBytes: 4_096 })
  const [large] = attack(1)
  large?.send(`GET ${ROW} HTTP/1.1`, 'Host: localhost', `X: ${'x'.repeat(10_000)}`, '')
  await large?.closed
  expect(parseAnswer(large?.received ?? '').status).toBe(431)
  const noise = attack(20)
  for (const [i, client] of noise.entries()) {
    const bytes = Uint8Array.from({ length: 300 }, (_, at) => (at * 7 + i * 31) % 256)
    client.socket.write(i % 2 === 0 ? bytes : 'NOT HTTP AT ALL\r\n\r\n')
  }
  await Promise.all(noise.map(({ closed }) => closed))
  for (const { received } of noise) {
    const answer = parseAnswer(received)
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'InvalidRequest' })
  }
  expect(await refused('malformed')).toBe(20)
  await othersAreAnswered(() => true)
})

it('never answers what came whole with the refusal of what came behind it', async () => {
  await start({ headersMs: 200 })
  const put = (id: string): string => {
    const body = JSON.stringify({ id, text: 'y' })
    const head = `PUT /v1/tables/items/rows/${id} HTTP/1.1\r\nHost: localhost\r\n`
    return `${head}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  }
  const behind = ['\x01\x02 noise\r\n\r\n', `X: ${'x'.repeat(20_000)}`, 'POST / HTTP/1.1\r\nA: b']
  const sent = attack(30)
  for (const [i, client] of sent.entries()) {
    client.socket.write(`${put(`p${i}`)}${behind[i % behind.length] ?? ''}`)
  }
  await Promise.all(sent.map(({ closed }) => closed))
  for (const [i, { received }] of sent.entries()) {
    const isThere = (await db.items.get(`p${i}`)) !== undefined
    expect([i, isThere, parseAnswer(received).status]).toEqual([i, true, 200])
  }
})

it('lets go of clients that closed their side', async () => {
  await start({})
  const half = Array.from({ length: 100 }, () => new RawClient(server.port, true))
  clients.push(...half)
  for (const [i, { socket }] of half.entries()) {
    // A whole request, half of one, and none at all.
    if (i % 3 === 0) socket.write(`GET ${ROW} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    if (i % 3 === 1) socket.write(`GET ${ROW} HTTP/1.1\r\nHost: local`)
    socket.end()
  }
  await othersAreAnswered(() => true)
  for (const { socket } of half) socket.on('end', () => socket.destroy())
  await Promise.all(half.map(({ closed }) => closed))
  // What is left is the question itself.
  await until(async () => (await metric('holdfast_http_requests_under_way')) === 1)
  expect(half.every(({ socket }) => socket.destroyed)).toBe(true)
})

it('answers what is pipelined in order, and stops who pipelines without end', async () => {
  await start({ pipelined: 8 })
  const request = (key: string): string =>
    `GET /v1/tables/items/rows/${key} HTTP/1.1\r\nHost: localhost\r\n\r\n`
  const [polite, flood] = attack(2)
  polite?.socket.write([request('a'), request('b'), request('a')].join(''))
  await until(() => (polite?.received.match(/HTTP\/1\.1 \d+/g)?.length ?? 0) === 3)
  expect(polite?.received.match(/HTTP\/1\.1 \d+/g)).toEqual([
    'HTTP/1.1 200',
    'HTTP/1.1 404',
    'HTTP/1.1 200',
  ])
  flood?.socket.write(request('a').repeat(5_000))
  await othersAreAnswered(() => flood?.socket.destroyed === true)
  expect(await refused('pipelined')).toBeGreaterThan(0)
  expect(flood?.received.match(/HTTP\/1\.1 \d+/g)?.length).toBeLessThan(5_000)
})

it('cuts off clients that never read their answers', async () => {
  await start({ stalledMs: 300 })
  await db.items.put({ id: 'big', text: 'x'.repeat(200_000) })
  const request = '/v1/tables/items/rows/big HTTP/1.1\r\nHost: localhost\r\n\r\n'
  const deaf = attack(10)
  for (const { socket } of deaf) {
    socket.pause()
    socket.write(`GET ${request}`.repeat(30))
  }
  let cut = 0
  const allCut = until(async () => (cut = await refused('slow_reader')) === deaf.length)
  await othersAreAnswered(() => cut === deaf.length)
  await allCut
  expect(cut).toBe(10)
})

it('keeps no more for all that do not read than the limit, and cuts off those with the most', async () => {
  await start({ unreadBytes: 500_000, stalledMs: 3_600_000 })
  await db.items.put({ id: 'big', text: 'x'.repeat(200_000) })
  const request = 'GET /v1/tables/items/rows/big HTTP/1.1\r\nHost: localhost\r\n\r\n'
  const [greedy, slow] = attack(2)
  slow?.socket.pause()
  slow?.socket.write(request)
  greedy?.socket.pause()
  greedy?.socket.write(request.repeat(32))
  let cut = 0
  const isCut = until(async () => (cut = await refused('slow_reader')) > 0)
  await othersAreAnswered(() => cut > 0)
  await isCut
  expect(cut).toBe(1)
  slow?.socket.resume()
  await until(() => slow?.received.endsWith('"}') === true)
  expect(slow?.socket.destroyed).toBe(false)
})

it('cuts off readers of feeds that stop reading', async () => {
  await start({ stalledMs: 300 })
  const [deaf] = attack(1)
  deaf?.socket.pause()
  deaf?.send('GET /v1/tables/items/feed HTTP/1.1', 'Host: localhost', '')
  await until(async () => (await metric('holdfast_http_feeds')) === 1)
  const text = 'x'.repeat(200_000)
  let feeds = 1
  for (let i = 0; feeds > 0; i++) {
    await db.items.put({ id: `row ${i % 10}`, text })
    if (i % 20 === 0) feeds = await metric('holdfast_http_feeds')
  }
  expect(await refused('slow_reader')).toBe(1)
})

it('leaves feeds alone that have nothing to say', async () => {
  await start({ stalledMs: 100 })
  const feed = new RawClient(server.port)
  clients.push(feed)
  feed.send('GET /v1/tables/items/feed HTTP/1.1', 'Host: localhost', '')
  await until(() => feed.received.includes('event: live'))
  // Far more than the limit, by the clock that the server has.
  const over = performance.now() + 500
  await until(() => performance.now() > over)
  await db.items.put({ id: 'later', text: 'y' })
  await until(() => feed.received.includes('"later"'))
  expect(feed.socket.destroyed).toBe(false)
})

it('keeps answering those it has when there are too many connections', async () => {
  await start({ connections: 20 })
  const first = attack(20)
  const answersOf = (client: RawClient | undefined): number =>
    client?.received.match(/HTTP\/1\.1 200/g)?.length ?? 0
  for (const client of first) client.send(`GET ${ROW} HTTP/1.1`, 'Host: localhost', '')
  await until(() => first.every((client) => answersOf(client) === 1))
  const late = attack(100)
  await Promise.all(late.map(({ closed }) => closed))
  expect(late.every(({ received }) => received === '')).toBe(true)
  for (const client of first) client.send(`GET ${ROW} HTTP/1.1`, 'Host: localhost', '')
  await until(() => first.every((client) => answersOf(client) === 2))
  for (const client of first) client.destroy()
  await until(async () => {
    const answer = await fetch(`${server.url}${ROW}`).catch(() => undefined)
    await answer?.text()
    return answer?.status === 200
  })
  expect(await refused('connections')).toBeGreaterThanOrEqual(100)
})

it('says 429 when too many requests are under way, and still that it is alive', async () => {
  await start({ requests: 5 })
  for (const client of attack(5)) {
    client.send(
      'POST /v1/tables/items/rows HTTP/1.1',
      'Host: localhost',
      'Content-Type: application/json',
      'Content-Length: 10',
      '',
    )
  }
  await until(async () => (await metric('holdfast_http_requests_under_way')) === 6)
  const answer = await fetch(`${server.url}${ROW}`)
  expect(answer.status).toBe(429)
  expect(answer.headers.get('retry-after')).not.toBeNull()
  expect(await answer.json()).toMatchObject({ code: 'Overloaded', applied: 'no' })
  expect((await fetch(`${server.url}/livez`)).status).toBe(200)
  for (const client of clients) client.destroy()
  await until(async () => (await fetch(`${server.url}${ROW}`)).status === 200)
})
