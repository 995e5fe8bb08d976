// Nodes of one database, each a process, over real NATS servers: what holds when any of them is killed.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  open,
  strong,
  unvalidated,
  type ClusterOptions,
  type DatabaseStatus,
} from '../../src/index.ts'
import { findNatsServer } from '../../scripts/nats-server.mjs'
import { startProcessCluster, type ProcessCluster } from '../../src/verify/process-cluster.ts'
import { natsServerMissing } from '../child/nats-servers.ts'
import { root as projectRoot, runText, typeFaults } from '../docs/run-from-source.ts'
import { AskedNode, type Told } from './asked-node.ts'

const missing = natsServerMissing('a cluster of processes over NATS')
const root = mkdtempSync(join(tmpdir(), 'holdfast-cluster-'))
const MAX_BYTES = 64 * 1024 * 1024
let cluster: ProcessCluster
let databases = 0
const started: AskedNode[] = []

beforeAll(async () => {
  if (missing !== undefined) return
  const { path: natsServer } = findNatsServer()
  cluster = await startProcessCluster({ dir: root, natsServer, nodes: 0 })
}, 60_000)
afterEach(async () => {
  await Promise.all(started.splice(0).map((node) => node.kill()))
})
afterAll(async () => {
  await cluster?.stop('SIGKILL')
  rmSync(root, { recursive: true, force: true })
})

const own = (name: string): object => ({ name, maxBytes: MAX_BYTES })

/** How this process reaches a database: by no link. */
const clusterOf = (name: string): ClusterOptions => ({
  servers: cluster.servers.map(({ url }) => url),
  monitors: cluster.servers.map(({ monitor }) => monitor),
  maxBytes: MAX_BYTES,
  name,
})

/** Nodes of a database of their own, started together. */
async function nodes(count: number): Promise<AskedNode[]> {
  const name = `db${++databases}`
  const made = await Promise.all(
    Array.from({ length: count }, () => AskedNode.add(cluster, own(name))),
  )
  started.push(...made)
  return made
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20))
}

/** Each transaction once: what was acked is there, what was refused is not, and nothing doubled. */
async function expectExact(at: AskedNode, told: readonly Told[]): Promise<void> {
  const ids = new Set(await at.ask<string[]>('ids'))
  for (const { acked, refused } of told) {
    expect(acked.filter((id) => !ids.has(id))).toEqual([])
    expect(refused.filter((id) => ids.has(id))).toEqual([])
  }
  expect(await at.ask('counted')).toBe(ids.size)
}

