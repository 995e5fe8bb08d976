/** Runs transactions until they win: attempts, latches after a loss, outcomes that are kept. */
import type { Value } from '../../core/value-codec.ts'
import { encodeValue } from '../../core/value-codec.ts'
import type { Position } from '../../log/log.ts'
import type { Node } from '../../shard/node.ts'
import type { CallOptions, WriteOptions } from '../handles.ts'
import { Draft } from './draft.ts'
import { Idempotent } from './idempotency.ts'
import { Latches } from './latches.ts'
import { LOST, untilWon } from './retry.ts'
import { StrongTransaction } from './transaction.ts'

export interface Transacted<T> {
  readonly position: Position
  readonly value: T
}

export class Transactor {
  readonly #node: Node
  readonly #latches: Latches

  constructor(node: Node) {
    this.#node = node
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
    return untilWon(this.#node.env, 'a transaction', options, async (deadlineMs) => {
      const release = names.length === 0 ? undefined : await this.#latches.take(names)
      try {
        const transaction = new StrongTransaction(new Draft(this.#node))
        const outcome = await this.#attempt(
          transaction,
          { ...options, deadlineMs },
          run,
          idempotent,
        )
        if (outcome === LOST) names = transaction.names()
        return outcome
      } finally {
        release?.()
      }
    })
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
    } catch (cause) {
      // What it threw stands only if it saw a state that was.
      if (draft.isConsistent()) throw cause
      return LOST
    } finally {
      transaction.close()
    }
    if (draft.empty && idempotent === undefined) {
      return draft.isConsistent() ? { position: this.#node.loop.flushed, value } : LOST
    }
    if (!draft.isCurrent()) return LOST
    idempotent?.record(draft, storable(value))
    const fate = await this.#node.proposer.propose(draft.transaction(), options)
    return fate.verdict === 'committed' ? { position: fate.position, value } : LOST
  }
}

/** An undefined result is kept as none. Throws `InvalidValue` for one that cannot be stored. */
function storable(value: unknown): Value | undefined {
  if (value === undefined) return undefined
  encodeValue(value as Value)
  return value as Value
}
