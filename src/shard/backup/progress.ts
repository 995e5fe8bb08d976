/** How far a backup or a restore is, and how it is stopped: what every stage of one is given. */
import { turn, type Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'

/**
 * - `rows`: bytes of rows, copied or restored
 * - `entries`: entries of the log
 * - `parts`: bytes of parts, read
 * - `check`: keys looked at; the total is what the store has
 */
export type BackupStage = 'rows' | 'entries' | 'parts' | 'check'

export interface BackupProgress {
  readonly stage: BackupStage
  readonly done: number
  readonly total: number
}

export interface StageOptions {
  /** Called at most once a slice of work. */
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Gives others a turn when a slice of work is over, and stops when the caller says so. */
export class Pace {
  readonly #env: Env
  readonly #options: StageOptions
  #sliceFrom: number

  constructor(env: Env, options: StageOptions) {
    this.#env = env
    this.#options = options
    this.#sliceFrom = env.clock.monotonicMs()
  }

  /** Throws `Cancelled` once the signal is aborted. */
  goOn(): void {
    const { signal } = this.#options
    if (signal?.aborted === true) throw cancelled(signal.reason)
  }

  /** Throws `Cancelled` once the signal is aborted. */
  async step(stage: BackupStage, done: number, total: number): Promise<void> {
    const { onProgress } = this.#options
    this.goOn()
    if (this.#env.clock.monotonicMs() - this.#sliceFrom < LIMITS.applySliceMs) return
    onProgress?.({ stage, done, total })
    await turn(this.#env)
    this.#sliceFrom = this.#env.clock.monotonicMs()
  }

  /** The stage is over. */
  end(stage: BackupStage, total: number): void {
    this.#options.onProgress?.({ stage, done: total, total })
  }
}

export function cancelled(reason: unknown): HoldfastError {
  return new HoldfastError('Cancelled', 'it was aborted', { cause: reason })
}
