/** Callers who were not sealed into an entry yet, in order, and how many of them make one. */
import { HoldfastError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Waiting } from './callers.ts'

export class Staging {
  readonly #targetBytes: number
  #callers: Waiting[] = []
  #bytes = 0

  /** `targetBytes`: of an entry that waits for nobody else. */
  constructor(targetBytes: number) {
    this.#targetBytes = targetBytes
  }

  get isEmpty(): boolean {
    return this.#callers.length === 0
  }

  /** Whether there is enough for an entry that waits for nobody else. */
  get isFull(): boolean {
    return this.#bytes >= this.#targetBytes
  }

  /** Those who wait, some of whom may have their answer already. */
  get callers(): readonly Waiting[] {
    return this.#callers
  }

  /** Why nobody else is taken in, when so. */
  refusal(): HoldfastError | undefined {
    if (this.#bytes <= LIMITS.stagedBytes) return undefined
    return new HoldfastError(
      'Overloaded',
      `${this.#callers.length} writes are waiting already; await some of them`,
    )
  }

  add(waiting: Waiting): void {
    this.#callers.push(waiting)
    this.#bytes += waiting.bytes
  }

  /** Those who were sealed before go before all others. */
  putBack(callers: readonly Waiting[]): void {
    for (const { bytes } of callers) this.#bytes += bytes
    this.#callers = [...callers, ...this.#callers]
  }

  /** The next entry's callers: transactions up to the target, or one command alone. */
  take(): Waiting[] {
    const taken: Waiting[] = []
    let bytes = 0
    let next = 0
    for (; next < this.#callers.length; next++) {
      const waiting = this.#callers[next] as Waiting
      if (waiting.done) {
        this.#bytes -= waiting.bytes
        continue
      }
      const alone = waiting.command !== undefined
      if (taken.length > 0) {
        if (alone || bytes + waiting.bytes > this.#targetBytes) break
        if (taken.length >= LIMITS.entryTransactions) break
      }
      taken.push(waiting)
      bytes += waiting.bytes
      this.#bytes -= waiting.bytes
      if (alone) {
        next++
        break
      }
    }
    this.#callers = this.#callers.slice(next)
    return taken
  }

  /** Nobody waits here any more. */
  clear(): Waiting[] {
    this.#bytes = 0
    return this.#callers.splice(0)
  }
}
