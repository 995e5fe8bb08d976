/**
 * One node: a store, a log, the apply loop and the proposer, put together over an Env (D1). Protocol
 * parts below are pure; this is where they meet.
 */
import type { Bus } from '../bus/bus.ts'
import type { Bytes } from '../core/bytes.ts'
import { hex } from '../core/bytes.ts'
import { turn, type Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Key } from '../core/key-codec.ts'
import { LIMITS } from '../core/limits.ts'
import { onAbort } from '../core/on-abort.ts'
import { digest64, type Digest64 } from '../core/hash.ts'
import { prefixOf } from '../log/entry.ts'
import { readEntry } from '../log/entry-store.ts'
import type { Log, Position } from '../log/log.ts'
import { StoreBatch, type Store } from '../store/store.ts'
import { ApplyLoop } from './apply-loop.ts'
import { HIDDEN_TABLES, shardOfBytes, shardOfKey, type TableDefinition } from './definitions.ts'
import { LogWithPeers } from './catch-up/log-with-peers.ts'
import { servePeers, type Keeper } from './catch-up/peers.ts'
import { SnapshotServer } from './catch-up/snapshot-source.ts'
import type { Durability } from './durability.ts'
import { Janitor, type Retention } from './janitor.ts'
import { encodeRowKey, rowKey, ROW_KEY_AT } from './layout.ts'
import { LogTrimmer, type LogTail } from './log-trimmer.ts'
import { NODE_ID_BYTES, putNodeId, readNodeId } from './node-id.ts'
import { Peers, type Moving } from './peers.ts'
import { Proposer, type CallOptions } from './proposer.ts'

export interface NodeOptions {
  readonly env: Env
  readonly store: Store
  readonly openLog: (store: Store, floor: Position) => Log
  /** The way to the other nodes of a cluster; closed with the node. Default: there are none. */
  readonly bus?: Bus | undefined
  /** What people call this node among others. Default: the beginning of its id. */
  readonly name?: string | undefined
  /** What an ack means now, where others keep the log. Default: what the store does. */
  readonly durability?: (() => Durability) | undefined
  /** Shards of a new database; ignored for one that is there. Default 16. */
  readonly shards?: number | undefined
  /** What stays in the log that nodes share. */
  readonly tail?: LogTail | undefined
  /** Raw entries are kept for at least this long, and up to this many bytes (S8). */
  readonly retention?: Retention | undefined
}

/** Where one row lies, and what stands for it in the window. */
export interface RowRef {
  readonly table: number
  readonly version: number
  readonly shard: number
  readonly key: Bytes
  readonly storeKey: Bytes
  readonly prefix: Bytes
  readonly hi: number
  readonly lo: number
}

export const SHARDS_DEFAULT = 16
const INCARNATION_BYTES = 8
/** Of the id, as a name. */
const NAME_CHARS = 8

export class Node {
  readonly env: Env
  readonly store: Store
  readonly log: Log
  readonly bus: Bus | undefined
  readonly loop: ApplyLoop
  readonly proposer: Proposer
  readonly janitor: Janitor
  /** Undefined where there are no other nodes. */
  readonly peers: Peers | undefined
  readonly #durability: () => Durability
  readonly #trimmer: LogTrimmer
  readonly #snapshots: SnapshotServer
  /** Names this node for ever, in hex; kept in its store. */
  readonly id: string
  /** Names this incarnation of it. */
  readonly incarnation: string
  /** When it was made, by the wall clock. */
  readonly startedMs: number
  /** Where it serves HTTP; undefined: nowhere. */
  url: string | undefined
  /** To be stored before anybody hears of it. */
  readonly #mintedId: Bytes | undefined
  #closed = false

  constructor(options: NodeOptions) {
    const { env, store } = options
    this.env = env
    this.store = store
    this.startedMs = env.clock.wallMs()
    const known = readNodeId(store)
    const id = known ?? env.random.bytes(NODE_ID_BYTES)
    this.#mintedId = known === undefined ? id : undefined
    const incarnation = env.random.bytes(INCARNATION_BYTES)
    this.id = hex(id)
    this.incarnation = hex(incarnation)
    this.loop = new ApplyLoop(env, store)
    const own: Durability = store.durability === 'memory' ? 'memory' : 'fsynced'
    this.#durability = options.durability ?? (() => own)
    this.bus = options.bus
    this.log = this.#withPeers(options.openLog(store, this.loop.state.position))
    this.proposer = new Proposer(env, this.log, this.loop, { id, incarnation })
    this.peers = this.bus && this.#peersOver(this.bus, options.name)
    this.janitor = new Janitor(this, options.retention ?? {})
    const { log, loop } = this
    const isInDoubt = (): boolean => this.#isInDoubt()
    const trimmed = { env, log, loop, store, id: this.id, isInDoubt }
    this.#trimmer = new LogTrimmer(trimmed, options.tail ?? {})
    this.#snapshots = new SnapshotServer(env, store, () => !this.#isInDoubt())
  }

