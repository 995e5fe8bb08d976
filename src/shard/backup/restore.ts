/**
 * Restores into an empty store: the base key by key, then entries through the apply loop that every
 * node has, up to the target and not beyond. At the end of each backup on the way the state must be
 * what its manifest says. Then the history is founded anew: what was handed out by the old one
 * (tokens, cursors, sessions) means nothing here.
 */
import { hex, type Bytes } from '../../core/bytes.ts'
import type { Env } from '../../core/env.ts'
import { isHoldfastError } from '../../core/errors.ts'
import { DIGEST_BYTES } from '../../core/hash.ts'
import { decodeEntry } from '../../log/entry-codec.ts'
import { ENTRY_SPACE } from '../../log/entry-store.ts'
import type { Position } from '../../log/log.ts'
import { StoreBatch, type Store } from '../../store/store.ts'
import { ApplyLoop, STATE_KEY } from '../apply-loop.ts'
import { CHANGE_SPACE } from '../layout.ts'
import { encodeState, type LogState } from '../log-state.ts'
import { newLineage } from '../lineage.ts'
import { NODE_ID_BYTES, putNodeId } from '../node-id.ts'
import type { Chain } from './catalog.ts'
import { backupBytes, backupCorrupt, type Manifest } from './manifest.ts'
import { readPart, type PartRecord, type ReadPart } from './part-codec.ts'
import { Pace, type StageOptions } from './progress.ts'
import { ReplayLog } from './replay-log.ts'
import { digestsDiffer, readState, tableDigests } from './table-digests.ts'
import { markOf } from './take.ts'

export interface FillOptions extends StageOptions {
  readonly env: Env
  /** Empty; nobody else writes it. */
  readonly store: Store
  readonly chain: Chain
  readonly read: ReadPart
}

/**
 * Fills the store with the state that the chain leads to, as it was: under the identity that it had.
 * Returns the position that it stands at. Throws `BackupCorrupt`, and the store is good for nothing.
 */
export async function fillStore(options: FillOptions): Promise<Position> {
  const { chain, env } = options
  const all = [chain.base, ...chain.increments]
  const total = all.reduce((sum, manifest) => sum + backupBytes(manifest), 0)
  const filling = new Filling(options, new Pace(env, options), total)
  await filling.base(chain.base)
  if (chain.increments.length > 0) await filling.replay(chain.increments)
  return filling.end()
}

class Filling {
  readonly #options: FillOptions
  readonly #pace: Pace
  readonly #total: number
  #done = 0

  constructor(options: FillOptions, pace: Pace, total: number) {
    this.#options = options
    this.#pace = pace
    this.#total = total
  }

  async base(manifest: Manifest): Promise<void> {
    const { store } = this.#options
    let written: Promise<void> = Promise.resolve()
    for await (const records of this.#partsOf(manifest, 'rows')) {
      const batch = new StoreBatch()
      for (const { first, second } of records) batch.put(first, second)
      // One part is written while the next is read.
      await written
      written = store.write(batch)
      written.catch(() => undefined)
    }
    await written
    this.#compare(manifest, this.#stateOf(manifest))
  }

  async replay(increments: readonly Manifest[]): Promise<void> {
    const { env, store } = this.#options
    const first = increments[0] as Manifest
    const log = new ReplayLog(first.from?.position ?? 0)
    const loop = new ApplyLoop(env, new WithoutLog(store), (position) => log.verdictsAt(position))
    loop.follow(log)
    try {
      for (const manifest of increments) {
        const whole = await this.#replayOne(manifest, log, loop)
        if (!whole) return
        this.#compare(manifest, loop.state)
      }
    } finally {
      await loop.close()
    }
  }

