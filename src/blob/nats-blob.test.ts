/** Blobs over a real NATS server: the contract of every Blob, and what is their own. */
import { jetstream, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  natsServerMissing,
  startNatsServers,
  type NatsServers,
} from '../../test/child/nats-servers.ts'
import { equalBytes, type Bytes } from '../core/bytes.ts'
import { systemEnv } from '../core/system-env.ts'
import { blobContract, inParts, readAll, sample } from './blob.contract.ts'
import { openNatsBlob, type NatsBlob, type NatsBlobOptions } from './nats-blob.ts'

const missing = natsServerMissing('blobs over NATS were not tested')
const MAX_BYTES = 64 * 1024 * 1024

let servers: NatsServers
let connection: NatsConnection
let manager: JetStreamManager
let names = 0
const opened: NatsBlob[] = []

async function opening(name: string, options: Partial<NatsBlobOptions> = {}): Promise<NatsBlob> {
  const given = { servers: servers.urls, name, maxBytes: MAX_BYTES, ...options }
  const blob = await openNatsBlob(systemEnv, given)
  opened.push(blob)
  return blob
}

const stream = (name: string): string => `HOLDFAST-BLOBS_${name}`

async function messages(name: string): Promise<number> {
  const { state } = await manager.streams.info(stream(name))
  return state.messages
}

describe.skipIf(missing !== undefined)('over a server', () => {
  beforeAll(async () => {
    servers = await startNatsServers(1)
    connection = await connect({ servers: [...servers.urls] })
    manager = await jetstreamManager(connection)
  })

  afterAll(async () => {
    await Promise.all(opened.map((blob) => blob.close()))
    await connection.close()
    await servers.stop()
  })

  blobContract('NATS blob', async () => {
    const name = `blob${++names}`
    return { blob: await opening(name), reopen: () => opening(name) }
  })

  describe('NATS blobs of several nodes', together)
  describe('NATS blobs, damaged', damage)
  describe('NATS blobs whose server is killed', killed)
})

function together(): void {
  it('are seen by all, and of puts of one name from several one wins', async () => {
    const name = `blob${++names}`
    const nodes = await Promise.all([opening(name), opening(name), opening(name)])
    const [one, two] = nodes
    for (let round = 0; round < 10; round++) {
      const puts = nodes.map((node, i) => node.put(`r/${round}`, sample(300_000, i)))
      const outcomes = await Promise.allSettled(puts)
      const won = outcomes.flatMap(({ status }, i) => (status === 'fulfilled' ? [i] : []))
      expect(won).toHaveLength(1)
      const bytes = await readAll(two, `r/${round}`)
      expect(equalBytes(bytes, sample(300_000, won[0]))).toBe(true)
    }
    await one.delete('r/3')
    expect((await two.names('r/')).length).toBe(9)
    // Neither losers nor what was deleted leave bytes behind: two chunks and a record each.
    expect(await messages(name)).toBe(9 * 3)
  })

  it('leave nothing behind when a source fails', async () => {
    const name = `blob${++names}`
    const blob = await opening(name)
    async function* source(): AsyncGenerator<Bytes, void> {
      yield* inParts(sample(2_000_000), 100_000)
      throw new Error('of the source')
    }
    await expect(blob.put('x', source())).rejects.toThrow('of the source')
    expect(await messages(name)).toBe(0)
  })

  it('are StorageFull beyond their room, and leave nothing of what did not fit', async () => {
    const name = `blob${++names}`
    const blob = await opening(name, { maxBytes: 1_000_000 })
    await blob.put('a', sample(400_000))
    await expect(blob.put('b', sample(900_000))).rejects.toMatchObject({ code: 'StorageFull' })
    expect(await blob.names('')).toEqual(['a'])
    await blob.delete('a')
    expect(await messages(name)).toBe(0)
    await blob.put('b', sample(900_000))
    expect((await readAll(blob, 'b')).length).toBe(900_000)
  })

  it('are swept of what puts left that broke off, and of nothing else', async () => {
    const name = `blob${++names}`
    const blob = await opening(name)
    await blob.put('kept', sample(600_000))
    // As a node leaves it that dies during its put.
    await jetstream(connection).publish(`holdfast.${name}.blob.chunk.left`, 'behind')
    expect(await blob.sweep()).toBe(0)
    expect(await blob.sweep(0)).toBe(1)
    expect(await messages(name)).toBe(4)
    expect((await readAll(blob, 'kept')).length).toBe(600_000)
  })
}

function damage(): void {
  it('are StoreCorrupt, still named, and can be deleted', async () => {
    const name = `blob${++names}`
    const blob = await opening(name)
    await blob.put('lost/chunk', sample(600_000))
    await manager.streams.deleteMessage(stream(name), 2)
    await blob.put('bad.record', sample(10))
    const subject = `holdfast.${name}.blob.name.bad%record`
    await manager.streams.purge(stream(name), { filter: subject })
    await jetstream(connection).publish(subject, 'junk')
    const corrupt = { code: 'StoreCorrupt' }
    await expect(readAll(blob, 'lost/chunk')).rejects.toMatchObject(corrupt)
    await expect(blob.stat('bad.record')).rejects.toMatchObject(corrupt)
    await expect(readAll(blob, 'bad.record')).rejects.toMatchObject(corrupt)
    await expect(blob.list('')).rejects.toMatchObject(corrupt)
    expect(await blob.names('')).toEqual(['bad.record', 'lost/chunk'])
    for (const each of await blob.names('')) await blob.delete(each)
    expect(await blob.list('')).toEqual([])
    expect(await blob.sweep(0)).toBe(1)
    expect(await messages(name)).toBe(0)
  })
}

function killed(): void {
  it('are put whole when it comes back', async () => {
    const name = `blob${++names}`
    const blob = await opening(name)
    const bytes = sample(3_000_000)
    let given = 0
    let back: Promise<void> | undefined
    async function* source(): AsyncGenerator<Bytes, void> {
      for await (const part of inParts(bytes, 300_000)) {
        yield part
        if (++given !== 5) continue
        await servers.kill(0)
        // Not waited for: the put may ask for no more until it is back.
        back = servers.restart(0)
      }
    }
    const info = await blob.put('through', source())
    await back
    expect(info.bytes).toBe(bytes.length)
    expect(equalBytes(await readAll(blob, 'through'), bytes)).toBe(true)
  })

  it('fail by name while it stays away, and close', async () => {
    const blob = await opening(`blob${++names}`, { patienceMs: 100 })
    await blob.put('there', sample(10))
    await servers.kill(0)
    const unreachable = { code: 'Unreachable', applied: 'no' }
    await expect(blob.put('x', sample(10))).rejects.toMatchObject(unreachable)
    await expect(blob.stat('there')).rejects.toMatchObject(unreachable)
    await expect(blob.names('')).rejects.toMatchObject(unreachable)
    await expect(readAll(blob, 'there')).rejects.toMatchObject(unreachable)
    await blob.close()
    await expect(blob.stat('there')).rejects.toMatchObject({ code: 'Closed' })
    await servers.restart(0)
  })
}
