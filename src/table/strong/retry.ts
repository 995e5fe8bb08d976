/**
 * Retries of what lost to other writers: at once at first, then with exponential backoff and full
 * jitter (Brooker, "Exponential Backoff And Jitter", 2015), within the call's deadline (S5).
 */
import { delay } from '../../core/env.ts'
import { HoldfastError, isHoldfastError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Node } from '../../shard/node.ts'
import { checkCall } from '../arguments.ts'
import type { CallOptions } from '../handles.ts'

const AT_ONCE = 3
const BACKOFF_MS = 1
const BACKOFF_MAX_MS = 100

/** Throws `Cancelled` once the signal is aborted; for where nothing is on its way. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw cancelled(signal)
}

export function cancelled(signal: AbortSignal): HoldfastError {
  return new HoldfastError('Cancelled', 'the call was aborted', { cause: signal.reason })
}

/** For a call that is on its way. */
export function aborted(signal: AbortSignal): HoldfastError {
  return new HoldfastError('Aborted', 'the call was aborted after it was sent', {
    cause: signal.reason,
  })
}

export function lostTooOften(what: string, tries: number): HoldfastError {
  return new HoldfastError('Conflict', `${what} lost to other writers ${tries} times`, {
    details: { tries },
  })
}

/** What an attempt says when others came first. */
export const LOST: unique symbol = Symbol('lost')

/**
 * What an attempt says when it wrote nothing, and its answer rests on what was read here before
 * `Trying.fresh`.
 */
export const UNCONFIRMED: unique symbol = Symbol('unconfirmed')

/** One attempt's terms. */
export interface Trying {
  readonly remainingMs: number
  /**
   * Whether what is read here includes all that was acked before the call began. A log of this node
   * alone always does; others say so at a barrier, which an attempt may have awaited itself (S6).
   */
  fresh: boolean
}

/**
 * Calls `attempt` until it does not lose. An answer that wrote nothing, and a refusal because of what
 * is stored, stand only when they are fresh: else they are made again behind a barrier (S4). Throws
 * `Conflict` at the deadline, `Cancelled` when the signal aborts between attempts; nothing was
 * applied then.
 */
export async function untilWon<T>(
  node: Node,
  what: string,
  options: CallOptions,
  attempt: (trying: Trying) => Promise<T | typeof LOST | typeof UNCONFIRMED>,
): Promise<T> {
  const { env } = node
  checkCall(options)
  const { signal } = options
  let fresh = !node.shared
  const deadlineMs = env.clock.monotonicMs() + (options.deadlineMs ?? LIMITS.deadlineMs)
  for (let tries = 1; ; tries++) {
    throwIfCancelled(signal)
    const trying = { remainingMs: Math.max(1, deadlineMs - env.clock.monotonicMs()), fresh }
    const outcome = await attempt(trying).catch((cause: unknown): typeof UNCONFIRMED => {
      if (trying.fresh || !isRefusal(cause)) throw cause
      return UNCONFIRMED
    })
    fresh = trying.fresh
    if (outcome !== LOST && outcome !== UNCONFIRMED) return outcome
    const remainingMs = deadlineMs - env.clock.monotonicMs()
    if (outcome === UNCONFIRMED) {
      await node.barrier({ deadlineMs: Math.max(1, remainingMs), signal })
      fresh = true
      continue
    }
    if (remainingMs <= 0) throw lostTooOften(what, tries)
    if (tries <= AT_ONCE) continue
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(tries - AT_ONCE, 10))
    await delay(env, Math.min(remainingMs, env.random.float() * ceiling))
  }
}

/** Refused because of what is stored, which may have changed since it was read. */
function isRefusal(cause: unknown): boolean {
  return isHoldfastError(cause) && cause.kind === 'conflict' && cause.code !== 'Conflict'
}
