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
import { onAbort } from '../../core/on-abort.ts'
import { decodeValue } from '../../core/value-codec.ts'
import type { Position } from '../../log/log.ts'
import { keyOfRow, type TableDefinition } from '../../shard/definitions.ts'
import type { RowRef } from '../../shard/node.ts'
import type { Fate } from '../../shard/callers.ts'
import type { Row } from '../../shard/row-codec.ts'
import type { CallOptions, Written } from '../handles.ts'
import { Draft, hasUnique, putOp, rowBefore, setUnique } from './draft.ts'
import { notFound } from './refusals.ts'
import {
  aborted,
  cancelled,
  LOST,
  lostTooOften,
  throwIfCancelled,
  UNCONFIRMED,
  untilWon,
  type Trying,
} from './retry.ts'
import type { TableCore } from './table-core.ts'

type Change = (row: Row) => unknown

interface Caller {
  readonly change: Change
  /** Both do nothing once the caller has its answer. */
  readonly resolve: (written: Written<Row>) => void
  readonly reject: (cause: unknown) => void
  /** When its deadline passes, by the monotonic clock. */
  readonly untilMs: number
  /** It has its answer: later attempts go without it. */
  done: boolean
  /** Its chain is on its way: what becomes of it is not known. */
  sent: boolean
  /** How often its chain lost. */
  lost: number
}

/** Callers of one chain: more would make one step of the event loop long. */
const CHAIN_MAX = 1024
/** Deadlines are kept to within this. */
const SWEEP_MS = 250

export class Updates {
  readonly #core: TableCore
  readonly #env: Env
  readonly #waiting = new Map<string, Caller[]>()
  /** Callers of chains that run, by the same names. */
  readonly #running = new Map<string, readonly Caller[]>()
  #sweeping = false

  constructor(core: TableCore) {
    this.#core = core
    this.#env = core.node.env
  }

  update(key: Key, change: Change, options: CallOptions): Promise<Written<Row>> {
    const name = binaryString(encodeKey(key))
    return new Promise((resolve, reject) => {
      throwIfCancelled(options.signal)
      const caller = this.#caller(change, options, resolve, reject)
      this.#sweepLater()
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

  #caller(
    change: Change,
    { deadlineMs = LIMITS.deadlineMs, signal }: CallOptions,
    resolve: (written: Written<Row>) => void,
    reject: (cause: unknown) => void,
  ): Caller {
    const finish = (): boolean => {
      if (caller.done) return false
      caller.done = true
      leave?.()
      return true
    }
    const caller: Caller = {
      change,
      resolve: (written) => {
        if (finish()) resolve(written)
      },
      reject: (cause) => {
        if (finish()) reject(cause)
      },
      untilMs: this.#env.clock.monotonicMs() + deadlineMs,
      done: false,
      sent: false,
      lost: 0,
    }
    const abort = (): void => {
      if (signal !== undefined) caller.reject(caller.sent ? aborted(signal) : cancelled(signal))
    }
    const leave = signal && onAbort(signal, abort)
    return caller
  }

  async #run(name: string, key: Key, queue: Caller[]): Promise<void> {
    while (queue.length > 0) {
      const chain = queue.splice(0, CHAIN_MAX)
      this.#running.set(name, chain)
      await this.#settle(key, chain)
    }
    this.#running.delete(name)
    this.#waiting.delete(name)
  }

  #sweepLater(): void {
    if (this.#sweeping) return
    this.#sweeping = true
    this.#env.timers.after(
      SWEEP_MS,
      () => {
        this.#sweeping = false
        this.#sweep()
        if (this.#waiting.size > 0) this.#sweepLater()
      },
      'background',
    )
  }

  /** Tells callers whose deadline has passed: those not on their way were not applied. */
  #sweep(): void {
    const now = this.#env.clock.monotonicMs()
    for (const lists of [this.#waiting, this.#running]) {
      for (const callers of lists.values()) {
        for (const caller of callers) if (caller.untilMs <= now) late(caller)
      }
    }
  }

  async #settle(key: Key, chain: readonly Caller[]): Promise<void> {
    try {
      // Each caller has a deadline of its own; the chain goes on for the one that waits longest.
      const untilMs = Math.max(...chain.map((caller) => caller.untilMs))
      const deadlineMs = untilMs - this.#env.clock.monotonicMs()
      const what = `an update of ${this.#core.name}`
      const settle = await untilWon(this.#core.node, what, { deadlineMs }, (trying) =>
        this.#attempt(key, this.#stillWaiting(chain), trying),
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

  #stillWaiting(chain: readonly Caller[]): readonly Caller[] {
    const now = this.#env.clock.monotonicMs()
    return chain.filter((caller) => {
      if (caller.untilMs <= now) late(caller)
      return !caller.done
    })
  }

  /** Runs the chain once. Returns what to tell the callers when it won. */
  async #attempt(
    key: Key,
    chain: readonly Caller[],
    trying: Trying,
  ): Promise<(() => void) | typeof LOST | typeof UNCONFIRMED> {
    if (chain.length === 0) return () => undefined
    const core = this.#core
    const definition = core.definition
    const ref = core.node.refOfKey(definition, key)
    const draft = new Draft(core.node)
    const stored = draft.read(ref)
    if (stored === undefined) throw notFound(core.name, key)
    const before = core.decode(definition, ref.storeKey, stored)
    const seen = draft.readPosition
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
    if (value === first) return trying.fresh ? () => settleAll(seen) : UNCONFIRMED
    draft.set(putOp(definition, ref, decodeValue(value) as Row, value), ref.storeKey)
    const fate = await this.#send(chain, draft, trying.remainingMs)
    return fate.verdict === 'committed' ? () => settleAll(fate.position) : LOST
  }

  async #send(chain: readonly Caller[], draft: Draft, deadlineMs: number): Promise<Fate> {
    for (const caller of chain) caller.sent = true
    try {
      const fate = await this.#core.node.proposer.propose(draft.transaction(), { deadlineMs })
      if (fate.verdict !== 'committed') for (const caller of chain) caller.lost++
      return fate
    } finally {
      for (const caller of chain) caller.sent = false
    }
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

/** Ends the waiting of a caller whose deadline has passed. */
function late(caller: Caller): void {
  if (caller.done) return
  if (caller.sent) {
    caller.reject(
      new HoldfastError('OutcomeUnknown', 'the deadline passed before the outcome was known'),
    )
  } else if (caller.lost > 0) {
    caller.reject(lostTooOften('an update', caller.lost))
  } else {
    caller.reject(
      new HoldfastError('DeadlineExceeded', 'the deadline passed before the update was sent'),
    )
  }
}
