// A database goes on under another log: what was acked before is there, and nothing counts twice.
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  adopt,
  listBackups,
  open,
  refound,
  restore,
  strong,
  unvalidated,
  type ClusterOptions,
  type Database,
  type HoldfastError,
} from '../../src/index.ts'
import { streamName, streamSubject } from '../../src/log/jetstream-stream.ts'
import { openClusterLog, retireClusterLog, systemEnv, withFolder } from '../../src/open.ts'
import { storedState } from '../../src/shard/apply-loop.ts'
import { beginLog, markOf } from '../../src/shard/begin-log.ts'
import type { LogState } from '../../src/shard/log-state.ts'
import { putSeal } from '../../src/shard/seal.ts'
import { StoreBatch } from '../../src/store/store.ts'
import { findNatsServer } from '../../scripts/nats-server.mjs'
import { startProcessCluster, type ProcessCluster } from '../../src/verify/process-cluster.ts'
import { natsServerMissing } from '../child/nats-servers.ts'
import { AskedNode, type Told } from './asked-node.ts'

const missing = natsServerMissing('a database that goes on under another log')
const root = mkdtempSync(join(tmpdir(), 'holdfast-refound-'))
let processes: ProcessCluster
const started: AskedNode[] = []
const opened: Db[] = []

const tables = {
  rows: strong({ key: 'id', row: unvalidated<{ id: string; n: number }>() }),
}

const MAX_BYTES = 64 * 1024 * 1024
type Db = Database<typeof tables>

beforeAll(async () => {
  if (missing !== undefined) return
  const { path: natsServer } = findNatsServer()
  processes = await startProcessCluster({ dir: root, natsServer, nodes: 0 })
}, 60_000)
afterEach(async () => {
  await Promise.all(started.splice(0).map((node) => node.kill()))
  await Promise.all(opened.splice(0).map((db) => db.close()))
})
afterAll(async () => {
  await processes?.stop('SIGKILL')
  rmSync(root, { recursive: true, force: true })
})

const urls = (): string[] => processes.servers.map(({ url }) => url)

const clusterOf = (name: string): ClusterOptions => ({
  servers: urls(),
  monitors: processes.servers.map(({ monitor }) => monitor),
  maxBytes: MAX_BYTES,
  name,
})

async function opens(dir: string, cluster?: string): Promise<Db> {
  const options = cluster === undefined ? {} : { cluster: clusterOf(cluster) }
  const db = await open({ dir, tables, ...options })
  opened.push(db)
  return db
}

async function shut(db: Db): Promise<void> {
  opened.splice(opened.indexOf(db), 1)
  await db.close()
}

async function nodes(name: string, count: number): Promise<AskedNode[]> {
  const own = { name, maxBytes: MAX_BYTES }
  const made = await Promise.all(Array.from({ length: count }, () => AskedNode.add(processes, own)))
  started.push(...made)
  return made
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20))
}

async function expectExact(at: AskedNode, told: readonly Told[]): Promise<void> {
  const ids = new Set(await at.ask<string[]>('ids'))
  for (const { acked, refused } of told) {
    expect(acked.filter((id) => !ids.has(id))).toEqual([])
    expect(refused.filter((id) => ids.has(id))).toEqual([])
  }
  expect(await at.ask('counted')).toBe(ids.size)
}

/** What the command says. Links between the servers are in this process: it must not stand still. */
async function command(...args: string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)('bin/holdfast', [...args, '--json'])
  return JSON.parse(stdout) as unknown
}

let copied = 0

/** A copy of a folder that nobody has open. */
function copyOf(dir: string): string {
  const to = join(root, `copy-${++copied}`)
  cpSync(dir, to, { recursive: true, filter: (path) => !path.endsWith('.sock') })
  return to
}

/** Makes the stream of a log anew with its first entries alone, as from an old copy of the disks. */
async function cutLog(name: string, last: number): Promise<void> {
  const connection = await connect({ servers: urls() })
  try {
    const manager = await jetstreamManager(connection)
    const stream = streamName(name)
    const { config } = await manager.streams.info(stream)
    const frames: Uint8Array[] = []
    for (let seq = 1; seq <= last; seq++) {
      const message = await manager.streams.getMessage(stream, { seq })
      frames.push(message?.data ?? new Uint8Array())
    }
    await manager.streams.delete(stream)
    await manager.streams.add(config)
    for (const frame of frames) await jetstream(connection).publish(streamSubject(name), frame)
  } finally {
    await connection.close()
  }
}

