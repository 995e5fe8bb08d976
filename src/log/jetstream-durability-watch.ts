/**
 * What acks are worth now: read again after each reconnect and once a minute, sooner while a server
 * does not answer, for it may come back with other settings.
 */
import type { Cancel, Env } from '../core/env.ts'
import { isHoldfastError } from '../core/errors.ts'
import type { DurabilityReading } from './jetstream-durability.ts'

type Worth = DurabilityReading['durability']

/** Milliseconds between readings: when the last said everything, and when it did not. */
const READ_MS = 60_000
const READ_AGAIN_MS = 5_000

export class DurabilityWatch {
  readonly #env: Env
  readonly #read: () => Promise<DurabilityReading>
  #worth: Worth = 'quorum'
  #reading = false
  /** Asked for while one was under way. */
  #again = false
  #cancel: Cancel = () => undefined
  #stopped = false

  constructor(env: Env, read: () => Promise<DurabilityReading>) {
    this.#env = env
    this.#read = read
  }

  get worth(): Worth {
    return this.#worth
  }

  /** Reads for the first time. Throws what reading throws. */
  async start(): Promise<void> {
    const reading = await this.#read()
    this.#worth = reading.durability
    this.#next(isWhole(reading))
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** Reads now; what is read meanwhile counts until then. */
  async refresh(): Promise<void> {
    this.#again = true
    if (this.#reading) return
    this.#reading = true
    let whole = false
    while (this.#again && !this.#stopped) {
      this.#again = false
      whole = await this.#readOnce()
    }
    this.#reading = false
    this.#next(whole)
  }

  /** Whether every server answered. */
  async #readOnce(): Promise<boolean> {
    try {
      const reading = await this.#read()
      this.#worth = reading.durability
      return isWhole(reading)
    } catch (cause) {
      // One of the servers is too old by now; else there is no leader to ask, and nobody is acked.
      if (isHoldfastError(cause, 'EngineUnsupported')) this.#worth = 'quorum'
      return false
    }
  }

  #next(whole: boolean): void {
    this.#cancel()
    if (this.#stopped) return
    const delayMs = whole ? READ_MS : READ_AGAIN_MS
    this.#cancel = this.#env.timers.after(delayMs, () => void this.refresh(), 'background')
  }
}

const isWhole = ({ unanswered }: DurabilityReading): boolean => unanswered.length === 0