  /** Returns whether the target lies behind all of it. */
  async #replayOne(manifest: Manifest, log: ReplayLog, loop: ApplyLoop): Promise<boolean> {
    const { position, timeMs } = this.#options.chain
    const mayEnd = manifest.to.timeMs > timeMs
    for await (const records of this.#partsOf(manifest, 'log')) {
      for (const { first: frame, second: verdicts } of records) {
        const beyond =
          log.last() >= position || (mayEnd && timeOf(frame, manifest.identity) > timeMs)
        if (beyond) {
          await this.#reached(manifest, loop, log.last())
          return false
        }
        log.deliver(frame, verdicts)
      }
      // A part at a time, so that what waits for the disk stays small.
      await this.#reached(manifest, loop, log.last())
    }
    return true
  }

  async #reached({ id }: Manifest, loop: ApplyLoop, position: Position): Promise<void> {
    try {
      await loop.reached(position)
    } catch (cause) {
      if (!isHoldfastError(cause, 'EntryCorrupt')) throw cause
      throw backupCorrupt(id, `its entries cannot be applied: ${cause.message}`, cause)
    }
  }

  async *#partsOf(
    manifest: Manifest,
    kind: 'rows' | 'log',
  ): AsyncGenerator<readonly PartRecord[], void> {
    for (const info of manifest.parts) {
      if (info.kind !== kind) throw backupCorrupt(manifest.id, `lists ${info.name} as ${info.kind}`)
      const records = await readPart(info, this.#options.read)
      this.#done += info.bytes
      await this.#pace.step('parts', this.#done, this.#total)
      yield records
    }
  }

  #stateOf({ id }: Manifest): LogState {
    try {
      return readState(this.#options.store)
    } catch (cause) {
      if (!isHoldfastError(cause, 'StoreCorrupt')) throw cause
      throw backupCorrupt(id, 'it lacks the state that rows are of', cause)
    }
  }

  /** Throws `BackupCorrupt` unless the state is what the manifest says. */
  #compare(manifest: Manifest, state: LogState): void {
    const { id, to } = manifest
    const mark = markOf(state)
    const alike =
      hex(state.identity) === manifest.identity &&
      mark.position === to.position &&
      mark.entryChain === to.entryChain &&
      mark.decisionChain === to.decisionChain &&
      mark.timeMs === to.timeMs &&
      state.shards === manifest.shards
    if (!alike) {
      throw backupCorrupt(
        id,
        `leads to position ${mark.position} of another history than its manifest says`,
      )
    }
    const differ = digestsDiffer(tableDigests(this.#options.store, state), manifest.tables)
    if (differ !== undefined) throw backupCorrupt(id, differ)
  }

  end(): Position {
    this.#pace.end('parts', this.#total)
    return readState(this.#options.store).position
  }
}

/** The clock that an entry tells, if it tells one. */
function timeOf(frame: Bytes, identity: string): number {
  const entry = decodeEntry(frame, Buffer.from(identity, 'hex'))
  if (entry?.kind === 'batch') return entry.timeMs
  if (entry?.kind !== 'open' && entry?.kind !== 'genesis') return Number.NEGATIVE_INFINITY
  return (entry.value as { readonly timeMs: number }).timeMs
}

/** A store that keeps no log: a restored history begins where the backup ends. */
class WithoutLog implements Store {
  readonly durability: Store['durability']
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
    this.durability = store.durability
  }

  get: Store['get'] = (key) => this.#store.get(key)
  scan: Store['scan'] = (range, visit) => this.#store.scan(range, visit)
  snapshot: Store['snapshot'] = () => this.#store.snapshot()
  stats: Store['stats'] = () => this.#store.stats()
  flush: Store['flush'] = () => this.#store.flush()
  close: Store['close'] = () => this.#store.close()

  write(batch: StoreBatch): Promise<void> {
    const kept = new StoreBatch()
    for (const [i, key] of batch.keys.entries()) {
      if (key[0] === ENTRY_SPACE || key[0] === CHANGE_SPACE) continue
      const value = batch.values[i]
      if (value === undefined) kept.remove(key)
      else kept.put(key, value)
    }
    return this.#store.write(kept)
  }
}

export interface Founded {
  readonly identity: string
  readonly position: Position
}

/**
 * Founds the history anew, in one batch: another identity (S15), no sessions, no entries before the
 * next one, and another node. Positions go on, since rows say at which they were written.
 */
export async function foundAnew(env: Env, store: Store): Promise<Founded> {
  const state = readState(store)
  Object.assign(state, newLineage())
  state.identity = env.random.bytes(DIGEST_BYTES)
  state.sessions.clear()
  state.windowFloor = state.position
  state.trimmed = state.position + 1
  // Who opens it next is the only one who writes it.
  state.alone = true
  const batch = new StoreBatch()
  batch.put(STATE_KEY, encodeState(state))
  putNodeId(batch, env.random.bytes(NODE_ID_BYTES))
  await store.write(batch)
  return { identity: hex(state.identity), position: state.position }
}
