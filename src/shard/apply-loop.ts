/**
 * The apply loop: the store's only writer (S14). It takes entries in order, has them decided, turns
 * the committed ops into one store batch together with the entry, the decisions, the statistics and
 * the new state, and tells its listeners once that batch is flushed.
 *
 *   log ── entry ──▶ decide ──▶ stage (overlay) ──▶ store.write ──▶ flushed ──▶ listeners
 *
 * Stateful ops and index maintenance read the overlay of writes that are not flushed yet, then the
 * store. Everybody else reads the store alone: only flushed state is returned (S6).
 *
 * Invariant: flushed <= applied = state.position.
 */
import { assert } from '../core/assert.ts'
import { copied, type Bytes } from '../core/bytes.ts'
import { turn, type Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Batch } from '../log/entry.ts'
import { putEntry } from '../log/entry-store.ts'
import type { Log, LogFollower, Position, Unfollow } from '../log/log.ts'
import { StoreBatch, type Store, type StoreReader } from '../store/store.ts'
import { applyOps, type ApplyTarget, type OverlayRow } from './apply-ops.ts'
import { readBeginning } from './beginning.ts'
import { ChangeDraft, type OpResult } from './change-record.ts'
import { changeKey, metaKey } from './layout.ts'
import {
  decodeState,
  emptyState,
  encodeDefinitions,
  encodeState,
  recordPosition,
  type LogState,
} from './log-state.ts'
import type { Verdict } from './resolver.ts'
import { restoreWindow } from './restore-window.ts'
import { ShardStats } from './shard-stats.ts'
import { decide, type Decision } from './state-machine.ts'
import type { Window } from './window.ts'

/** An entry whose effects are flushed. */
export interface Applied {
  readonly position: Position
  readonly decision: Decision
  /** Of stateful ops, by ordinal in the entry. */
  readonly results: ReadonlyMap<number, OpResult>
}

export interface ApplyListener {
  /** Called in order of position. */
  applied(applied: Applied): void
  /** The node stopped: nothing is applied any more. */
  halted(cause: HoldfastError): void
}

export const STATE_KEY: Bytes = metaKey('state')
export const DEFINITIONS_KEY: Bytes = metaKey('definitions')

/** Entries decided and not flushed. */
const UNFLUSHED_MAX = 256

/** The verdicts on the transactions of the entry at a position, as they fell when it was decided. */
export type RecordedVerdicts = (position: Position) => readonly Verdict[]

interface Queued {
  readonly position: Position
  readonly frame: Bytes
}

