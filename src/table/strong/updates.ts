/**
 * Updates of one row by a function. Those that wait for the same row on this node are chained: all
 * run, one after another, on the row as it is, and go as one op with one read set (S5). A throw in
 * one of them is that caller's own, told once the rest of the chain is settled.
 *
 *   running chain for k ──▶ log           meanwhile: update(k) update(k) update(k)   wait
 *   settled ──▶ next chain: read k, run all three, one op ──▶ log
 */
import type { Env } from '../../core/env.ts'
import { binaryString, equalBytes, type Bytes } from '../../core/bytes.ts'
import { HoldfastError, isHoldfastError } from '../../core/errors.ts'
import { encodeKey, type Key } from '../../core/key-codec.ts'
import { LIMITS } from '../../core/limits.ts'
import { decodeValue } from '../../core/value-codec.ts'
import type { Position } from '../../log/log.ts'
import { keyOfRow, type TableDefinition } from '../../shard/definitions.ts'
import type { RowRef } from '../../shard/node.ts'
import type { Row } from '../../shard/row-codec.ts'
import type { CallOptions, Written } from '../handles.ts'
import { Draft, hasUnique, putOp, rowBefore, setUnique } from './draft.ts'
import { notFound } from './refusals.ts'
import { LOST, untilWon } from './retry.ts'
import type { TableCore } from './table-core.ts'

type Change = (row: Row) => unknown

interface Caller {
  readonly change: Change
  readonly resolve: (written: Written<Row>) => void
  readonly reject: (cause: unknown) => void
  readonly options: CallOptions
  /** When its deadline passes, by the monotonic clock. */
  readonly untilMs: number
}

/** Callers of one chain: more would make one step of the event loop long. */
const CHAIN_MAX = 1024

export class Updates {
  readonly #core: TableCore
  readonly #env: Env
  readonly #waiting = new Map<string, Caller[]>()

  constructor(core: TableCore) {
    this.#core = core
    this.#env = core.node.env
  }

  update(key: Key, change: Change, options: CallOptions): Promise<Written<Row>> {
    const name = binaryString(encodeKey(key))
    return new Promise((resolve, reject) => {
      const untilMs = this.#env.clock.monotonicMs() + (options.deadlineMs ?? LIMITS.deadlineMs)
      const caller: Caller = { change, resolve, reject, options, untilMs }
      const queue = this.#waiting.get(name)
      if (queue !== undefined) {
        queue.push(caller)
        return
      }
      const fresh = [caller]
      this.#waiting.set(name, fresh)
      void this.#run(name, key, fresh)
    })
  }

  async #run(name: string, key: Key, queue: Caller[]): Promise<void> {
    while (queue.length > 0) {
      const chain = queue.splice(0, CHAIN_MAX).filter((caller) => this.#isWaiting(caller))
      if (chain.length > 0) await this.#settle(key, chain)
    }
    this.#waiting.delete(name)
  }

  /** Whether a caller still waits: told otherwise, it was not applied. */
  #isWaiting(caller: Caller): boolean {
    if (isCancelled(caller)) return false
    if (caller.untilMs > this.#env.clock.monotonicMs()) return true
    caller.reject(
      new HoldfastError('DeadlineExceeded', 'the deadline passed before the update was tried'),
    )
    return false
  }

  async #settle(key: Key, chain: readonly Caller[]): Promise<void> {
    try {
      // Each caller has a deadline of its own; the chain goes on for the one that waits longest.
      const untilMs = Math.max(...chain.map((caller) => caller.untilMs))
      const deadlineMs = untilMs - this.#env.clock.monotonicMs()
      const what = `an update of ${this.#core.name}`
      const settle = await untilWon(this.#env, what, { deadlineMs }, (remainingMs) =>
        this.#attempt(key, chain, remainingMs),
      )
      settle()
    } catch (cause) {
      // The row that all of them make together may be refused because of one: then each for itself.
      const refused =
        isHoldfastError(cause) && (cause.kind === 'conflict' || cause.kind === 'rejected')
      if (chain.length === 1 || !refused || cause.code === 'Conflict') {
        for (const caller of chain) caller.reject(cause)
        return
      }
      for (const caller of chain) await this.#settle(key, [caller])
    }
  }

  /** Runs the chain once. Returns what to tell the callers when it won. */
  async #attempt(
    key: Key,
    chain: readonly Caller[],
    deadlineMs: number,
  ): Promise<(() => void) | typeof LOST> {
    const core = this.#core
    const definition = core.definition
    const ref = core.node.refOfKey(definition, key)
    const draft = new Draft(core.node)
    const stored = draft.read(ref)
    if (stored === undefined) throw notFound(core.name, key)
    const before = core.decode(definition, ref.storeKey, stored)
    const seen = core.node.loop.flushed
    const first = core.encode(before)
    let value = first
    const settlers: ((position: Position) => void)[] = []
    for (const caller of chain) {
      try {
        value = this.#step(draft, definition, ref, value, caller.change)
        const kept = value
        settlers.push((position) => caller.resolve(core.written(position, kept)))
      } catch (cause) {
        settlers.push(() => caller.reject(cause))
      }
    }
    const settleAll = (position: Position): void => {
      for (const settle of settlers) settle(position)
    }
    // Nothing changed, or all threw: what they saw was flushed state, and they are told so.
    if (value === first) return () => settleAll(seen)
    draft.set(putOp(definition, ref, decodeValue(value) as Row, value), ref.storeKey)
    const fate = await core.node.proposer.propose(draft.transaction(), { deadlineMs })
    return fate.verdict === 'committed' ? () => settleAll(fate.position) : LOST
  }

  /**
   * The row that `change` makes of `before`, encoded. What is wrong with it is thrown here, and is
   * its own caller's: a unique value too, though the next of the chain may change it again.
   */
  #step(
    draft: Draft,
    definition: TableDefinition,
    ref: RowRef,
    before: Bytes,
    change: Change,
  ): Bytes {
    const changed = change(decodeValue(before) as Row)
    if (changed === undefined) return before
    const next = replacement(this.#core, definition, ref, changed)
    const value = this.#core.encode(next)
    const made = putOp(definition, ref, next, value)
    if (hasUnique(definition)) {
      setUnique(draft, definition, ref.key, rowBefore(draft, ref), next)
      draft.set(made, ref.storeKey)
    }
    return value
  }
}

/** What an update returned, as a row with the key it had. Throws what is wrong with it. */
export function replacement(
  core: TableCore,
  definition: TableDefinition,
  ref: RowRef,
  changed: unknown,
): Row {
  if (changed instanceof Promise) {
    changed.catch(() => undefined)
    throw new HoldfastError(
      'InvalidArgument',
      'update takes a synchronous function; use transact for others',
    )
  }
  const next = core.validate(changed)
  if (!equalBytes(encodeKey(keyOfRow(definition, next)), ref.key)) {
    throw new HoldfastError(
      'InvalidArgument',
      `an update of ${core.name} cannot change the key; delete and insert instead`,
    )
  }
  return next
}

function isCancelled(caller: Caller): boolean {
  if (caller.options.signal?.aborted !== true) return false
  caller.reject(
    new HoldfastError('Cancelled', 'the call was aborted before it was sent', {
      cause: caller.options.signal.reason,
    }),
  )
  return true
}