/** Has a stream let go what lies below, as a trim does. */
async function purge(stream: string, below: number): Promise<void> {
  const connection = await connect({ servers: urls() })
  try {
    await (await jetstreamManager(connection)).streams.purge(stream, { seq: below })
  } finally {
    await connection.close()
  }
}

/** Kills all servers, and deletes what they keep. */
async function loseLogs(): Promise<void> {
  const { servers } = processes
  await Promise.all(servers.map((server) => server.end()))
  for (const { dir } of servers) rmSync(join(dir, 'jetstream'), { recursive: true, force: true })
  await Promise.all(servers.map((server) => server.start()))
}

describe.skipIf(missing !== undefined)('S7: a log that is lost', { timeout: 60_000 }, () => {
  it('is founded anew from the nodes: all that was acked is there, once, and writes go on', async () => {
    const all = await nodes('lost', 3)
    const [a, b, c] = all as [AskedNode, AskedNode, AskedNode]
    for (const [i, node] of all.entries()) await node.ask('load', { prefix: `lane-${i}`, lanes: 4 })
    for (const node of all) await until(async () => (await node.ask<number>('acks')) > 30)
    // One is behind the others when it happens.
    const early = await c.ask<Told>('unload')
    await c.kill()
    const before = await a.ask<number>('acks')
    await until(async () => (await a.ask<number>('acks')) > before + 30)
    await loseLogs()
    const told = [early, ...(await Promise.all([a, b].map((node) => node.ask<Told>('told'))))]
    await Promise.all([a, b].map((node) => node.kill()))

    const cluster = clusterOf('lost')
    const folders = all.map(({ dir }) => dir)
    // A node whose folder is not there may have acked what the others do not have.
    const some = refound({ cluster, folders: folders.slice(0, 2) })
    await expect(some).rejects.toMatchObject({ code: 'LossNotAccepted' })
    const copies = folders.map((dir) => copyOf(dir))
    const refounded = await refound({ cluster, folders })
    expect(refounded.nodes.map(({ now }) => now)).toContain('caught-up')

    await Promise.all(all.map((node) => node.start()))
    for (const node of all) await expectExact(node, told)
    await c.ask('put', { id: 'after', n: 1 })
    expect(await a.ask('get', { id: 'after' })).toEqual({ id: 'after', n: 1 })

    // Of two refounds one loses, wherever the other stood.
    await expect(refound({ cluster, folders: copies })).rejects.toMatchObject({
      code: 'LogMismatch',
    })
  })
})

describe.skipIf(missing !== undefined)('S7: a log that went back', { timeout: 60_000 }, () => {
  it('is sealed, and another goes on; the node that is given up for that is told so', async () => {
    const cluster = clusterOf('back')
    const dirs = ['a', 'b'].map((node) => join(root, `back-${node}`))
    const [a, b] = (await Promise.all(dirs.map((dir) => opens(dir, 'back')))) as [Db, Db]
    await a.rows.put({ id: 'kept', n: 1 })
    await shut(a)
    const { token: lost } = await b.rows.put({ id: 'lost', n: 1 })
    await shut(b)
    const [dirA, dirB] = dirs as [string, string]
    // Sound as it is, it is not given up.
    const sound = refound({ cluster, folders: dirs })
    await expect(sound).rejects.toMatchObject({ code: 'InvalidArgument' })
    await cutLog('back', 2)
    await expect(opens(dirA, 'back')).rejects.toMatchObject({ code: 'LogReset' })
    const alone: unknown = await refound({ cluster, folders: [dirA] }).catch(
      (error: unknown) => error,
    )
    expect(alone).toMatchObject({ code: 'LossNotAccepted' })
    const { missing: acceptLoss } = (alone as HoldfastError).details as { missing: string[] }
    expect(acceptLoss).toHaveLength(1)

    // As after a crash that left the next log without a genesis.
    await withFolder(dirA, async (store) => {
      const state = storedState(store) as LogState
      const goesOn = { first: state.position + 1, mark: markOf(state) }
      const number = await retireClusterLog(cluster, { mark: goesOn.mark, least: 2 })
      await (await openClusterLog(cluster, { number, goesOn })).close()
    })
    const refounded = await refound({ cluster, folders: dirs, acceptLoss })
    expect(refounded.nodes.map(({ now }) => now)).toEqual(['level', 'lost'])
    // Again, as after a crash: the same log.
    const of = ['--cluster', urls().join(','), '--database', 'back']
    const again = await command('refound', ...of, '--node', ...dirs, '--accept-loss', ...acceptLoss)
    expect(again).toEqual(refounded)
    await expect(opens(dirB, 'back')).rejects.toMatchObject({ code: 'LogMismatch' })
    const db = await opens(dirA, 'back')
    expect(await db.rows.query().toArray()).toEqual([{ id: 'kept', n: 1 }])
    const read = db.rows.get('lost', { level: 'session', after: lost })
    await expect(read).rejects.toMatchObject({ code: 'TokenMismatch' })
    await db.rows.put({ id: 'on', n: 1 })
    expect((await db.check()).problems).toEqual([])
  })
})