  #withPeers(log: Log): Log {
    const { env, bus, loop, incarnation } = this
    return bus === undefined ? log : new LogWithPeers({ env, log, bus, loop, incarnation })
  }

  /** What an ack means now: as it was last read. */
  get durability(): Durability {
    return this.#durability()
  }

  #peersOver(bus: Bus, name = this.id.slice(0, NAME_CHARS)): Peers {
    const { env, log, loop, proposer, id, incarnation } = this
    const told = { id, incarnation, name, startedMs: this.startedMs }
    const now = (): Moving => {
      const { url, durability } = this
      return { stalenessMs: this.stalenessMs(), url, durability }
    }
    return new Peers({ env, bus, log, loop, proposer, told, now })
  }

  /** Founds the log if it is new, and opens this incarnation's session. */
  async start(shards: number): Promise<void> {
    if (this.#mintedId !== undefined) {
      const batch = new StoreBatch()
      putNodeId(batch, this.#mintedId)
      await this.loop.maintain(batch)
      await this.store.flush()
    }
    this.peers?.start()
    if (this.bus !== undefined) {
      servePeers(this.bus, this.incarnation, this.#keeper())
      this.#snapshots.serve(this.bus, this.incarnation)
    }
    this.loop.follow(this.log)
    // Others may have founded it, or gone on under it: a shared log is read before anything is offered.
    if (this.shared) await this.loop.reached(this.log.last())
    if (this.loop.state.shards === 0) await this.proposer.found(shards)
    await this.proposer.open()
    this.janitor.start()
    this.#trimmer.start()
  }

  /** Whether this node may have another history than the others (S7). */
  #isInDoubt(): boolean {
    const { halted } = this.loop
    if (halted?.code === 'HistoryDiverged' || halted?.code === 'EntryCorrupt') return true
    return halted === undefined && this.peers?.withholds === true
  }

  /** What other nodes can have from here. */
  #keeper(): Keeper {
    const { loop, store, incarnation } = this
    return {
      offer: () => {
        if (this.#isInDoubt()) return undefined
        const { oldest, flushed, state } = loop
        const past = state.past.map(({ identity, end }) => ({ identity: hex(identity), end }))
        return { incarnation, identity: hex(state.identity), oldest, flushed, past }
      },
      frameAt: (position) => readEntry(store, position),
      chainAt: (position) => loop.state.recent.at(position)?.entryChain,
    }
  }

  /** As `reached`, for a position that may never come. Throws `DeadlineExceeded`, `Cancelled`. */
  async reachedWithin(position: Position, options: CallOptions): Promise<void> {
    if (this.loop.flushed >= position) return
    const { deadlineMs = LIMITS.deadlineMs, signal } = options
    let end: () => void = () => undefined
    const ended = new Promise<never>((_, reject) => {
      const late = new HoldfastError(
        'DeadlineExceeded',
        'the deadline passed before it was reached',
      )
      const cancel = this.env.timers.after(deadlineMs, () => reject(late))
      const abort = (): void => {
        const cause: unknown = signal?.reason
        reject(new HoldfastError('Cancelled', 'the call was aborted', { cause }))
      }
      const leave = signal && onAbort(signal, abort)
      end = () => {
        cancel()
        leave?.()
      }
    })
    try {
      await Promise.race([this.loop.reached(position), ended])
    } finally {
      end()
    }
  }

  /** Whether others write the same log: what is known here may be behind what they were told. */
  get shared(): boolean {
    return this.log.durability === 'self'
  }

  /** Resolves once `position` is flushed here. */
  reached(position: Position): Promise<void> {
    return this.loop.reached(position)
  }

  /**
   * A position reached here that no write acked before this call is above: what is read from now on is
   * linearizable (S6). On a log of this node alone, that is what can be read already.
   */
  barrier(options?: CallOptions): Promise<Position> {
    if (!this.shared) return Promise.resolve(this.loop.visible())
    return this.proposer.barrier(options)
  }

  /** How old what is read here may be at the most: the time since the last barrier that was reached began. */
  stalenessMs(): number {
    return this.shared ? this.env.clock.monotonicMs() - this.proposer.freshMs : 0
  }

  /** Lets other due work have a turn. */
  pause(): Promise<void> {
    return turn(this.env)
  }

  get shards(): number {
    return this.loop.state.shards
  }

  /** Throws `Closed` after close. Reads go on after a halt: what was flushed is sound. */
  assertOpen(): void {
    if (this.#closed) throw new HoldfastError('Closed', 'the database is closed')
  }

  ref(definition: TableDefinition, key: Bytes): RowRef {
    return this.#refOf(definition, rowKey(definition.id, key))
  }

  refOfKey(definition: TableDefinition, key: Key): RowRef {
    if (definition.key.length > 1) checkParts(definition, key)
    return this.#refOf(definition, encodeRowKey(definition.id, key))
  }

  #refOf(definition: TableDefinition, storeKey: Bytes): RowRef {
    const table = definition.id
    const { shards } = this.loop.state
    const key = storeKey.subarray(ROW_KEY_AT)
    const shard =
      table >= HIDDEN_TABLES
        ? shardOfBytes(key, 0, key.length, shards)
        : shardOfKey(definition, key, shards)
    digest64(key, 0, key.length, table, scratch)
    const { hi, lo } = scratch
    return {
      table,
      version: definition.version,
      shard,
      key,
      storeKey,
      prefix: prefixOf(key),
      hi,
      lo,
    }
  }

  /** Settles what is on its way, then lets go of everything. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.janitor.stop()
    this.#trimmer.stop()
    this.#snapshots.stop()
    await this.proposer.close()
    this.peers?.stop()
    await this.loop.close()
    await this.log.close()
    await this.bus?.close()
    await this.store.close()
  }
}

const scratch: Digest64 = { hi: 0, lo: 0 }

/** A key of another shape has no shard. */
function checkParts({ name, key: fields }: TableDefinition, key: Key): void {
  if (Array.isArray(key) && key.length === fields.length) return
  throw new HoldfastError(
    'InvalidKey',
    `a key of ${name} is a list of ${fields.length} parts: ${fields.join(', ')}`,
    { details: { table: name, fields } },
  )
}
