/** The Env of one incarnation in the simulator: its own drifting clock, virtual timers, labelled randomness. */
import { assert } from '../core/assert.ts'
import type { Cancel, Env } from '../core/env.ts'
import { EPOCH_MS } from './ambient.ts'
import type { Draw } from './draw.ts'
import type { Kernel, Owner } from './kernel.ts'

export { EPOCH_MS } from './ambient.ts'

/** A machine's clocks against true time; survives restarts of the node, jumps at faults. */
export interface MachineClock {
  /** Added to the wall clock, in milliseconds. */
  offsetMs: number
  /** Both clocks run this much faster (0.001: 1 ms a second). */
  drift: number
  /** True time at which `drift` was last set, and what the clocks had gained by then. */
  sinceMs: number
  gainedMs: number
}

export function machineClock(): MachineClock {
  return { offsetMs: 0, drift: 0, sinceMs: 0, gainedMs: 0 }
}

/** Sets the wall clock `offsetMs` off: it jumps at once. The monotonic clock does not notice. */
export function setOffset(clock: MachineClock, offsetMs: number): void {
  clock.offsetMs = offsetMs
}

/** From the true time `nowMs` on both clocks run `drift` faster; neither jumps. Above -1. */
export function setDrift(clock: MachineClock, nowMs: number, drift: number): void {
  assert(drift > -1, 'time goes forward')
  clock.gainedMs = sinceStart(clock, nowMs) - nowMs
  clock.sinceMs = nowMs
  clock.drift = drift
}

/** How long this machine believes that the simulation has run. Grows with `nowMs`, rounded or not. */
function sinceStart(clock: MachineClock, nowMs: number): number {
  return clock.sinceMs + clock.gainedMs + (1 + clock.drift) * (nowMs - clock.sinceMs)
}

/** How long "soon" takes: the time of a turn of the event loop, drawn for each. */
const TURN_MEAN_MS = 0.02

export function simEnv(kernel: Kernel, owner: Owner, clock: MachineClock, random: Draw): Env {
  const turns = random.fork('turns')
  let latestMs = 0
  const monotonicMs = (): number => {
    // The last bit may be lost where the drift changes.
    latestMs = Math.max(latestMs, sinceStart(clock, kernel.nowMs))
    return latestMs
  }
  const after = (delayMs: number, callback: () => void): Cancel => {
    const dueMs = monotonicMs() + Math.max(0, delayMs)
    let cancel: Cancel
    const arm = (leftMs: number): void => {
      const waitMs = Math.max(0, leftMs) / (1 + clock.drift) + turns.exponential(TURN_MEAN_MS)
      cancel = kernel.after(waitMs, 'timer', owner, fire)
    }
    // A clock that was slowed meanwhile is not there yet: look again.
    const fire = (): void => {
      const leftMs = dueMs - monotonicMs()
      if (leftMs > 0) arm(leftMs)
      else callback()
    }
    arm(dueMs - monotonicMs())
    return () => cancel()
  }
  const waiting: (() => void)[] = []
  let turnsEndMs = 0
  const soon = (callback: () => void): void => {
    waiting.push(callback)
    turnsEndMs = Math.max(turnsEndMs, kernel.nowMs) + turns.exponential(TURN_MEAN_MS)
    // Whichever of these events comes first runs the oldest call, so that their order is kept.
    kernel.after(turnsEndMs - kernel.nowMs, 'soon', owner, () => waiting.shift()?.())
  }
  return {
    clock: {
      wallMs: () => Math.floor(EPOCH_MS + sinceStart(clock, kernel.nowMs) + clock.offsetMs),
      monotonicMs,
    },
    timers: { after, soon },
    random,
  }
}
