/**
 * The ports to a node's surroundings: time, timers, randomness. One Env per node incarnation;
 * nothing above it reads the ambient clock, timer or random source (D1), so that the simulator can
 * own them all. `system-env.ts` is the real one.
 */

/** Cancels what it was given for; calling it again, or late, does nothing. */
export type Cancel = () => void

export interface Clock {
  /** Milliseconds since 1970 by this machine's wall clock; may jump either way. */
  wallMs(): number
  /** Milliseconds, never going back within an incarnation; its zero means nothing. */
  monotonicMs(): number
}

export interface Timers {
  /**
   * Calls `callback` once, no sooner than `delayMs` from now by the monotonic clock, never
   * synchronously. A pending timer keeps the process alive, unless it is for `background` work.
   */
  after(delayMs: number, callback: () => void, kind?: 'background'): Cancel
  /**
   * Calls `callback` once after the work that is already due (I/O, other callbacks) had a turn.
   * Order among such calls is kept.
   */
  soon(callback: () => void): void
}

export interface Random {
  /** An independent stream: the same seed and labels give the same draws (simulation, D1). */
  fork(label: string): Random
  /** Uniform in [0, 1). */
  float(): number
  /** `count` random bytes; the system's are fit for identities and tokens. */
  bytes(count: number): Uint8Array
}

export interface Env {
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
}

/** Resolves after `delayMs`; used for backoff. Never rejects. */
export function delay(env: Env, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    env.timers.after(delayMs, resolve)
  })
}

/** Resolves after other due work had a turn. */
export function turn(env: Env): Promise<void> {
  return new Promise((resolve) => {
    env.timers.soon(resolve)
  })
}
