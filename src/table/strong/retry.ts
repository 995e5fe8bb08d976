/**
 * Retries of what lost to other writers: at once at first, then with exponential backoff and full
 * jitter (Brooker, "Exponential Backoff And Jitter", 2015), within the call's deadline (S5).
 */
import { delay, type Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
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

/** What an attempt says when others came first. */
export const LOST: unique symbol = Symbol('lost')

/**
 * Calls `attempt` until it does not lose. Throws `Conflict` at the deadline, `Cancelled` when the
 * signal aborts between attempts; nothing was applied then.
 */
export async function untilWon<T>(
  env: Env,
  what: string,
  options: CallOptions,
  attempt: (remainingMs: number) => Promise<T | typeof LOST>,
): Promise<T> {
  const deadlineMs = env.clock.monotonicMs() + (options.deadlineMs ?? LIMITS.deadlineMs)
  for (let tries = 1; ; tries++) {
    throwIfCancelled(options.signal)
    const outcome = await attempt(Math.max(1, deadlineMs - env.clock.monotonicMs()))
    if (outcome !== LOST) return outcome
    const remainingMs = deadlineMs - env.clock.monotonicMs()
    if (remainingMs <= 0) {
      throw new HoldfastError('Conflict', `${what} lost to other writers ${tries} times`, {
        details: { tries },
      })
    }
    if (tries <= AT_ONCE) continue
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(tries - AT_ONCE, 10))
    await delay(env, Math.min(remainingMs, env.random.float() * ceiling))
  }
}
