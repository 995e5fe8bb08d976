/** The real Env: this machine's clocks, timers and randomness. */
import { randomBytes } from 'node:crypto'
import type { Cancel, Clock, Env, Random, Timers } from './env.ts'

const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}

/** The longest delay that setTimeout takes; a longer one would fire at once. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1

const timers: Timers = {
  after(delayMs: number, callback: () => void, kind?: 'background'): Cancel {
    const dueMs = performance.now() + Math.max(0, delayMs)
    let timer: NodeJS.Timeout
    const arm = (waitMs: number): void => {
      timer = setTimeout(fire, Math.min(waitMs, TIMEOUT_MAX_MS))
      if (kind === 'background') timer.unref()
    }
    // setTimeout counts whole milliseconds, so it may fire up to one too early: look again.
    const fire = (): void => {
      const leftMs = dueMs - performance.now()
      if (leftMs > 0) arm(Math.ceil(leftMs))
      else callback()
    }
    arm(Math.max(0, delayMs))
    return () => clearTimeout(timer)
  },
  soon(callback: () => void): void {
    setImmediate(callback)
  },
}

const random: Random = {
  fork: () => random,
  float: () => Math.random(),
  bytes: (count: number) => new Uint8Array(randomBytes(count)),
}

export const systemEnv: Env = { clock, timers, random }

/** What is known of the process itself. */
export const systemProcess: { readonly pid: number } = { pid: process.pid }
