/**
 * The carrier takes frames to the log. To one that is safe by itself, again and again until they were
 * read there (parcel.ts); a local one takes a frame once, and keeps it or fails with its store.
 *
 * Numbered batches keep their order: one that was refused goes again when it is the first of those on
 * their way, or right behind the one before it; sent earlier, it would only be refused again.
 */
import type { Cancel, Env, Random } from '../core/env.ts'
import { isHoldfastError } from '../core/errors.ts'
import type { Log } from '../log/log.ts'
import type { ApplyLoop } from './apply-loop.ts'
import * as parcels from './parcel.ts'
import type { Parcel, ParcelOptions } from './parcel.ts'

export class Carrier {
  /** Whether the log is safe by itself: else everything is handed over once. */
  readonly resends: boolean
  readonly #env: Env
  readonly #log: Log
  readonly #loop: ApplyLoop
  readonly #jitter: Random
  readonly #closed: (cause: unknown) => void
  /** On their way, in the order in which they were first handed over. */
  readonly #parcels: Parcel[] = []
  /** When the log last did something that it cannot do without a quorum. */
  #heardMs = Number.NEGATIVE_INFINITY
  /** What it last refused something for. */
  #refusal: unknown
  #wakeMs = Number.POSITIVE_INFINITY
  #cancelWake: Cancel = () => undefined
  #stopped = false

  /** `closed`: told when the log takes nothing any more. */
  constructor(env: Env, log: Log, loop: ApplyLoop, closed: (cause: unknown) => void) {
    this.resends = log.durability === 'self'
    this.#env = env
    this.#log = log
    this.#loop = loop
    this.#closed = closed
    this.#jitter = env.random.fork('resend')
  }

  /** Hands a frame over; it is on its way until `arrived`. */
  take(options: ParcelOptions): Parcel {
    const nowMs = this.resends ? this.#env.clock.monotonicMs() : 0
    const parcel = parcels.newParcel(options, this.#loop.state.position, nowMs)
    if (this.resends) this.#parcels.push(parcel)
    this.#append(parcel)
    this.#arm()
    return parcel
  }

  /** It was read in the log, or nobody asks for it any more. */
  arrived(parcel: Parcel): void {
    const at = this.#parcels.indexOf(parcel)
    if (at < 0) return
    this.#parcels.splice(at, 1)
    this.#heardMs = this.#env.clock.monotonicMs()
    if (this.#firstOrdered()?.status === 'refused') this.#round()
  }

  /** It was read in the log, refused for want of the one before it. */
  refused(parcel: Parcel): void {
    parcels.refused(parcel)
    if (this.#firstOrdered() === parcel) this.#round()
  }

  /** For how long the log has not answered although something is on its way; 0 when nothing is. */
  silentMs(nowMs: number): number {
    const oldest = this.#parcels[0]
    return oldest === undefined ? 0 : nowMs - Math.max(this.#heardMs, oldest.sinceMs)
  }

  /** Why the log refused something last; undefined once it took something. */
  get refusal(): unknown {
    return this.#refusal
  }

  stop(): void {
    this.#stopped = true
    this.#parcels.length = 0
    this.#cancelWake()
  }

  #firstOrdered(): Parcel | undefined {
    return this.#parcels.find((parcel) => parcel.ordered)
  }

  #append(parcel: Parcel): void {
    const { attempt } = parcel
    this.#log.append(parcel.frame, parcels.messageId(parcel), parcel.use).then(
      ({ position }) => this.#acked(parcel, attempt, position),
      (cause: unknown) => this.#rejected(parcel, attempt, cause),
    )
  }

  #acked(parcel: Parcel, attempt: number, position: number): void {
    if (this.#stopped || !this.resends) return
    const nowMs = (this.#heardMs = this.#env.clock.monotonicMs())
    this.#refusal = undefined
    try {
      parcels.acked(parcel, attempt, position, nowMs)
    } catch (cause) {
      this.#loop.halt(cause)
    }
  }

  #rejected(parcel: Parcel, attempt: number, cause: unknown): void {
    if (this.#stopped) return
    if (!this.resends || isHoldfastError(cause, 'Closed')) {
      this.#closed(cause)
      return
    }
    this.#refusal = cause
    parcels.rejected(parcel, attempt, this.#env.clock.monotonicMs(), this.#jitter.float())
    this.#arm()
  }

  /** Hands over again what is due, in order. */
  #round(): void {
    const nowMs = this.#env.clock.monotonicMs()
    let follows = true
    // Appending may settle nothing synchronously, but the list is not to be walked while it changes.
    for (const parcel of [...this.#parcels]) {
      const goes: boolean =
        parcels.isOverdue(parcel, nowMs, this.#loop.flushed) ||
        (parcel.status === 'refused' && follows)
      if (parcel.ordered) follows = goes
      if (!goes) continue
      parcels.handedOver(parcel, nowMs)
      this.#append(parcel)
    }
    this.#arm()
  }

  #arm(): void {
    let wakeMs = Number.POSITIVE_INFINITY
    for (const parcel of this.#parcels) wakeMs = Math.min(wakeMs, parcel.wakeMs)
    if (this.#stopped || wakeMs >= this.#wakeMs) return
    this.#cancelWake()
    this.#wakeMs = wakeMs
    const delayMs = Math.max(0, wakeMs - this.#env.clock.monotonicMs())
    this.#cancelWake = this.#env.timers.after(delayMs, () => {
      this.#wakeMs = Number.POSITIVE_INFINITY
      this.#round()
    })
  }
}
