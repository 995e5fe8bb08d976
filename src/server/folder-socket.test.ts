// The protocol, spoken by hand against a folder that is open.

import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { HoldfastError } from '../core/errors.ts'
import { open } from '../index.ts'
import { connectToHolder, folderHolder } from '../open.ts'
import { strong } from '../table/schema.ts'
import {
  decodeError,
  decodeMessage,
  encodeError,
  encodeMessage,
  LineSplitter,
  type Message,
} from './protocol.ts'

interface Item {
  id: number
  text: string
}

const openItems = (dir: string) =>
  open({ dir, tables: { items: strong<Item>({ key: 'id', indexes: { byText: 'text' } }) } })

let dir: string
let db: Awaited<ReturnType<typeof openItems>>

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-socket-'))
  db = await openItems(dir)
  await db.items.putMany(Array.from({ length: 3_000 }, (_, id) => ({ id, text: `t${id}` })))
})
afterEach(async () => {
  await db.close()
  rmSync(dir, { recursive: true, force: true })
})

class Client {
  readonly messages: Message[] = []
  greeting: Message | undefined
  readonly closed: Promise<void>
  readonly #socket: Socket
  #wake = (): void => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    const splitter = new LineSplitter()
    socket.on('data', (chunk: Uint8Array) => {
      this.messages.push(...splitter.push(chunk).map(decodeMessage))
      this.#wake()
    })
    socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
  }

  static async connect(): Promise<Client> {
    const holder = await folderHolder(dir)
    if (holder === undefined) throw new Error('nobody has the folder open')
    const client = new Client(await connectToHolder(dir, holder))
    client.greeting = await client.next()
    return client
  }

  send(message: Message | string): void {
    this.#socket.write(typeof message === 'string' ? message : encodeMessage(message))
  }

  async next(): Promise<Message> {
    for (;;) {
      const message = this.messages.shift()
      if (message !== undefined) return message
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

const rows = { method: 'rows', params: { table: 'items', query: {}, where: [] } } as const

it('answers calls, in whatever order they are done, and errors as they are', async () => {
  const client = await Client.connect()
  client.send({ id: 7, method: 'get', params: { table: 'items', keys: ['5', 5] } })
  expect(await client.next()).toEqual({ id: 7, ok: { row: { id: 5, text: 't5' }, at: 1 } })
  client.send({ id: 8, method: 'get', params: { table: 'nope', keys: [1] } })
  const { error } = await client.next()
  expect(decodeError(error)).toMatchObject({
    ...{ code: 'UnknownTable', applied: 'no', kind: 'rejected' },
    details: { table: 'nope' },
  })
  client.send({ id: 9, method: 'toString', params: {} })
  expect(decodeError((await client.next()).error)).toMatchObject({ code: 'Unsupported' })
  client.destroy()
})

it('sends of a stream what there is credit for', async () => {
  const client = await Client.connect()
  client.send({ id: 1, ...rows, credit: 2 })
  const first = [await client.next(), await client.next()]
  client.send({ id: 2, method: 'count', params: { table: 'items', query: {} } })
  expect(await client.next()).toEqual({ id: 2, ok: 3_000 })
  client.send({ id: 1, credit: 1_000 })
  let count = first.reduce((sum, { item }) => sum + (item as unknown[]).length, 0)
  for (let message = await client.next(); message.end !== true; message = await client.next()) {
    count += (message.item as unknown[]).length
  }
  expect(count).toBe(3_000)
  client.destroy()
})

it('lets go of streams that are cancelled, and of those whose client went away', async () => {
  // A database holds 32 snapshots at the most: more streams than that must come and go.
  for (let round = 0; round < 3; round++) {
    const client = await Client.connect()
    for (let id = 0; id < 20; id++) client.send({ id, ...rows, credit: 1 })
    for (let id = 0; id < 20; id++) await client.next()
    if (round === 0) for (let id = 0; id < 20; id++) client.send({ id, cancel: true })
    else client.destroy()
    await expect.poll(() => db.items.query().first()).toBeDefined()
  }
  const all = Array.from({ length: 30 }, () => db.items.query()[Symbol.asyncIterator]())
  await expect
    .poll(async () => {
      const taken = await Promise.allSettled(all.map((each) => each.next()))
      return taken.every(({ status }) => status === 'fulfilled')
    })
    .toBe(true)
  for (const each of all) await each.return?.()
})

it('drops a connection that does not speak the protocol, and serves the others', async () => {
  const [stranger, client] = [await Client.connect(), await Client.connect()]
  stranger.send('GET / HTTP/1.1\r\n\r\n')
  await stranger.closed
  client.send({ id: 1, method: 'count', params: { table: 'items', query: {} } })
  expect(await client.next()).toEqual({ id: 1, ok: 3_000 })
  client.end()
  await db.close()
  await client.closed
})

it('answers what it has begun before it closes, and gives back what comes later', async () => {
  const [client, watcher] = [await Client.connect(), await Client.connect()]
  watcher.send({ id: 1, method: 'feed', params: { table: 'items', from: 'now' }, credit: 1 })
  client.send({ id: 1, ...rows, credit: 1 })
  const first = await client.next()
  const closed = db.close()
  expect(await client.next()).toEqual({ id: 0, leaving: true })
  // The next holder's: nobody may begin it here.
  client.send({ id: 2, method: 'delete', params: { table: 'items', key: 1 } })
  expect(await client.next()).toEqual({ id: 2, leaving: true })
  const late = await Client.connect()
  expect(late.greeting).toEqual({ id: 0, leaving: true })
  expect(decodeError((await watcher.next()).error)).toMatchObject({ code: 'Closed' })
  watcher.end()
  let count = (first.item as unknown[]).length
  client.send({ id: 1, credit: 1_000 })
  for (let message = await client.next(); message.end !== true; message = await client.next()) {
    count += (message.item as unknown[]).length
  }
  expect(count).toBe(3_000)
  expect(await folderHolder(dir)).toBeDefined()
  client.end()
  await Promise.all([closed, late.closed])
  expect(await folderHolder(dir)).toBeUndefined()
  db = await openItems(dir)
  expect(await db.items.get(1)).toBeDefined()
})

it('waits no longer than its time for those who take nothing', async () => {
  const client = await Client.connect()
  client.send({ id: 1, ...rows, credit: 1 })
  await client.next()
  await db.close()
  await client.closed
  expect(client.messages).toEqual([{ id: 0, leaving: true }])
})

it('carries errors across with all that they say', () => {
  const error = new HoldfastError('StorageFailed', 'no', {
    applied: 'yes',
    cause: new Error('the disk'),
    details: { key: 5n, at: new Date(0) },
  })
  const there = decodeError(
    decodeMessage(encodeMessage({ id: 1, error: encodeError(error) })).error,
  )
  const { code, message, applied, details, advice } = error
  expect(there).toMatchObject({ code, message, applied, details, advice })
  expect(there.cause).toMatchObject({ message: 'the disk' })
  expect(decodeError(encodeError(new TypeError('odd')))).toMatchObject({ code: 'Bug' })
})
