/**
 * Background work that failed: nobody awaits it, so it is told to `onProblem`, once for each cause,
 * and kept for `stats` until the same work succeeds.
 */
import type { Env } from '../core/env.ts'
import { isHoldfastError } from '../core/errors.ts'

/** Background work that failed. It is tried again. */
export interface BackgroundProblem {
  /** `expiry`: removing what is past its time. `schema`: work on rows for a changed definition. */
  readonly work: 'expiry' | 'schema'
  /** The table, undefined when the work is over idempotency keys. */
  readonly table: string | undefined
  /** What was thrown, by a `migrate` for one. */
  readonly cause: unknown
}

export class Problems {
  readonly #env: Env
  readonly #tell: ((problem: BackgroundProblem) => void) | undefined
  readonly #open = new Map<string, BackgroundProblem>()

  constructor(env: Env, tell: ((problem: BackgroundProblem) => void) | undefined) {
    this.#env = env
    this.#tell = tell
  }

  /** Those that hold. */
  list(): BackgroundProblem[] {
    return [...this.#open.values()]
  }

  /** A database that is closed, or halted, tells so to every caller: that is no problem of a work. */
  failed(work: BackgroundProblem['work'], table: string | undefined, cause: unknown): void {
    if (isHoldfastError(cause, 'Closed', 'Halted')) return
    const name = nameOf(work, table)
    const known = this.#open.get(name)
    const problem = { work, table, cause }
    this.#open.set(name, problem)
    // The same failure of round after round is told once.
    if (known !== undefined && String(known.cause) === String(cause)) return
    const tell = this.#tell
    // In a turn of its own: what the listener throws is not the work's.
    if (tell !== undefined) this.#env.timers.soon(() => tell(problem))
  }

  settled(work: BackgroundProblem['work'], table: string | undefined): void {
    this.#open.delete(nameOf(work, table))
  }
}

function nameOf(work: string, table: string | undefined): string {
  return `${work} ${table ?? ''}`
}