describe.skipIf(missing !== undefined)('a cluster', { timeout: 60_000 }, () => {
  it('is one database on all its nodes: what one acked, any other reads at once', async () => {
    const [a, b, c] = (await nodes(3)) as [AskedNode, AskedNode, AskedNode]
    for (let n = 0; n < 20; n++) {
      const [writer, reader] = [
        [a, b],
        [b, c],
        [c, a],
      ][n % 3] as [AskedNode, AskedNode]
      const ack = await writer.ask('put', { id: 'x', n: n })
      expect(ack).toMatchObject({ durability: 'quorum-fsynced' })
      expect(await reader.ask('get', { id: 'x' })).toEqual({ id: 'x', n })
    }
    const inserts = [a, b, c].map((node, n) =>
      node.ask('insert', { id: 'y', n: n }).then(() => 'won', String),
    )
    expect((await Promise.all(inserts)).filter((said) => said === 'won')).toHaveLength(1)
    const [first, second] = await Promise.all([a, b].map((node) => node.ask('ids')))
    expect(first).toEqual(second)
  })

  it('loses nothing that it acked when nodes are killed, and the others go on', async () => {
    const all = await nodes(3)
    const [a, b, c] = all as [AskedNode, AskedNode, AskedNode]
    for (const [i, node] of all.entries())
      await node.ask('load', { prefix: `first-${i}`, lanes: 4 })
    await until(async () => (await c.ask<number>('acks')) > 50)
    // What this one was told goes with it.
    await c.kill()
    const before = await a.ask<number>('acks')
    await until(async () => (await a.ask<number>('acks')) > before + 50)
    await c.start()
    await c.ask('load', { prefix: 'second', lanes: 4 })
    await until(async () => (await c.ask<number>('acks')) > 50)
    const told = await Promise.all(all.map((node) => node.ask<Told>('unload')))
    for (const { acked } of told) expect(acked.length).toBeGreaterThan(50)
    for (const node of all) await expectExact(node, told)
    await b.ask('close')
  })

  it('goes on when the server that leads the log is killed, and does nothing twice', async () => {
    const all = await nodes(2)
    for (const [i, node] of all.entries()) await node.ask('load', { prefix: `lane-${i}`, lanes: 4 })
    for (const node of all) await until(async () => (await node.ask<number>('acks')) > 30)
    const leader = await cluster.leader(`db${databases}`)
    await cluster.kill(leader)
    for (const node of all) {
      const before = await node.ask<number>('acks')
      await until(async () => (await node.ask<number>('acks')) > before + 20)
    }
    const { log } = await (all[0] as AskedNode).ask<DatabaseStatus>('status')
    expect(log?.leader).not.toBe(leader)
    await cluster.restart(leader)
    const told = await Promise.all(all.map((node) => node.ask<Told>('unload')))
    for (const node of all) await expectExact(node, told)
  })

  it('goes on when a server or a node is parted or paused, and loses nothing once healed', async () => {
    const all = await nodes(2)
    const [a, b] = all as [AskedNode, AskedNode]
    const moreAcks = async (...of: AskedNode[]): Promise<void> => {
      for (const node of of) {
        const before = await node.ask<number>('acks')
        await until(async () => (await node.ask<number>('acks')) > before + 20)
      }
    }
    for (const [i, node] of all.entries()) await node.ask('load', { prefix: `lane-${i}`, lanes: 4 })
    await moreAcks(a, b)
    cluster.partition(b.name, 'both')
    await moreAcks(a)
    cluster.heal()
    await moreAcks(b)
    const leader = await cluster.leader(`db${databases}`)
    cluster.partition(leader, 'both')
    await moreAcks(a, b)
    cluster.heal()
    const next = await cluster.leader(`db${databases}`)
    cluster.pause(next)
    await moreAcks(a, b)
    cluster.resume(next)
    const told = await Promise.all(all.map((node) => node.ask<Told>('unload')))
    for (const node of all) await expectExact(node, told)
  })

  it('knows which of its nodes live, how its log is kept, and what it survives', async () => {
    const [a, , c] = (await nodes(3)) as [AskedNode, AskedNode, AskedNode]
    const status = (): Promise<DatabaseStatus> => a.ask<DatabaseStatus>('status')
    const states = async (): Promise<string> =>
      (await status()).nodes.map(({ state }) => state).join()
    await until(async () => (await status()).survives.text === 'survives 1 server and 2 nodes')
    expect(await status()).toMatchObject({
      ...{ kind: 'cluster', shards: 16, copies: 3, durability: 'quorum-fsynced' },
      log: { name: `HOLDFAST_db${databases}`, maxBytes: MAX_BYTES },
      problems: [],
    })
    expect((await status()).log?.leader).toBe(await cluster.leader(`db${databases}`))
    cluster.pause(c.name)
    await until(async () => (await states()).includes('suspect'))
    expect((await status()).problems).toEqual([
      {
        what: expect.stringContaining('not been heard') as unknown,
        next: expect.any(String) as unknown,
      },
    ])
    cluster.resume(c.name)
    await until(async () => (await states()) === 'alive,alive,alive')
    await c.ask('close')
    await until(async () => (await states()) === 'alive,alive')
  })

  it('does what README says', async () => {
    const readme = readFileSync(join(projectRoot, 'README.md'), 'utf8')
    const block = /^```typescript\n(.*?)^```$/ms.exec(readme)?.[1] ?? ''
    const dir = join(root, 'readme')
    mkdirSync(dir)
    const program = block
      .replace('./node-1', dir)
      .replaceAll(
        /nats:\/\/[abc]:4222/g,
        (url) => cluster.servers['abc'.indexOf(url[7] ?? '')]?.url ?? '',
      )
      .replaceAll(
        /http:\/\/[abc]:8222/g,
        (url) => cluster.servers['abc'.indexOf(url[7] ?? '')]?.monitor ?? '',
      )
      .replace('tables:', `name: 'readme', maxBytes: ${MAX_BYTES} },\n  tables:`)
      .replace(/\},\n\s*name:/, 'name:')
    expect(typeFaults({ 'readme-cluster.ts': program })).toEqual([])
    expect(await runText(program)).toMatchObject({ code: 0, stdout: 'quorum-fsynced\n' })
  })

  it('refuses a folder of another log, and leaves it as it is', async () => {
    const [node] = (await nodes(1)) as [AskedNode]
    await node.ask('put', { id: 'mine', n: 1 })
    await node.ask('close')
    await node.kill()
    const tables = { rows: strong({ key: 'id', row: unvalidated<{ id: string; n: number }>() }) }
    const [other] = (await nodes(1)) as [AskedNode]
    for (let n = 0; n < 30; n++) await other.ask('put', { id: 'theirs', n: n })
    const longer = clusterOf(`db${databases}`)
    await expect(open({ dir: node.dir, cluster: longer, tables })).rejects.toMatchObject({
      code: 'LogMismatch',
      applied: 'no',
    })
    const none = clusterOf(`db${++databases}`)
    await expect(open({ dir: node.dir, cluster: none, tables })).rejects.toMatchObject({
      code: 'LogReset',
    })
    const embedded = join(root, 'embedded')
    const alone = await open({ dir: embedded, tables })
    await alone.rows.put({ id: 'kept', n: 1 })
    await alone.close()
    await expect(open({ dir: embedded, cluster: longer, tables })).rejects.toMatchObject({
      code: 'LogMismatch',
    })
    await other.ask('close')
    await other.kill()
    await expect(open({ dir: other.dir, tables })).rejects.toMatchObject({ code: 'LogMismatch' })
    const again = await open({ dir: embedded, tables })
    expect(await again.rows.get('kept')).toEqual({ id: 'kept', n: 1 })
    await again.close()
    await node.start()
    expect(await node.ask('get', { id: 'mine' })).toEqual({ id: 'mine', n: 1 })
  })
})
