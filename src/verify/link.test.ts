// What a link does to the connections that it carries.
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Link, OPEN_LINK } from './link.ts'

/** The target of the link, and what it accepted. */
let server: Server
let accepted: Socket[]
let link: Link
let clients: Socket[]

beforeEach(async () => {
  accepted = []
  clients = []
  server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    accepted.push(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  link = await Link.open((server.address() as AddressInfo).port)
})

afterEach(async () => {
  for (const socket of [...clients, ...accepted]) socket.destroy()
  await link.close()
  server.close()
})

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}

function dial(): Socket {
  const socket = connect({ port: link.port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => undefined)
  clients.push(socket)
  return socket
}

/** Resolves once it is closed, in order or by a break. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

/** Both ends of a connection that is there. */
async function pair(): Promise<[Socket, Socket]> {
  const before = accepted.length
  const client = dial()
  await until(() => accepted.length > before)
  return [client, accepted.at(-1) as Socket]
}

/** All that a socket was told so far. */
function heard(socket: Socket): { text: string } {
  const all = { text: '' }
  socket.on('data', (bytes: Buffer) => (all.text += bytes.toString()))
  return all
}

/** Goes through the whole link, behind what came before. */
async function roundTrip(): Promise<void> {
  const [client, target] = await pair()
  client.write('x')
  await once(target, 'data')
}

describe('a link', () => {
  it('carries bytes, an end and a break each way, in order', async () => {
    const [client, target] = await pair()
    const [atTarget, atClient] = [heard(target), heard(client)]
    const large = 'abc'.repeat(1_000_000)
    client.end(large)
    await once(target, 'end')
    expect(atTarget.text).toBe(large)
    target.write('answer')
    await until(() => atClient.text === 'answer')
    target.resetAndDestroy()
    await closed(client)
    expect(client.readableEnded).toBe(false)
  })

  it('resets who connects when nobody is there', async () => {
    server.close()
    const client = dial()
    await closed(client)
    expect(accepted).toEqual([])
  })

  it('cut, resets connections, new ones as well, and carries others once it is open', async () => {
    const [client, target] = await pair()
    const both = [closed(client), closed(target)]
    link.set({ ...OPEN_LINK, isCut: true })
    await Promise.all(both)
    await closed(dial())
    link.set(OPEN_LINK)
    await roundTrip()
    expect(accepted).toHaveLength(2)
  })

  it('holds one way or both, and gives what it held once it is open', async () => {
    const [client, target] = await pair()
    const [atTarget, atClient] = [heard(target), heard(client)]
    link.set({ ...OPEN_LINK, holdsForward: true })
    client.write('held')
    target.write('told')
    await until(() => atClient.text === 'told')
    link.set({ ...OPEN_LINK, holdsBack: true })
    await until(() => atTarget.text === 'held')
    target.write(' later')
    client.write(' and more')
    await until(() => atTarget.text === 'held and more')
    expect(atClient.text).toBe('told')
    link.set(OPEN_LINK)
    await until(() => atClient.text === 'told later')
    expect([client.destroyed, target.destroyed]).toEqual([false, false])
  })

  it('tells nobody of an end or a new connection while it holds', async () => {
    const [client, target] = await pair()
    link.set({ ...OPEN_LINK, holdsForward: true, holdsBack: true })
    let hasEnded = false
    client.once('end', () => (hasEnded = true))
    target.destroy()
    const late = dial()
    late.write('late')
    await once(late, 'connect')
    expect([hasEnded, accepted.length]).toEqual([false, 1])
    link.set(OPEN_LINK)
    await until(() => accepted.length === 2)
    const atTarget = heard(accepted[1] as Socket)
    await until(() => atTarget.text === 'late')
    await until(() => hasEnded)
  })

  it('is slower by what it was told, each way, and keeps the order', async () => {
    const [client, target] = await pair()
    const atTarget = heard(target)
    link.set({ ...OPEN_LINK, delayMs: 60 })
    const startMs = performance.now()
    client.write('a')
    setTimeout(() => client.write('b'), 20)
    await until(() => atTarget.text === 'ab')
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(60)
    client.write('c')
    link.set(OPEN_LINK)
    await until(() => atTarget.text === 'abc')
  })
})
