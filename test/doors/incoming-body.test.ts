// Bodies as they arrive over a socket: at once with the head, in parts, pipelined, never.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { open, strong, type Database } from '../../src/index.ts'
import { serve, type HttpServer } from '../../src/server.ts'
import { RawClient, until } from './raw-http.ts'

interface Item {
  id: string
  text: string
}
const tables = { items: strong<Item>({ key: 'id' }) }

let db: Database<typeof tables>
let server: HttpServer

beforeEach(async () => {
  db = await open({ memory: true, tables })
  server = await serve(db, { port: 0 })
})
afterEach(async () => {
  await server.close()
  await db.close()
})

const put = (id: string, text: string): Buffer => {
  const body = JSON.stringify({ id, text })
  const lines = [
    `PUT /v1/tables/items/rows/${id} HTTP/1.1`,
    `Host: localhost:${server.port}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`)
}
const answers = ({ received }: RawClient): number => received.split('HTTP/1.1 200').length - 1

it('reads a body whole wherever it is cut on its way', async () => {
  const client = new RawClient(server.port)
  client.socket.setNoDelay(true)
  let sent = 0
  const head = put('cut0', 'ü').indexOf('\r\n\r\n')
  for (const at of [1, head, head + 3, head + 4, head + 5, head + 25, head + 30]) {
    const request = put(`cut${at}`, `ü${at}`)
    client.socket.write(request.subarray(0, at))
    await new Promise((resolve) => setTimeout(resolve, 5))
    client.socket.write(request.subarray(at))
    sent++
    await until(() => answers(client) === sent)
    expect(await db.items.get(`cut${at}`)).toEqual({ id: `cut${at}`, text: `ü${at}` })
  }
  client.destroy()
})

it('reads bodies that come together, in several parts, and long ones', async () => {
  const client = new RawClient(server.port)
  const long = 'x'.repeat(200_000)
  const requests = ['a', 'b', 'c'].map((id) => put(id, id)).concat(put('long', long))
  client.socket.write(Buffer.concat(requests))
  await until(() => answers(client) === requests.length)
  expect(await db.items.count()).toBe(4)
  expect(await db.items.get('long')).toEqual({ id: 'long', text: long })
  client.destroy()
})

it('applies nothing of a body that does not come whole, and serves the others', async () => {
  const gone = new RawClient(server.port)
  const request = put('gone', 'never')
  gone.socket.write(request.subarray(0, -1))
  await new Promise((resolve) => setTimeout(resolve, 20))
  gone.destroy()
  await gone.closed
  const client = new RawClient(server.port)
  client.socket.write(put('here', 'whole'))
  await until(() => answers(client) === 1)
  expect(await db.items.get('gone')).toBeUndefined()
  client.destroy()
})
