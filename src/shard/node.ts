/**
 * One node: a store, a log, the apply loop and the proposer, put together over an Env (D1). Protocol
 * parts below are pure; this is where they meet.
 */
import type { Bytes } from '../core/bytes.ts'
import { hex } from '../core/bytes.ts'
import { turn, type Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Key } from '../core/key-codec.ts'
import { digest64, DIGEST_BYTES, type Digest64 } from '../core/hash.ts'
import { encodeControl, prefixOf } from '../log/entry-codec.ts'
import type { Log, Position } from '../log/log.ts'
import type { Store } from '../store/store.ts'
import { ApplyLoop } from './apply-loop.ts'
import { HIDDEN_TABLES, shardOfBytes, shardOfKey, type TableDefinition } from './definitions.ts'
import { Janitor, type Retention } from './janitor.ts'
import { encodeRowKey, rowKey, ROW_KEY_AT } from './layout.ts'
import { Proposer } from './proposer.ts'

export interface NodeOptions {
  readonly env: Env
  readonly store: Store
  readonly openLog: (store: Store, floor: Position) => Log
  /** Shards of a new database; ignored for one that is there. Default 16. */
  readonly shards?: number | undefined
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

export class Node {
  readonly env: Env
  readonly store: Store
  readonly log: Log
  readonly loop: ApplyLoop
  readonly proposer: Proposer
  readonly janitor: Janitor
  /** Names this incarnation. */
  readonly incarnation: string
  #closed = false

  constructor(options: NodeOptions) {
    const { env, store } = options
    this.env = env
    this.store = store
    this.incarnation = hex(env.random.bytes(8))
    this.loop = new ApplyLoop(env, store)
    this.log = options.openLog(store, this.loop.state.position)
    this.proposer = new Proposer(env, this.log, this.loop, this.incarnation)
    this.janitor = new Janitor(this, options.retention ?? {})
  }

  /** Founds the log if it is new, and opens this incarnation's session. */
  async start(shards: number): Promise<void> {
    this.loop.follow(this.log)
    if (this.loop.state.shards === 0) {
      const identity = this.env.random.bytes(DIGEST_BYTES)
      const value = { shards, timeMs: this.env.clock.wallMs() }
      const genesis = encodeControl(identity, { kind: 'genesis', value })
      const { position } = await this.log.append(genesis, `genesis-${hex(identity)}`)
      await this.loop.reached(position)
    }
    await this.proposer.open()
    this.janitor.start()
  }

  /** Resolves once `position` is flushed here. */
  reached(position: Position): Promise<void> {
    return this.loop.reached(position)
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
    await this.proposer.close()
    await this.loop.close()
    await this.log.close()
    await this.store.close()
  }
}

const scratch: Digest64 = { hi: 0, lo: 0 }
