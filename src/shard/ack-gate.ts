/** What is told to callers goes through it: while it is closed, their answers wait. */
import type { Waiting } from './callers.ts'

interface Held {
  readonly waiting: readonly Waiting[]
  readonly settle: () => void
}

export class AckGate {
  #held: Held[] = []
  #isClosed = false

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Answers `waiting` by `settle`: now, or in order once it is open. */
  pass(waiting: readonly Waiting[], settle: () => void): void {
    if (this.#isClosed) this.#held.push({ waiting, settle })
    else settle()
  }

  /** Those whose answers wait. */
  callers(): Waiting[] {
    return this.#held.flatMap(({ waiting }) => waiting)
  }

  close(): void {
    this.#isClosed = true
  }

  open(): void {
    this.#isClosed = false
    for (const { settle } of this.#held.splice(0)) settle()
  }

  /** Gives those whose answers wait, which do not come any more. */
  end(): Waiting[] {
    const callers = this.callers()
    this.#held = []
    return callers
  }
}
