/**
 * One table's newest changes, encoded once for all its feeds.
 *
 *   log ── watch ──▶ pending ── a turn ──▶ batch of bytes ──▶ ring ──▶ feed, feed, feed ...
 *
 * The ring is bounded: a feed that has fallen behind it reads from the log again. Places in the log
 * order everything, so that a feed joins, in the middle of a batch too, without gap or repetition.
 */
import { turn, type Env } from '../../core/env.ts'
import type { HoldfastError } from '../../core/errors.ts'
import type { AnyTable } from '../../table/handles.ts'
import type { PacedWatchOptions } from '../../table/strong/watch.ts'
import { placeOf, type Token } from '../../table/token.ts'
import { asError } from './problem.ts'
import { changeEvent } from './sse.ts'

/** Bytes of events that are kept for feeds that join or lag; beyond it the oldest go. */
const RING_BYTES = 4 * 1024 * 1024
/** Bytes at which a batch is closed although more is at hand. */
const BATCH_BYTES = 64 * 1024

export interface Batch {
  readonly bytes: Uint8Array
  /** The place of its last change. */
  readonly last: Token
}

interface RingBatch extends Batch {
  /** Where each change begins in `bytes`. */
  readonly marks: readonly { readonly place: Token; readonly from: number }[]
}

export function isAfter(a: Token, b: Token): boolean {
  return a.position > b.position || (a.position === b.position && a.ordinal > b.ordinal)
}

/** The place of a token that the database itself made. */
export function ownPlace(token: string): Token {
  const place = placeOf(token)
  if (place === undefined) throw new Error(`${token} is no token`)
  return place
}

export class FeedHub {
  readonly table: AnyTable
  readonly #env: Env
  readonly #stop = new AbortController()
  readonly #waiting = new Set<() => void>()
  readonly #ring: RingBatch[] = []
  #ringBytes = 0
  /** The last place that is no longer in the ring. */
  #before: Token
  #pending: { readonly text: string; readonly place: Token }[] = []
  #pendingChars = 0
  #seen: number
  #ended: HoldfastError | undefined

  /** `after`: a token of now; the hub has what comes after it. */
  constructor(env: Env, table: AnyTable, after: string) {
    this.#env = env
    this.table = table
    this.#before = ownPlace(after)
    this.#seen = this.#before.position
    void this.#run(after)
  }

  /** Why no more changes come, once that is so and all that came is in the ring. */
  get ended(): HoldfastError | undefined {
    return this.#ended
  }

  /** Hands out what is at hand; all changes up to the position returned are then in the ring. */
  settle(): number {
    this.#flush()
    return this.#seen
  }

  /** Whether the ring has every change after `place` that was seen. */
  covers(place: Token): boolean {
    return !isAfter(this.#before, place)
  }

  /** The next bytes after `place`, which `covers` holds for; undefined when there are none yet. */
  after(place: Token): Batch | undefined {
    const ring = this.#ring
    let [low, high] = [0, ring.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isAfter((ring[middle] as RingBatch).last, place)) high = middle
      else low = middle + 1
    }
    const batch = ring[low]
    const mark = batch?.marks.find((known) => isAfter(known.place, place))
    if (batch === undefined || mark === undefined) return undefined
    return mark.from === 0 ? batch : { bytes: batch.bytes.subarray(mark.from), last: batch.last }
  }

  /** Calls `wake` once, when there are new bytes or the hub has ended. */
  wait(wake: () => void): void {
    this.#waiting.add(wake)
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake)
  }

  stop(): void {
    this.#stop.abort()
  }

  async #run(after: string): Promise<void> {
    const options: PacedWatchOptions = {
      after,
      signal: this.#stop.signal,
      caughtUp: (position) => {
        this.#seen = position
        return false
      },
    }
    try {
      for await (const change of this.table.watch(options)) {
        if (this.#pending.length === 0) this.#env.timers.soon(() => this.#flush())
        const text = changeEvent(change)
        this.#pending.push({ text, place: ownPlace(change.token) })
        this.#pendingChars += text.length
        if (this.#pendingChars < BATCH_BYTES) continue
        this.#flush()
        await turn(this.#env)
      }
    } catch (cause) {
      this.#flush()
      this.#ended = asError(cause)
      this.#wakeAll()
    }
  }

  #flush(): void {
    const last = this.#pending.at(-1)
    if (last === undefined) return
    const marks = []
    let from = 0
    for (const { text, place } of this.#pending) {
      marks.push({ place, from })
      from += Buffer.byteLength(text)
    }
    const bytes = Buffer.from(this.#pending.map(({ text }) => text).join(''))
    this.#pending = []
    this.#pendingChars = 0
    this.#ring.push({ bytes, last: last.place, marks })
    this.#ringBytes += bytes.length
    while (this.#ringBytes > RING_BYTES && this.#ring.length > 1) {
      const oldest = this.#ring.shift() as RingBatch
      this.#ringBytes -= oldest.bytes.length
      this.#before = oldest.last
    }
    this.#wakeAll()
  }

  #wakeAll(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }
}
