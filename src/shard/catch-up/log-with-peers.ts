/**
 * A log that was trimmed, with what peers keep of it: whoever follows it sees one log without a gap.
 * When the next entry is no longer in the log, it comes from a peer's store, and once those are there
 * that the log still has, from the log again.
 *
 *   log ── LogTrimmed ──▶ peers: entries, proved ──▶ follower ── up to the log's first ──▶ log
 *
 * Fails with `LogTrimmed` when no peer that answers has the entries.
 */
import type { Bus } from '../../bus/bus.ts'
import type { Bytes } from '../../core/bytes.ts'
import { delay, type Env } from '../../core/env.ts'
import { HoldfastError, isHoldfastError } from '../../core/errors.ts'
import type {
  Appended,
  EntryUse,
  Log,
  LogFollower,
  LogRoom,
  Position,
  Unfollow,
} from '../../log/log.ts'
import type { ApplyLoop } from '../apply-loop.ts'
import { EntryProof, type Proved } from './entry-proof.ts'
import { askForEntries, findPeers, isOfHistory, type Offer } from './peers.ts'

/** How long peers are looked for while none gives anything. */
const PATIENCE_MS = 15_000
const RETRY_MS = 500

export interface PeerParts {
  readonly env: Env
  readonly log: Log
  readonly bus: Bus
  /** Follows this log: what it has applied is what peers' entries must go on from. */
  readonly loop: ApplyLoop
  /** This one's. */
  readonly incarnation: string
}

export class LogWithPeers implements Log {
  readonly durability: Log['durability']
  readonly room: LogRoom | undefined
  /** Entries that peers gave, so far. */
  fromPeers = 0
  readonly #parts: PeerParts

  constructor(parts: PeerParts) {
    this.#parts = parts
    this.durability = parts.log.durability
    this.room = parts.log.room
  }

  last(): Position {
    return this.#parts.log.last()
  }

  append(frame: Bytes, messageId: string, use?: EntryUse): Promise<Appended> {
    return this.#parts.log.append(frame, messageId, use)
  }

  follow(from: Position, follower: LogFollower): Unfollow {
    const following = new Following(this.#parts, follower, (entries) => {
      this.fromPeers += entries
    })
    following.follow(from)
    return () => following.stop()
  }

  close(): Promise<void> {
    return this.#parts.log.close()
  }
}

class Following {
  readonly #parts: PeerParts
  readonly #follower: LogFollower
  #unfollow: Unfollow = () => undefined
  #stopped = false

  readonly #counted: (entries: number) => void

  constructor(parts: PeerParts, follower: LogFollower, counted: (entries: number) => void) {
    this.#parts = parts
    this.#follower = follower
    this.#counted = counted
  }

  follow(from: Position): void {
    if (this.#stopped) return
    this.#unfollow = this.#parts.log.follow(from, {
      entry: (position, frame) => this.#follower.entry(position, frame),
      failed: (cause) => {
        if (isHoldfastError(cause, 'LogTrimmed')) void this.#catchUp(cause)
        else this.#follower.failed(cause)
      },
    })
  }

  stop(): void {
    this.#stopped = true
    this.#unfollow()
  }

  /** Never rejects: what goes wrong is told to the follower. */
  async #catchUp(trimmed: HoldfastError): Promise<void> {
    const { env, loop } = this.#parts
    const { position, first } = trimmed.details as { position: Position; first: Position }
    try {
      // All that was delivered is applied then, and the chain is that before `position`.
      await loop.reached(position - 1)
      const nowMs = (): number => env.clock.monotonicMs()
      for (let untilMs = nowMs() + PATIENCE_MS; !this.#stopped;) {
        const before = loop.flushed
        if (await this.#fromPeers(first)) return this.follow(loop.flushed + 1)
        if (loop.flushed > before) untilMs = nowMs() + PATIENCE_MS
        else if (nowMs() >= untilMs) throw this.#nobody(trimmed)
        await delay(env, RETRY_MS)
      }
    } catch (cause) {
      if (!this.#stopped) this.#follower.failed(cause)
    }
  }

  /** Returns whether all before `first` is applied now. */
  async #fromPeers(first: Position): Promise<boolean> {
    const { env, bus, loop, incarnation } = this.#parts
    for (const offer of await findPeers(env, bus, incarnation)) {
      if (this.#stopped) return false
      if (!this.#isOfUse(offer)) continue
      try {
        await this.#fetch(offer, first)
      } catch (cause) {
        // Whatever this peer lacks, another may have; this node's own end is told by the loop.
        if (!isHoldfastError(cause) || loop.halted !== undefined) throw cause
      }
      if (loop.flushed + 1 >= first) return true
    }
    return false
  }

  #isOfUse(offer: Offer): boolean {
    const { state } = this.#parts.loop
    const next = state.position + 1
    return isOfHistory(offer, state) && offer.oldest <= next && next <= offer.flushed
  }

  /** Applies what the peer has, up to the log's first at least, or as far as it goes. */
  async #fetch(offer: Offer, first: Position): Promise<void> {
    const { bus, loop } = this.#parts
    const { state } = loop
    const identity = state.shards === 0 ? undefined : state.identity
    const proof = new EntryProof(identity, state.position, state.entryChain)
    while (!this.#stopped && loop.flushed + 1 < first && proof.position < offer.flushed) {
      const { frames, chain } = await askForEntries(bus, offer, proof.position + 1)
      if (frames.length === 0) return
      const proved = frames.flatMap((frame) => proof.add(frame))
      if (chain.length > 0) proved.push(...proof.prove(proof.position, chain))
      await this.#deliver(proved)
    }
  }

  /** A piece at a time, so that what waits for the disk stays small. */
  async #deliver(proved: readonly Proved[]): Promise<void> {
    const newest = proved.at(-1)
    if (newest === undefined || this.#stopped) return
    for (const { position, frame } of proved) this.#follower.entry(position, frame)
    await this.#parts.loop.reached(newest.position)
    this.#counted(proved.length)
  }

  #nobody(trimmed: HoldfastError): HoldfastError {
    const { state } = this.#parts.loop
    const { first } = trimmed.details as { first: Position }
    const position = state.position + 1
    return new HoldfastError(
      'LogTrimmed',
      `entries ${position} to ${first - 1} are no longer in the log, and no node that answers has them`,
      { cause: trimmed, details: { position, first, flushedBy: [...state.flushedBy.keys()] } },
    )
  }
}
