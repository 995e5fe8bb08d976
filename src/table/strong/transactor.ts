/**
 * Runs transactions until they win: attempts, latches after a loss, a held state for those that only
 * read, outcomes that are kept.
 */
import type { Value } from '../../core/value-codec.ts'
import { encodeValue } from '../../core/value-codec.ts'
import type { Position } from '../../log/log.ts'
import { statePosition } from '../../shard/apply-loop.ts'
import type { Node } from '../../shard/node.ts'
import type { CallOptions, WriteOptions } from '../handles.ts'
import { Draft, type Moment } from './draft.ts'
import { Idempotent } from './idempotency.ts'
import { Latches } from './latches.ts'
import { LOST, untilWon, type Trying } from './retry.ts'
import type { Held, Snapshots } from './snapshots.ts'
import { StrongTransaction } from './transaction.ts'

export interface Transacted<T> {
  readonly position: Position
  readonly value: T
}

export class Transactor {
  readonly #node: Node
  readonly #snapshots: Snapshots
  readonly #latches: Latches

  constructor(node: Node, snapshots: Snapshots) {
    this.#node = node
    this.#snapshots = snapshots
    this.#latches = new Latches(node.env)
  }

  /**
   * Calls `run` with a transaction until what it read still held when its writes took their place.
   * Settles, with a result or with what `run` threw, only over reads that were of one moment (S4).
   */
  transact<T>(
    options: CallOptions,
    run: (transaction: StrongTransaction) => Promise<T> | T,
    idempotent?: Idempotent,
  ): Promise<Transacted<T>> {
    let names: readonly string[] = []
    let onlyRead = false
    return untilWon(this.#node, 'a transaction', options, async (trying) => {
      const release = names.length === 0 ? undefined : await this.#latches.take(names)
      // One that only reads cannot lose on a held state: whoever writes meanwhile comes after it.
      const held = onlyRead ? this.#snapshots.tryHold() : undefined
      try {
        const draft = new Draft(this.#node, held && this.#moment(held))
        const call = { ...options, deadlineMs: trying.remainingMs }
        const transaction = new StrongTransaction(draft)
        const outcome = await this.#attempt(transaction, call, trying, run, idempotent)
        if (outcome === LOST) {
          onlyRead = draft.empty
          names = onlyRead ? [] : draft.rowNames()
        }
        return outcome
      } finally {
        if (held !== undefined) this.#snapshots.release(held)
        release?.()
      }
    })
  }

  /** A snapshot, with the position that it says it stands at: it may be newer than what was reported. */
  #moment(held: Held): Moment {
    const position = statePosition(held.reader)
    return { reader: () => this.#snapshots.use(held), position }
  }

  /** A transaction with an idempotency key. */
  once<T>(
    request: Value,
    options: WriteOptions,
    run: (transaction: StrongTransaction) => Promise<T> | T,
  ): Promise<Transacted<T>> {
    const key = options.idempotencyKey
    if (key === undefined) return this.transact(options, run)
    return this.transact(options, run, new Idempotent(this.#node, key, request))
  }

  async #attempt<T>(
    transaction: StrongTransaction,
    options: CallOptions,
    trying: Trying,
    run: (transaction: StrongTransaction) => Promise<T> | T,
    idempotent: Idempotent | undefined,
  ): Promise<Transacted<T> | typeof LOST> {
    const { draft } = transaction
    this.#node.assertOpen()
    let value: T
    try {
      const earlier = idempotent?.outcome(draft)
      if (earlier !== undefined) return { position: earlier.position, value: earlier.result as T }
      value = await run(transaction)
      transaction.assertFinished()
    } catch (cause) {
      transaction.close()
      // What it threw stands only if it saw a state that was.
      if (await this.#holds(draft, options, trying)) throw cause
      return LOST
    } finally {
      transaction.close()
    }
    if (draft.empty && idempotent === undefined) {
      const holds = await this.#holds(draft, options, trying)
      return holds ? { position: this.#node.loop.flushed, value } : LOST
    }
    if (!draft.isCurrent()) return LOST
    idempotent?.record(draft, storable(value))
    const fate = await this.#node.proposer.propose(draft.transaction(), options)
    return fate.verdict === 'committed' ? { position: fate.position, value } : LOST
  }

  /**
   * Whether what was read was so at one moment, not before the call began: a transaction that writes
   * nothing is judged here, by what was decided up to a barrier (S4).
   */
  async #holds(draft: Draft, options: CallOptions, trying: Trying): Promise<boolean> {
    if (!trying.fresh) {
      draft.asOf(await this.#node.barrier(options))
      trying.fresh = true
    }
    return draft.isConsistent()
  }
}

/** An undefined result is kept as none. Throws `InvalidValue` for one that cannot be stored. */
function storable(value: unknown): Value | undefined {
  if (value === undefined) return undefined
  encodeValue(value as Value)
  return value as Value
}