export class ApplyLoop implements ApplyTarget {
  readonly store: Store
  readonly state: LogState
  readonly window: Window
  readonly stats: ShardStats
  /** Rows written by batches that are not flushed: null is a removed one. */
  readonly overlay: Map<string, OverlayRow> = new Map()
  readonly #env: Env
  readonly #listeners = new Set<ApplyListener>()
  readonly #waiting: {
    position: Position
    resolve: () => void
    reject: (cause: unknown) => void
  }[] = []
  #queue: Queued[] = []
  #draining = false
  #flushed: Position
  readonly #begins: Position
  #halted: HoldfastError | undefined
  #unfollow: Unfollow = () => undefined
  readonly #recorded: RecordedVerdicts | undefined
  #lastWrite: Promise<void> = Promise.resolve()

  /**
   * `recorded`: the verdicts of a history that is applied once more, from a backup. Throws
   * `StoreCorrupt` or `NewerFormat` when the store's own records cannot be read.
   */
  constructor(env: Env, store: Store, recorded?: RecordedVerdicts) {
    this.#env = env
    this.#recorded = recorded
    this.store = store
    this.state = loadState(store)
    this.stats = ShardStats.load(store)
    this.#flushed = this.state.position
    this.#begins = readBeginning(store)
    this.window = restoreWindow(store, this.state)
  }

  /** The last position whose effects are flushed: what reads see is at least this new. */
  get flushed(): Position {
    return this.#flushed
  }

  /**
   * The position of the state that reads in this step see: a store may show a batch that is durable
   * before it reports it. What a transaction read is dated by this, never by `flushed`: a state that
   * is newer than its date could not be told from the one before it (S4).
   */
  visible(): Position {
    if (this.#flushed === this.state.position) return this.#flushed
    const record = this.store.get(STATE_KEY)
    return record === undefined ? 0 : recordPosition(record)
  }

  /**
   * The oldest position whose raw entry and record are kept here: as the log-wide trim says, or later,
   * in a store that began with a snapshot.
   */
  get oldest(): Position {
    return Math.max(this.state.trimmed, this.#begins)
  }

  get halted(): HoldfastError | undefined {
    return this.#halted
  }

  follow(log: Log): void {
    const follower: LogFollower = {
      entry: (position, frame) => this.#enqueue({ position, frame }),
      failed: (cause) => this.halt(cause),
    }
    this.#unfollow = log.follow(this.state.position + 1, follower)
  }

  listen(listener: ApplyListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Resolves once `position` is flushed. Rejects when the node halts first. */
  reached(position: Position): Promise<void> {
    if (this.#flushed >= position) return Promise.resolve()
    if (this.#halted !== undefined) return Promise.reject(this.#halted)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ position, resolve, reject })
    })
  }

  /**
   * Writes a batch of upkeep (trimming, cleaning up what was dropped) between entries. It must not
   * touch rows of live tables.
   */
  maintain(batch: StoreBatch): Promise<void> {
    if (this.#halted !== undefined) return Promise.reject(this.#halted)
    return this.#write(batch)
  }

  /** Stops the node by name; what was flushed stays readable. */
  halt(cause: unknown): void {
    if (this.#halted !== undefined) return
    const halted =
      cause instanceof HoldfastError
        ? cause
        : new HoldfastError('Bug', `applying failed: ${String(cause)}`, { cause })
    this.#halted = halted
    this.#unfollow()
    this.#queue = []
    this.#takeBack()
    for (const waiter of this.#waiting.splice(0)) waiter.reject(halted)
    for (const listener of this.#listeners) listener.halted(halted)
  }

  /** What was decided and never flushed is gone: reads go on with the definitions that are stored. */
  #takeBack(): void {
    try {
      const { definitions, definitionsVersion } = loadState(this.store)
      this.state.definitions.clear()
      for (const [id, definition] of definitions) this.state.definitions.set(id, definition)
      this.state.definitionsVersion = definitionsVersion
    } catch {
      // A store that cannot be read says so to whoever reads it.
    }
  }

  /** Ends following, and waits for what was staged. Whoever still waits for a position is told. */
  async close(): Promise<void> {
    this.#unfollow()
    this.#queue = []
    await this.#lastWrite.catch(() => undefined)
    const closed = new HoldfastError('Closed', 'the database was closed')
    this.#halted ??= closed
    for (const waiter of this.#waiting.splice(0)) waiter.reject(closed)
  }

  #enqueue(queued: Queued): void {
    if (this.#halted !== undefined) return
    this.#queue.push(queued)
    if (!this.#draining) void this.#drain()
  }

  async #drain(): Promise<void> {
    this.#draining = true
    let sliceFrom = this.#env.clock.monotonicMs()
    for (let queued = this.#queue.shift(); queued !== undefined; queued = this.#queue.shift()) {
      try {
        this.#apply(queued)
      } catch (cause) {
        this.halt(cause)
        break
      }
      if (this.#queue.length === 0) break
      // A long log that is read at once must not pile up before the disk.
      if (this.state.position - this.#flushed >= UNFLUSHED_MAX) await this.#roomAtTheDisk()
      if (this.#env.clock.monotonicMs() - sliceFrom > LIMITS.applySliceMs) {
        await turn(this.#env)
        sliceFrom = this.#env.clock.monotonicMs()
      }
    }
    this.#draining = false
  }

  /** Resolves once the newest batch so far is flushed, or the loop has ended. */
  #roomAtTheDisk(): Promise<void> {
    return this.reached(this.state.position).catch(() => undefined)
  }

  #apply({ position, frame }: Queued): void {
    const { state, window } = this
    const definitionsVersion = state.definitionsVersion
    const decision = decide(state, window, position, frame, this.#recorded?.(position))
    const batch = new StoreBatch()
    putEntry(batch, position, frame)
    let results: ReadonlyMap<number, OpResult> = NO_RESULTS
    const touched: string[] = []
    if (decision.kind === 'batch' && decision.verdicts.includes('committed')) {
      const draft = applyOps(this, position, decision, batch, touched)
      results = draft.results
      batch.put(changeKey(position), draft.encode(position, decision.verdicts))
    } else if (decision.kind === 'batch' && !isEmpty(decision.batch)) {
      const { verdicts, admission } = decision
      const record = new ChangeDraft(0).encode(position, verdicts, admission === 'apply')
      batch.put(changeKey(position), record)
    }
    this.stats.save(batch)
    if (state.definitionsVersion !== definitionsVersion || decision.kind === 'genesis') {
      batch.put(DEFINITIONS_KEY, encodeDefinitions(state))
    }
    batch.put(STATE_KEY, encodeState(state))
    const applied: Applied = { position, decision, results }
    this.#write(batch).then(
      () => this.#settle(applied, touched),
      (cause: unknown) => this.halt(cause),
    )
  }

  #write(batch: StoreBatch): Promise<void> {
    this.#lastWrite = this.store.write(batch)
    return this.#lastWrite
  }

  #settle(applied: Applied, touched: readonly string[]): void {
    const { position } = applied
    assert(position === this.#flushed + 1, 'batches are flushed in order')
    this.#flushed = position
    for (const key of touched) {
      if (this.overlay.get(key)?.position === position) this.overlay.delete(key)
    }
    for (const listener of this.#listeners) listener.applied(applied)
    let kept = 0
    for (const waiter of this.#waiting) {
      if (waiter.position <= position) waiter.resolve()
      else this.#waiting[kept++] = waiter
    }
    this.#waiting.length = kept
  }
}

function isEmpty({ transactions, commands }: Batch): boolean {
  return transactions.length + commands.length === 0
}

const NO_RESULTS: ReadonlyMap<number, OpResult> = new Map()

/** The position that a store, or a snapshot of one, stands at. */
export function statePosition(reader: StoreReader): Position {
  return storedState(reader)?.position ?? 0
}

/** The state in a store without its definitions; undefined where no entry was applied. */
export function storedState(reader: StoreReader): LogState | undefined {
  const record = copied(reader.get(STATE_KEY))
  return record === undefined ? undefined : decodeState(record, undefined)
}

function loadState(store: Store): LogState {
  const record = copied(store.get(STATE_KEY))
  if (record === undefined) return emptyState()
  const definitions = copied(store.get(DEFINITIONS_KEY))
  if (definitions === undefined) {
    throw new HoldfastError('StoreCorrupt', 'the definitions of this database are missing')
  }
  return decodeState(record, definitions)
}
