// The log of a cluster is kept small, and who was away for longer comes back: real servers, folders
// and processes.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openNatsBus } from '../../src/bus/nats-bus.ts'
import { systemEnv } from '../../src/core/system-env.ts'
import { openJetStreamLog } from '../../src/log/jetstream-log.ts'
import type { LogExtent } from '../../src/log/log.ts'
import { Node } from '../../src/shard/node.ts'
import { openMemoryStore } from '../../src/store/memory-store.ts'
import { findNatsServer } from '../../scripts/nats-server.mjs'
import { startProcessCluster, type ProcessCluster } from '../../src/verify/process-cluster.ts'
import { natsServerMissing } from '../child/nats-servers.ts'
import { AskedNode, type Told } from './asked-node.ts'

const missing = natsServerMissing('the trimming of a cluster’s log')
const root = mkdtempSync(join(tmpdir(), 'holdfast-trim-'))
const MAX_BYTES = 1024 * 1024
const TAIL = { entries: 40 }
let cluster: ProcessCluster
/** By no link. */
let servers: string[]
let connection: NatsConnection
let manager: JetStreamManager
const started: AskedNode[] = []

beforeAll(async () => {
  if (missing !== undefined) return
  const { path: natsServer } = findNatsServer()
  cluster = await startProcessCluster({ dir: root, natsServer, nodes: 0 })
  servers = cluster.servers.map(({ url }) => url)
  connection = await connect({ servers })
  manager = await jetstreamManager(connection, { checkAPI: false })
}, 60_000)
afterEach(async () => {
  await Promise.all(started.splice(0).map((node) => node.kill()))
})
afterAll(async () => {
  await connection?.close()
  await cluster?.stop('SIGKILL')
  rmSync(root, { recursive: true, force: true })
})

async function nodes(name: string): Promise<[AskedNode, AskedNode, AskedNode]> {
  const options = { name, maxBytes: MAX_BYTES, logTail: TAIL }
  const made = await Promise.all([1, 2, 3].map(() => AskedNode.add(cluster, options)))
  started.push(...made)
  return made as [AskedNode, AskedNode, AskedNode]
}

async function kept(name: string): Promise<Omit<LogExtent, 'maxBytes'>> {
  const { state } = await manager.streams.info(`HOLDFAST_${name}`)
  return { first: state.first_seq, last: state.last_seq, bytes: state.bytes }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 50))
}

/** What was acked is there, once, and every node has the same. */
async function expectExact(all: readonly AskedNode[], told: readonly Told[]): Promise<void> {
  const lists = await Promise.all(all.map((node) => node.ask<string[]>('ids')))
  const [first = []] = lists
  const ids = new Set(first)
  for (const list of lists) expect(list).toEqual(first)
  for (const { acked, refused } of told) {
    expect(acked.filter((id) => !ids.has(id))).toEqual([])
    expect(refused.filter((id) => ids.has(id))).toEqual([])
  }
  for (const node of all) {
    expect(await node.ask('counted')).toBe(ids.size)
    expect(await node.ask('sound')).toMatchObject({ problems: 0 })
  }
}

/** Another node of the database, in this process and in memory: for what no user can ask. */
async function insider(name: string): Promise<Node> {
  const options = { servers, name }
  const log = await openJetStreamLog(systemEnv, options)
  const bus = await openNatsBus(systemEnv, options)
  const store = openMemoryStore(systemEnv)
  const node = new Node({ env: systemEnv, store, openLog: () => log, bus, tail: TAIL })
  await node.start(1)
  return node
}

describe.skipIf(missing !== undefined)('the log of a cluster', { timeout: 60_000 }, () => {
  it('is trimmed while nodes write, and who was away takes what it missed from the others', async () => {
    const all = await nodes('away')
    const [a, b, c] = all
    await c.kill()
    const { last: away } = await kept('away')
    for (const [i, node] of [a, b].entries())
      await node.ask('load', { prefix: `lane-${i}`, lanes: 4 })
    // What was last in the log for c is gone, and far more was written than the tail has.
    await until(async () => (await kept('away')).first > away + 4 * TAIL.entries)
    await c.start()
    const told = await Promise.all([a, b].map((node) => node.ask<Told>('unload')))
    for (const { acked } of told) expect(acked.length).toBeGreaterThan(TAIL.entries)
    await expectExact(all, told)
    const { first, last } = await kept('away')
    expect(first).toBeGreaterThan(away)
    await until(async () => (await kept('away')).first > last - 4 * TAIL.entries)
  })

  it('that is full takes writes again once a second node has them on its disk', async () => {
    const [a, b, c] = await nodes('full')
    await Promise.all([b, c].map((node) => node.kill()))
    let written = 0
    const isFull = async (): Promise<boolean> => (await kept('full')).bytes > 0.8 * MAX_BYTES
    while (!(await isFull())) await a.ask('fill', { id: `row-${written++}`, n: 16 * 1024 })
    // More than there is room for: the last of them wait, within their deadline.
    const waiting = Promise.all(
      Array.from({ length: 20 }, (_, i) => a.ask('fill', { id: `late-${i}`, n: 16 * 1024 })),
    )
    await Promise.all([b.start(), waiting])
    await c.start()
    for (const node of [a, b, c]) expect(await node.ask<string[]>('ids')).toHaveLength(written + 20)
  })

  it('gives a node without entries to go on from a snapshot of another', async () => {
    const all = await nodes('anew')
    const [a, b, c] = all
    for (const [i, node] of all.entries()) await node.ask('load', { prefix: `${i}`, lanes: 2 })
    await until(async () => (await kept('anew')).first > TAIL.entries)
    const inside = await insider('anew')
    await inside.proposer.command({ type: 'window', size: { entries: 8, writes: 1_000 } })
    await inside.proposer.command({ type: 'trim', below: inside.loop.flushed })
    const { trimmed } = inside.loop.state
    expect(trimmed).toBeGreaterThan(1)
    await inside.close()
    await until(async () => (await kept('anew')).first > trimmed)
    const lost = await c.ask<Told>('unload')
    await c.kill()
    rmSync(c.dir, { recursive: true })
    mkdirSync(c.dir)
    await c.start()
    expect((await c.ask<{ oldest: number }>('sound')).oldest).toBeGreaterThan(1)
    await c.ask('load', { prefix: 'again', lanes: 2 })
    await until(async () => (await c.ask<number>('acks')) > 10)
    const told = await Promise.all(all.map((node) => node.ask<Told>('unload')))
    await expectExact([a, b, c], [lost, ...told])
  })
})
