/**
 * The two chains (S7), over entry bytes and over decisions, at the latest positions: an entry tells
 * what its proposer had at an earlier one, and a node that has something else there stops.
 */
import { equalBytes, type Bytes } from '../core/bytes.ts'
import type { Position } from '../log/log.ts'

/** Positions remembered: proposers carry one that is a few entries old. */
const KEPT = 4096

interface Link {
  readonly position: Position
  readonly entryChain: Bytes
  readonly decisionChain: Bytes
}

export class RecentChains {
  /** By position modulo `KEPT`. */
  readonly #links = new Array<Link | undefined>(KEPT).fill(undefined)

  add(position: Position, entryChain: Bytes, decisionChain: Bytes): void {
    this.#links[position % KEPT] = { position, entryChain, decisionChain }
  }

  /** The chain over entry bytes at a position; undefined when it is no longer kept. */
  entryChainAt(position: Position): Bytes | undefined {
    const link = this.#links[position % KEPT]
    return link?.position === position ? link.entryChain : undefined
  }

  /** Whether another history is known at that position; what is no longer kept disagrees with none. */
  disagrees(other: Link): boolean {
    const own = this.#links[other.position % KEPT]
    if (own?.position !== other.position) return false
    return (
      !equalBytes(own.entryChain, other.entryChain) ||
      !equalBytes(own.decisionChain, other.decisionChain)
    )
  }
}
