/**
 * Golden logs (S13): entries written by an earlier build, with the hashes of what they led to. Every
 * build must decide and apply them to the same state, byte for byte. A change of an old file is a
 * broken promise, not a new golden log; golden.test.ts says how the log of a new level is written.
 */
import { createHash } from 'node:crypto'
import type { Env, Random } from '../../src/core/env.ts'
import { systemEnv } from '../../src/core/system-env.ts'
import { readEntry } from '../../src/log/entry-store.ts'
import { openLocalLog } from '../../src/log/local-log.ts'
import { ApplyLoop } from '../../src/shard/apply-loop.ts'
import { IDEMPOTENCY_TABLE } from '../../src/shard/definitions.ts'
import { INDEX_SPACE, ROW_SPACE, STATS_SPACE } from '../../src/shard/layout.ts'
import { NODE_KEY } from '../../src/shard/node-id.ts'
import { Node } from '../../src/shard/node.ts'
import { openMemoryStore } from '../../src/store/memory-store.ts'
import { openDatabase, type Database } from '../../src/table/database.ts'
import { strong, unique, unvalidated } from '../../src/table/schema.ts'

export interface GoldenLog {
  readonly level: number
  /** Frames in base64, from position 1 on. */
  readonly frames: readonly string[]
  readonly entryChain: string
  readonly decisionChain: string
  /** SHA-256 over every key and value of the store, in order. */
  readonly store: string
}

interface Account {
  readonly id: string
  readonly owner: string
  readonly email?: string
  readonly balance: bigint
  readonly tags: string[]
}

const tables = {
  accounts: strong({
    row: unvalidated<Account>(),
    key: 'id',
    indexes: { byOwner: 'owner', byEmail: unique('email') },
  }),
  readings: strong({
    row: unvalidated<{ site: string; at: Date; value: number; raw: Uint8Array }>(),
    key: ['site', 'at'],
  }),
}

/** Clock and randomness that are the same in every run. */
function fixedEnv(): Env {
  let time = 1_700_000_000_000
  let draw = 1
  const random: Random = {
    fork: () => random,
    float: () => 0.5,
    bytes: (count) => Uint8Array.from({ length: count }, () => (draw = (draw * 48_271) % 2_147_483_647) & 255),
  }
  const clock = { wallMs: () => time++, monotonicMs: () => systemEnv.clock.monotonicMs() }
  return { clock, timers: systemEnv.timers, random }
}

/** Runs a workload that meets every kind of entry, op and verdict; returns the log it left. */
export async function recordGoldenLog(): Promise<GoldenLog> {
  const env = fixedEnv()
  const store = openMemoryStore(env)
  const node = new Node({ env, store, openLog: openLocalLog })
  await node.start(16)
  const parts = { node, dir: undefined, onProgress: undefined, release: () => Promise.resolve() }
  const db = await openDatabase(parts, tables)
  await workload(db)
  const frames: string[] = []
  for (let position = 1; position <= node.loop.flushed; position++) {
    const frame = readEntry(store, position)
    if (frame === undefined) throw new Error(`entry ${position} is missing`)
    frames.push(Buffer.from(frame).toString('base64'))
  }
  const golden = { level: node.loop.state.level, frames, ...hashes(node.loop) }
  await db.close()
  return golden
}

/** Applies the frames of a golden log to an empty store; returns the hashes that it led to. */
export async function replayGoldenLog(golden: GoldenLog): Promise<Omit<GoldenLog, 'level' | 'frames'>> {
  const store = openMemoryStore(systemEnv)
  const loop = new ApplyLoop(systemEnv, store)
  const log = openLocalLog(store)
  loop.follow(log)
  for (const frame of golden.frames) {
    await log.append(new Uint8Array(Buffer.from(frame, 'base64')), '')
  }
  await loop.reached(golden.frames.length)
  return hashes(loop)
}

function hashes(loop: ApplyLoop): Omit<GoldenLog, 'level' | 'frames'> {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  return {
    entryChain: hex(loop.state.entryChain),
    decisionChain: hex(loop.state.decisionChain),
    store: hashStore(loop),
  }
}

/** What dropped tables and indexes left behind is removed at each node's own pace: not part of it. */
function hashStore(loop: ApplyLoop): string {
  const tables = new Set<number>([IDEMPOTENCY_TABLE])
  const indexes = new Set<string>()
  for (const definition of loop.state.definitions.values()) {
    tables.add(definition.id)
    for (const index of definition.indexes) {
      indexes.add(`${definition.id}.${index.id}`)
      tables.add(index.hidden)
    }
  }
  const hash = createHash('sha256')
  loop.store.scan({}, (key, value) => {
    const bytes = Buffer.from(key)
    const space = bytes[0]
    // Which node it is says nothing about the log.
    if (bytes.equals(NODE_KEY)) return
    if (space === ROW_SPACE && !tables.has(bytes.readUInt32BE(1))) return
    if (space === STATS_SPACE && !tables.has(bytes.readUInt32BE(2))) return
    const index = space === INDEX_SPACE ? `${bytes.readUInt32BE(1)}.${bytes.readUInt16BE(5)}` : ''
    if (index !== '' && !indexes.has(index)) return
    const lengths = Buffer.alloc(8)
    lengths.writeUInt32LE(key.length, 0)
    lengths.writeUInt32LE(value.length, 4)
    hash.update(lengths).update(key).update(value)
  })
  return hash.digest('hex')
}

async function workload(db: Database<typeof tables>): Promise<void> {
  const { accounts, readings } = db
  for (let i = 0; i < 20; i++) {
    const email = i % 2 === 0 ? { email: `${i}@example.org` } : {}
    await accounts.insert({ id: `a${i}`, owner: `o${i % 3}`, balance: BigInt(i) ** 9n, tags: [], ...email })
    await readings.put({ site: `s${i % 2}`, at: new Date(1e12 + i), value: i / 3, raw: Uint8Array.of(i, 255 - i) })
  }
  await accounts.insert({ id: 'a1', owner: 'x', balance: 0n, tags: [] }).catch(() => undefined)
  await accounts.update('a2', (row) => ({ ...row, email: 'new@example.org' }))
  await accounts.increment('a3', { balance: 5n })
  await accounts.increment('none', { balance: 5n }).catch(() => undefined)
  await accounts.append('a4', { tags: ['x', 'y'] })
  await accounts.delete('a5')
  await db.transact(async (tx) => {
    const rows = await tx.accounts.query({ index: 'byOwner', eq: 'o1' }).toArray()
    for (const row of rows) await tx.accounts.put({ ...row, owner: 'moved' })
    tx.accounts.max('a6', { balance: 10n ** 30n })
  })
  // All of them read the same rows and are sealed together: some lose, and are judged again.
  await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      db.transact(async (tx) => {
        const row = await tx.accounts.get('a7')
        if (row !== undefined) await tx.accounts.put({ ...row, tags: [...row.tags, `t${i}`] })
      }),
    ),
  )
  await accounts.insert({ id: 'once', owner: 'o', balance: 1n, tags: [] }, { idempotencyKey: 'k1' })
  await db.dropIndex('accounts', 'byOwner')
  await db.drop('readings')
  await db.upkeep()
}
