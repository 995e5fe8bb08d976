/** Those who wait for a fate, from when they are staged until they have their answer. */
import { HoldfastError } from '../core/errors.ts'
import { onAbort } from '../core/on-abort.ts'
import type { Transaction } from '../log/entry.ts'
import type { Position } from '../log/log.ts'
import type { Applied } from './apply-loop.ts'
import type { OpResult } from './change-record.ts'
import type { Command, CommandResult } from './command.ts'
import type { Verdict } from './resolver.ts'

/** What became of a transaction, as read in the log and flushed. */
export interface Fate {
  readonly position: Position
  readonly verdict: Verdict
  /** The ordinal in the entry of the transaction's first op. */
  readonly ordinal: number
  readonly results: ReadonlyMap<number, OpResult>
}

export interface CommandFate {
  readonly position: Position
  readonly result: CommandResult
}

export interface Waiting {
  readonly transaction: Transaction | undefined
  readonly command: Command | undefined
  readonly bytes: number
  /** By the monotonic clock: when the caller stops waiting. */
  readonly deadlineMs: number
  settle: (fate: Fate | CommandFate) => void
  fail: (cause: HoldfastError) => void
  /** The caller has its answer: when it is not sealed yet, it never will be. */
  done: boolean
}

export type BatchDecision = Extract<Applied['decision'], { kind: 'batch' }>

export function failCaller(waiting: Waiting, cause: HoldfastError): void {
  waiting.done = true
  waiting.fail(cause)
}

/** Fails those who have no answer yet. */
export function failAll(callers: readonly Waiting[], cause: HoldfastError): void {
  for (const waiting of callers) if (!waiting.done) failCaller(waiting, cause)
}

/** Fails those whose deadline has passed. */
export function failLate(
  callers: readonly Waiting[],
  nowMs: number,
  cause: () => HoldfastError,
): void {
  for (const waiting of callers) {
    if (!waiting.done && waiting.deadlineMs <= nowMs) failCaller(waiting, cause())
  }
}

/** Settles the callers of a batch with what was decided of it. */
export function settleAll(
  callers: readonly Waiting[],
  position: Position,
  decision: BatchDecision,
  results: ReadonlyMap<number, OpResult>,
): void {
  let ordinal = 0
  let transactions = 0
  for (const waiting of callers) {
    const { transaction } = waiting
    if (transaction === undefined) {
      const result = decision.commands[0]
      if (result !== undefined && !waiting.done) waiting.settle({ position, result })
      waiting.done = true
      continue
    }
    const verdict = decision.verdicts[transactions++] as Verdict
    if (!waiting.done) {
      waiting.done = true
      waiting.settle({ position, verdict, ordinal, results })
    }
    ordinal += transaction.ops.length
  }
}

/** Has `signal` fail the caller. `wasSent`, asked when it is aborted, says what the caller is told. */
export function makeAbortable(waiting: Waiting, signal: AbortSignal, wasSent: () => boolean): void {
  const abort = (): void => {
    if (waiting.done) return
    const cause: unknown = signal.reason
    failCaller(
      waiting,
      wasSent()
        ? new HoldfastError('Aborted', 'the call was aborted after it was sent', { cause })
        : new HoldfastError('Cancelled', 'the call was aborted before it was sent', { cause }),
    )
  }
  if (signal.aborted) {
    const cause: unknown = signal.reason
    failCaller(
      waiting,
      new HoldfastError('Cancelled', 'the call was aborted before it began', { cause }),
    )
    return
  }
  const leave = onAbort(signal, abort)
  const { settle, fail } = waiting
  waiting.settle = (fate) => {
    leave()
    settle(fate)
  }
  waiting.fail = (cause) => {
    leave()
    fail(cause)
  }
}