describe.skipIf(missing !== undefined)('S7: a log that is sound', { timeout: 60_000 }, () => {
  it('is not given up for an older copy of a folder, also when it no longer has its last entry', async () => {
    const cluster = clusterOf('sound')
    const dir = join(root, 'sound')
    await (await opens(dir, 'sound')).rows.put({ id: 'early', n: 1 })
    await shut(opened[0] as Db)
    const older = copyOf(dir)
    const db = await opens(dir, 'sound')
    const { position } = await db.rows.put({ id: 'late', n: 1 })
    await shut(db)
    await purge(streamName('sound'), position)
    await expect(refound({ cluster, folders: [older] })).rejects.toMatchObject({
      code: 'InvalidArgument',
    })
    expect(await (await opens(dir, 'sound')).rows.get('late')).toEqual({ id: 'late', n: 1 })
  })
})

describe.skipIf(missing !== undefined)('S15: a folder', { timeout: 60_000 }, () => {
  it('goes on as a cluster: rows, idempotency keys and tokens are what they were', async () => {
    const dir = join(root, 'adopted')
    const embedded = await opens(dir)
    for (let n = 0; n < 20; n++) await embedded.rows.put({ id: `r${n}`, n })
    const once = await embedded.rows.insert({ id: 'once', n: 1 }, { idempotencyKey: 'key' })
    const { token } = embedded
    await shut(embedded)
    const [copy, spare] = [copyOf(dir), copyOf(dir)]

    const adopted = await adopt({ dir, cluster: clusterOf('adopted') })
    await expect(opens(dir)).rejects.toMatchObject({ code: 'LogSealed' })
    // Again, as after a crash behind the last step.
    expect(await adopt({ dir, cluster: clusterOf('adopted') })).toEqual(adopted)
    // Of two copies one wins, and the other is as it was.
    const second = adopt({ dir: copy, cluster: clusterOf('adopted') })
    await expect(second).rejects.toMatchObject({ code: 'LogMismatch' })
    const still = await opens(copy)
    await still.rows.put({ id: 'r0', n: -1 })

    const db = await opens(dir, 'adopted')
    expect(db.identity).toBe(adopted.identity)
    expect(await db.rows.get('r19', { level: 'session', after: token })).toEqual({
      id: 'r19',
      n: 19,
    })
    expect((await db.rows.query().toArray()).length).toBe(21)
    const again = await db.rows.insert({ id: 'once', n: 1 }, { idempotencyKey: 'key' })
    expect(again.position).toBe(once.position)
    const { token: later, position: end } = await db.rows.put({ id: 'r0', n: 100 })
    // The copy went on by itself, and has none of this.
    await expect(still.rows.get('r0', { level: 'session', after: later })).rejects.toMatchObject({
      code: 'TokenMismatch',
    })
    expect((await db.check()).problems).toEqual([])
    // What was before the log comes from the node that has it.
    const other = await opens(join(root, 'empty'), 'adopted')
    expect((await other.rows.query().toArray()).length).toBe(21)
    const thrice = await other.rows.insert({ id: 'once', n: 1 }, { idempotencyKey: 'key' })
    expect(thrice.position).toBe(once.position)
    expect(await other.rows.get('r19', { level: 'session', after: token })).toMatchObject({ n: 19 })
    expect((await other.check()).problems).toEqual([])
    await shut(other)
    await shut(db)
    await expect(opens(dir)).rejects.toMatchObject({ code: 'LogMismatch' })
    expect((await opens(dir, 'adopted')).identity).toBe(adopted.identity)

    // The log has let go how it began.
    await purge(streamName('adopted'), end)
    const third = adopt({ dir: spare, cluster: clusterOf('adopted') })
    await expect(third).rejects.toMatchObject({ code: 'LogMismatch' })
    expect(await (await opens(spare)).rows.get('r0')).toEqual({ id: 'r0', n: 0 })
  })

  it.each(['sealed', 'log made', 'genesis read'])(
    'whose carrier died once it was so far (%s) opens nowhere else, and the next call goes on',
    async (step) => {
      const name = `died-${step.replace(' ', '-')}`
      const dir = join(root, name)
      const embedded = await opens(dir)
      await embedded.rows.put({ id: 'x', n: 1 })
      await shut(embedded)
      const next = new Uint8Array(16).fill(7)
      await withFolder(dir, async (store) => {
        const state = storedState(store) as LogState
        const batch = new StoreBatch()
        putSeal(batch, { kind: 'adopt', identity: state.identity, next, database: name })
        await store.write(batch)
        if (step === 'sealed') return
        const goesOn = { first: state.position + 1, mark: markOf(state) }
        const log = await openClusterLog(clusterOf(name), { goesOn })
        if (step === 'genesis read') await beginLog(systemEnv, log, state, next)
        await log.close()
      })
      await expect(opens(dir)).rejects.toMatchObject({ code: 'LogSealed' })
      const elsewhere = adopt({ dir, cluster: clusterOf('elsewhere') })
      await expect(elsewhere).rejects.toMatchObject({ code: 'LogSealed' })
      const adopted = await adopt({ dir, cluster: clusterOf(name) })
      expect(adopted.identity).toBe(Buffer.from(next).toString('hex'))
      const db = await opens(dir, name)
      expect(await db.rows.get('x')).toEqual({ id: 'x', n: 1 })
    },
  )

  it('is not carried over a database of that name, and stays as it is', async () => {
    const there = await opens(join(root, 'there'), 'taken')
    const dir = join(root, 'other')
    await shut(await opens(dir))
    await expect(adopt({ dir, cluster: clusterOf('taken') })).rejects.toMatchObject({
      code: 'LogMismatch',
    })
    await there.rows.put({ id: 'x', n: 1 })
    await (await opens(dir)).rows.put({ id: 'y', n: 1 })
  })

  it('restored from a backup of a cluster is a database of its own, of any moment', async () => {
    const db = await opens(join(root, 'moment'), 'moment')
    const { position } = await db.rows.put({ id: 'x', n: 1 })
    await db.rows.put({ id: 'x', n: 2 })
    const from = join(root, 'moment-backups')
    await db.backup({ to: from })
    await db.rows.put({ id: 'x', n: 3 })
    await db.backup({ to: from })
    expect(await listBackups({ from })).toHaveLength(2)

    const dir = join(root, 'moment-restored')
    await restore({ from, dir, at: position + 1 })
    const embedded = await opens(dir)
    expect(embedded.identity).not.toBe(db.identity)
    expect(await embedded.rows.get('x')).toEqual({ id: 'x', n: 2 })
    await shut(embedded)
    const to = ['--cluster', urls().join(','), '--database', 'moment-again']
    expect(await command('adopt', '--dir', dir, ...to)).toMatchObject({
      dir,
      database: 'moment-again',
    })
    const again = await opens(dir, 'moment-again')
    expect(await again.rows.get('x')).toEqual({ id: 'x', n: 2 })
    await again.rows.put({ id: 'x', n: 4 })
    expect(await db.rows.get('x')).toEqual({ id: 'x', n: 3 })
    await expect(again.rows.get('x', { level: 'session', after: db.token })).rejects.toMatchObject({
      code: 'TokenMismatch',
    })
  })
})
