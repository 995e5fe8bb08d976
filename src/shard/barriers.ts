/**
 * Barriers (S6): a linearizable read waits until an entry that this node first handed over after the
 * read began was read back in the log; then whatever was acked before the read is applied here. The
 * readers of a node share one, and a write serves as well.
 *
 *   readers ──▶ waiting ─┬─ a batch is sealed ─────▶ its readers ──┬─▶ read in the log: settled
 *                        └─ else a barrier entry ──▶ its readers ──┘
 */
import { hex, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { DIGEST_BYTES } from '../core/hash.ts'
import { LIMITS } from '../core/limits.ts'
import { onAbort } from '../core/on-abort.ts'
import { encodeControl } from '../log/entry-codec.ts'
import type { Position } from '../log/log.ts'
import type { AckGate } from './ack-gate.ts'
import type { ApplyLoop } from './apply-loop.ts'
import type { Waiting } from './callers.ts'
import type { Carrier } from './carrier.ts'
import type { Parcel } from './parcel.ts'

/** One who waits for a barrier. */
export interface Reader {
  readonly settle: (position: Position) => void
  readonly fail: (cause: HoldfastError) => void
  /** By the monotonic clock: when it came, and when it gives up. */
  readonly sinceMs: number
  readonly deadlineMs: number
}

interface BarrierOptions {
  /** Milliseconds until the call gives up. Default 15,000. */
  readonly deadlineMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

interface Sent {
  readonly parcel: Parcel
  readonly readers: readonly Reader[]
}

/** Barrier entries on their way: who comes meanwhile shares the next one. */
const SENT_MAX = 2
/** Readers who come within this many milliseconds have one deadline, unless they name their own. */
const TOGETHER_MS = 20
const NOBODY: readonly Reader[] = []
/** Readers have deadlines of their own. */
const NO_CALLERS: readonly Waiting[] = []

export class Barriers {
  readonly #env: Env
  readonly #loop: ApplyLoop
  readonly #carrier: Carrier
  readonly #gate: AckGate
  /** Those whose entry is still to be handed over. */
  #waiting: Reader[] = []
  /** All who are not settled. */
  readonly #readers = new Set<Reader>()
  readonly #sent = new Map<string, Sent>()
  /** Those who named no deadline and no signal are one reader until an entry takes them along. */
  #together: { readonly sinceMs: number; readonly position: Promise<Position> } | undefined
  /** When the latest of the readers came who were settled. */
  #freshMs = Number.NEGATIVE_INFINITY

  constructor(env: Env, loop: ApplyLoop, carrier: Carrier, gate: AckGate) {
    this.#env = env
    this.#loop = loop
    this.#carrier = carrier
    this.#gate = gate
  }

  /** Whether a barrier is to be handed over now, unless a write is. */
  get wanted(): boolean {
    return this.#waiting.length > 0 && this.#sent.size < SENT_MAX
  }

  /** What is applied here is as new as it was anywhere at this time of the monotonic clock. */
  get freshMs(): number {
    return this.#freshMs
  }

  /** Resolves with a position that this node has reached, and that no write acked by now is above. */
  join(options: BarrierOptions, nowMs: number): Promise<Position> {
    if (options.deadlineMs !== undefined || options.signal !== undefined) {
      return this.#join(options, nowMs)
    }
    if (this.#together === undefined || nowMs - this.#together.sinceMs > TOGETHER_MS) {
      this.#together = { sinceMs: nowMs, position: this.#join(options, nowMs) }
    }
    return this.#together.position
  }

  #join(options: BarrierOptions, sinceMs: number): Promise<Position> {
    return new Promise((resolve, reject) => {
      const { signal } = options
      const deadlineMs = sinceMs + (options.deadlineMs ?? LIMITS.deadlineMs)
      const abort = (): void => {
        if (!this.#readers.has(reader)) return
        this.#fail(
          reader,
          new HoldfastError('Cancelled', 'the read was aborted', { cause: signal?.reason }),
        )
      }
      let leave = (): void => undefined
      const reader: Reader = {
        sinceMs,
        deadlineMs,
        settle: (position) => {
          leave()
          resolve(position)
        },
        fail: (cause) => {
          leave()
          reject(cause)
        },
      }
      this.#readers.add(reader)
      this.#waiting.push(reader)
      if (signal !== undefined) leave = onAbort(signal, abort)
      if (signal?.aborted === true) abort()
    })
  }

  /** Those who wait: the entry that is handed over for the first time in this step takes them along. */
  board(): readonly Reader[] {
    this.#together = undefined
    if (this.#waiting.length === 0) return NOBODY
    const readers = this.#waiting
    this.#waiting = []
    return readers
  }

  /** The entry of these readers was read at `position`. */
  settle(readers: readonly Reader[], position: Position): void {
    if (readers.length === 0) return
    this.#gate.pass(NO_CALLERS, () => {
      for (const reader of readers) {
        if (!this.#readers.delete(reader)) continue
        this.#freshMs = Math.max(this.#freshMs, reader.sinceMs)
        reader.settle(position)
      }
    })
  }

  /** The entry of these readers will not come any more: they wait for another one. */
  waitAgain(readers: readonly Reader[]): void {
    this.#waiting.push(...readers.filter((reader) => this.#readers.has(reader)))
  }

  /** Hands over a barrier entry for those who wait. */
  send(): void {
    const readers = this.board().filter((reader) => this.#readers.has(reader))
    if (readers.length === 0) return
    const nonce = this.#env.random.bytes(DIGEST_BYTES)
    const { identity } = this.#loop.state
    const frame = encodeControl(identity, { kind: 'barrier', nonce })
    const name = `${hex(identity)}.barrier.${hex(nonce)}`
    const parcel = this.#carrier.take({ frame, name, ordered: false, use: 'reading' })
    this.#sent.set(hex(nonce), { parcel, readers })
  }

  /** A barrier entry was read. Returns whether it was ours, and is there no more. */
  read(nonce: Bytes, position: Position): boolean {
    const name = hex(nonce)
    const sent = this.#sent.get(name)
    if (sent === undefined) return false
    this.#sent.delete(name)
    this.#carrier.arrived(sent.parcel)
    this.settle(sent.readers, position)
    return true
  }

  /** Fails those whose deadline has passed. */
  sweep(nowMs: number): void {
    for (const reader of this.#readers) {
      if (reader.deadlineMs > nowMs) continue
      this.#fail(
        reader,
        new HoldfastError('DeadlineExceeded', 'the deadline passed before the log answered a read'),
      )
    }
  }

  stop(cause: HoldfastError): void {
    for (const reader of [...this.#readers]) this.#fail(reader, cause)
    this.#waiting = []
  }

  #fail(reader: Reader, cause: HoldfastError): void {
    this.#readers.delete(reader)
    reader.fail(cause)
  }
}
