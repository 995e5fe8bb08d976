/** The Env of a client: the clock, timers and randomness that browsers and fetch runtimes have too. */
import type { Cancel, Timers } from '../core/env.ts'
import type { ClientEnv } from './handles.ts'

/** The longest delay that setTimeout takes; a longer one would fire at once. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1

// Date alone is in every runtime, but may jump back: time is then taken to stand still.
let newestMs = 0
const monotonicMs =
  typeof performance === 'object'
    ? () => performance.now()
    : () => (newestMs = Math.max(newestMs, Date.now()))

const clock = { monotonicMs }

const timers: Timers = {
  after(delayMs: number, callback: () => void, kind?: 'background'): Cancel {
    const dueMs = monotonicMs() + Math.max(0, delayMs)
    let timer: unknown
    const arm = (waitMs: number): void => {
      timer = setTimeout(fire, Math.min(waitMs, TIMEOUT_MAX_MS))
      // A browser's timer is a number, and keeps nothing alive.
      if (kind === 'background') (timer as { unref?: () => void }).unref?.()
    }
    const fire = (): void => {
      const leftMs = dueMs - monotonicMs()
      if (leftMs > 0) arm(Math.ceil(leftMs))
      else callback()
    }
    arm(Math.max(0, delayMs))
    return () => clearTimeout(timer as number)
  },
  soon: soonest(),
}

export const systemClientEnv: ClientEnv = { clock, timers, random: { float: () => Math.random() } }

/** Browsers make nested timers wait 4 ms; a message to oneself comes at the next turn. */
function soonest(): (callback: () => void) => void {
  if (typeof setImmediate === 'function') return (callback) => void setImmediate(callback)
  if (typeof MessageChannel !== 'function') return (callback) => void setTimeout(callback, 0)
  const due: (() => void)[] = []
  const { port1, port2 } = new MessageChannel()
  const port = port1 as unknown as { onmessage: () => void }
  port.onmessage = () => due.shift()?.()
  return (callback) => {
    due.push(callback)
    port2.postMessage(undefined)
  }
}
