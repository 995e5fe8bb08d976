/**
 * What stands in for the ambient clock, timers and randomness in users' code inside the simulator
 * (D2): one per owner, handed to the tripwires for closures and to the realm of a bundled app.
 * Holdfast's own rooms never use it: they have an Env.
 */
import type { Cancel, Env } from '../core/env.ts'
import type { Draw } from './draw.ts'

/** 2026-01-01: the wall clock at virtual time 0. */
export const EPOCH_MS = Date.UTC(2026, 0, 1)

export interface Ambient {
  /** Whole milliseconds since 1970, as `Date.now()` on this machine would tell. */
  wallMs(): number
  /** Milliseconds with a fraction, as `performance.now()` would tell; never going back. */
  monotonicMs(): number
  /** Calls `callback` once, `delayMs` or later from now, never synchronously; 0 is allowed. */
  after(delayMs: number, callback: () => void): Cancel
  /** For `Math.random`, `randomUUID`, `getRandomValues` and `randomBytes`. */
  readonly random: Draw
  /** In place of `fetch`; without it `fetch` throws as other I/O does. */
  readonly fetch?: typeof globalThis.fetch
}

/** The ambient world that agrees with `env`'s clocks and timers; draws from `random` alone. */
export function ambientOf(env: Env, random: Draw): Ambient {
  return {
    wallMs: () => env.clock.wallMs(),
    monotonicMs: () => env.clock.monotonicMs(),
    after: (delayMs, callback) => env.timers.after(delayMs, callback),
    random,
  }
}
