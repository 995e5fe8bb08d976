/**
 * Entries that a peer kept, held against the history that this node knows (S7). The chain over entry
 * bytes is folded from here on; that it leads where it should is told by the entries themselves, which
 * carry what their proposers had, and by the peer, for the last one. What is not proved yet waits.
 *
 * Pure.
 */
import { equalBytes, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { digest } from '../../core/hash.ts'
import { decodeEntry, decodeGenesis, frameIdentity } from '../../log/entry-codec.ts'
import type { Position } from '../../log/log.ts'
import { parentIn, type Genesis } from '../genesis.ts'

export interface Proved {
  readonly position: Position
  readonly frame: Bytes
}

interface Folded extends Proved {
  readonly chain: Bytes
}

export class EntryProof {
  #identity: Bytes | undefined
  #position: Position
  #chain: Bytes
  /** The last place that is known to be right. */
  #proved: Omit<Folded, 'frame'>
  readonly #waiting: Folded[] = []

  /** `identity`: of the log, undefined while its genesis was not read. `chain`: at `position`. */
  constructor(identity: Bytes | undefined, position: Position, chain: Bytes) {
    this.#identity = identity
    this.#position = position
    this.#chain = chain
    this.#proved = { position, chain }
  }

  /** The last position that was added. */
  get position(): Position {
    return this.#position
  }

  /**
   * Adds the next frame, and gives those that are proved by it. Throws `EntryCorrupt` when it is
   * damaged, or shows that one before it is not what the log had.
   */
  add(frame: Bytes): Proved[] {
    const entry = decodeEntry(frame, this.#identity)
    this.#position++
    this.#chain = digest(this.#chain, frame)
    this.#waiting.push({ position: this.#position, frame, chain: this.#chain })
    if (entry?.kind === 'batch') {
      return this.prove(entry.carried.position, entry.carried.entryChain)
    }
    if (entry === undefined) this.#goOn(frame)
    return []
  }

  /** From here on entries carry the identity of the log that a genesis goes on under, if it is one. */
  #goOn(frame: Bytes): void {
    const genesis = decodeGenesis(frame)
    const parent =
      genesis?.kind === 'genesis' ? parentIn(genesis.value as unknown as Genesis) : undefined
    if (parent === undefined || this.#identity === undefined) return
    const isOurs = equalBytes(parent.identity, this.#identity)
    const at = [this.#proved, ...this.#waiting].find((one) => one.position === parent.position)
    if (isOurs && at !== undefined && equalBytes(at.chain, parent.entryChain)) {
      this.#identity = frameIdentity(frame)
    }
  }

  /** Somebody had this chain at that position. Throws `EntryCorrupt` when it is another here. */
  prove(position: Position, chain: Bytes): Proved[] {
    const at = this.#waiting.findIndex((one) => one.position === position)
    if (at < 0) return []
    if (!equalBytes((this.#waiting[at] as Folded).chain, chain)) {
      const message = `up to position ${position}, a peer has other entries than the log had`
      throw new HoldfastError('EntryCorrupt', message, { details: { position } })
    }
    this.#proved = this.#waiting[at] as Folded
    return this.#waiting.splice(0, at + 1)
  }
}
