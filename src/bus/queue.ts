/** One subscription of a bus within a process: what waits for it, and who gets it. */
import type { Env } from '../core/env.ts'
import type { BusMessage, BusSubscription } from './bus.ts'

/** Messages that wait for one subscription at the most, unless its bus says otherwise. */
export const QUEUE_LIMIT = 4_096
/** Calls of a queue's handler in one turn; then others have theirs. */
const CALLS_PER_TURN = 64

export interface QueueOwner<T extends BusMessage> {
  readonly env: Env
  /** Messages that wait at the most; what comes then is dropped. */
  readonly limit: number
  readonly handle: (message: T) => void
  readonly onDrop?: () => void
  readonly onClose: () => void
}

export class Queue<T extends BusMessage> implements BusSubscription {
  readonly pattern: string
  readonly #owner: QueueOwner<T>
  readonly #waiting: T[] = []
  #scheduled = false
  #closed = false
  dropped = 0

  constructor(pattern: string, owner: QueueOwner<T>) {
    this.pattern = pattern
    this.#owner = owner
  }

  push(message: T): void {
    if (this.#waiting.length >= this.#owner.limit) {
      this.dropped++
      this.#owner.onDrop?.()
      return
    }
    this.#waiting.push(message)
    this.#schedule()
  }

  close(): void {
    this.#closed = true
    this.#waiting.length = 0
    this.#owner.onClose()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#owner.env.timers.soon(() => {
      this.#scheduled = false
      for (const message of this.#waiting.splice(0, CALLS_PER_TURN)) {
        if (!this.#closed) this.#owner.handle(message)
      }
      if (this.#waiting.length > 0) this.#schedule()
    })
  }
}
