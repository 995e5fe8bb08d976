/**
 * Keeps the log that nodes share small (S8). Each round looks at what the log keeps: when its tail
 * has grown too long, this node says in the log what it has flushed (release.ts); and what the log
 * released by the words of enough nodes is let go. Every node does this; none has to.
 *
 *   extent ── released beyond its first ──▶ trim
 *      └───── longer than the tail ───────▶ this node's word, as an entry
 */
import { fromHex, hex } from '../core/bytes.ts'
import type { Cancel, Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { encodeControl } from '../log/entry-codec.ts'
import type { Log, LogExtent, LogRoom, Position } from '../log/log.ts'
import type { Store } from '../store/store.ts'
import type { ApplyLoop } from './apply-loop.ts'
import { flushedByAll } from './release.ts'

/** What the log keeps although every node has it, so that those away for a while find it there. */
export interface LogTail {
  /** Default 64 MiB, and never more than half of what the log may have. */
  readonly bytes?: number | undefined
  /** Default 100,000. */
  readonly entries?: number | undefined
  /**
   * How many nodes must have an entry on their disks before the log lets it go. Default 2: a log
   * that a single node reads is then never trimmed.
   */
  readonly copies?: number | undefined
}

const MiB = 1024 * 1024
const TAIL = { bytes: 64 * MiB, entries: 100_000, copies: 2 } as const
/** Of what a log may have, what its tail takes at the most. */
const TAIL_SHARE = 0.5
/** A tail is cut once it is longer by this share, so that words are few. */
const SLACK = 0.25
/** From here on a log is trimmed by any entry that can go. */
const PRESSING_SHARE = 0.8
const ROUND_MS = 1_000

/** Throws `InvalidArgument` for a tail that cannot be. */
export function checkTail(tail: LogTail | undefined): void {
  for (const [name, value] of Object.entries(tail ?? {}) as [string, unknown][]) {
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= 1)) continue
    throw new HoldfastError('InvalidArgument', `${name} of logTail is a whole number from 1`)
  }
}

interface Parts {
  readonly env: Env
  readonly log: Log
  readonly loop: ApplyLoop
  readonly store: Store
  /** This node's, in hex. */
  readonly id: string
  /** Whether this node may have another history than the others: its copy is then none of theirs. */
  readonly isInDoubt: () => boolean
}

export class LogTrimmer {
  readonly #node: Parts
  readonly #tail: Required<{ [K in keyof LogTail]: number }>
  #cancel: Cancel = () => undefined
  #stopped = false
  /** What was applied at the last look, and whether that left something to be done. */
  #seen: Position = 0
  #isDue = true

  constructor(node: Parts, tail: LogTail) {
    this.#node = node
    const { bytes = TAIL.bytes, entries = TAIL.entries, copies = TAIL.copies } = tail
    this.#tail = { bytes, entries, copies }
  }

  start(): void {
    const { room } = this.#node.log
    if (room !== undefined) this.#later(room)
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  #later(room: LogRoom): void {
    const { env, loop } = this.#node
    if (this.#stopped || loop.halted !== undefined) return
    this.#cancel = env.timers.after(
      ROUND_MS,
      () => {
        this.#round(room).then(
          () => this.#later(room),
          (cause: unknown) => {
            // A log that has no leader, or no room even for this, is asked again.
            if (isHoldfastError(cause) && cause.kind !== 'bug') this.#later(room)
            else loop.halt(cause)
          },
        )
      },
      'background',
    )
  }

  async #round(room: LogRoom): Promise<void> {
    const { loop, store, isInDoubt } = this.#node
    if (loop.flushed === this.#seen && !this.#isDue) return
    this.#seen = loop.flushed
    this.#isDue = true
    let extent = await room.extent()
    if (this.#stopped || loop.halted !== undefined || isInDoubt()) return
    // It lost entries, or an old answer says so: what is left of it must stay, and its places free.
    if (extent.last < this.#seen) return
    const { released, position } = loop.state
    if (released > extent.first) {
      // What the log lets go is on this disk at least, whatever became of those that said so.
      await loop.reached(position)
      await store.flush()
      await room.trim(released)
      extent = await room.extent()
    }
    const below = this.#tailStart(extent)
    // What a store in memory has is no copy.
    if (store.durability !== 'memory') await this.#tell(below)
    this.#isDue = below > extent.first
  }

  /** Where the tail should begin; the first position while it is not too long. */
  #tailStart({ first, last, bytes, maxBytes }: LogExtent): Position {
    const entries = last + 1 - first
    if (entries <= 0) return first
    const tailBytes = Math.min(this.#tail.bytes, TAIL_SHARE * maxBytes)
    // By the mean size of an entry: what that misses, the next rounds see.
    const keep = Math.min(this.#tail.entries, Math.floor((entries * tailBytes) / bytes))
    const slack = bytes > PRESSING_SHARE * maxBytes ? 0 : SLACK * keep
    return entries > keep + slack ? last + 1 - Math.max(1, keep) : first
  }

  /** This node's word, when it changes what the log can let go, now or with the words of others. */
  async #tell(below: Position): Promise<void> {
    const { log, loop, store, id } = this.#node
    const { copies } = this.#tail
    const { released, flushedBy, identity, position } = loop.state
    const { flushed } = loop
    const known = flushedBy.get(id) ?? 0
    const isMissing = known < below && flushed > Math.max(known, released)
    const isEnough = flushedByAll(flushedBy, copies) >= released
    if (below <= released || !(isMissing || isEnough)) return
    const node = fromHex(id)
    await store.flush()
    const frame = encodeControl(identity, { kind: 'release', node, flushed, below, copies })
    // A word that was forgotten is said again: the log's servers must not take it for the first one.
    await log.append(frame, `${hex(identity)}.release.${id}.${flushed}.${position}`, 'upkeep')
  }
}
