/**
 * How many callers write at once, and whether a group waits for those who are not back yet.
 *
 * Callers over a network come back some time after they were answered. A group that is sealed at once
 * then holds half of them, and the next one the other half, for ever: twice the flushes. So a group
 * waits for the rest, a moment at the most, as PostgreSQL does with `commit_delay` where there are
 * `commit_siblings`. Callers of this process are back in the same turn, and few callers never wait.
 */

/** Milliseconds that a group waits for the rest at the most. */
export const GATHER_MS = 1
/** Fewer callers than this wait for nobody. */
const CROWD_MIN = 8
/** The share of the crowd that is all of it: some have gone. */
const MOST = 0.9
/** What is left of an estimate after a flush with fewer. */
const KEPT = 0.9

export class Crowd {
  #callers = 0

  /** `settled` callers were answered while `staged` others waited. */
  seen(settled: number, staged: number): void {
    this.#callers = Math.max(this.#callers * KEPT, settled + staged)
  }

  /** Whether more are about to come than the `staged` ones. */
  lacks(staged: number): boolean {
    return this.#callers >= CROWD_MIN && staged < this.#callers * MOST
  }
}
