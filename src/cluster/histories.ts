/**
 * Whether the nodes that read one log have one history (S7). Each tells both its chains at positions,
 * its newest one among them. Where a peer has something else, the nodes are counted: who is in the
 * majority goes on, who is not halts.
 *
 *   a peer's mark differs ──▶ disputed ─┬─ more than half have what this node has ──▶ goes on
 *                                       └─ else, after 5 s ──▶ halts
 *
 * A chain folds all that was before. So who has what this node has at one position had it at every
 * earlier one, and who has something else has it at every later one: nodes that speak of different
 * positions can be counted together.
 */
import type { Position } from '../log/log.ts'
import type { Heartbeat, Mark } from './heartbeat.ts'

/** What this node has. */
export interface OwnHistory {
  readonly flushed: Position
  /** Both chains at a position that is flushed; undefined where they are not remembered. */
  at(position: Position): Mark | undefined
}

/** This node is not in the majority. */
export interface Divergence {
  readonly position: Position
  /** Names of the nodes that have what this one has, and of the others. */
  readonly agree: readonly string[]
  readonly differ: readonly string[]
}

/** Positions at which histories are compared whenever they come by. */
export const FIXED_EVERY = 1_024
/** Milliseconds after which who is not in the majority halts: until then others may speak for it. */
const JUDGE_MS = 5_000
/** Milliseconds without a judgement after which this node itself stood still. */
const PAUSED_MS = 1_500
/** Marks kept of each peer that this node has not reached. */
const AHEAD_MAX = 64

interface Peer {
  readonly incarnation: string
  readonly name: string
  /** Where it stopped, if it did. */
  stoppedAt: Position | undefined
  /** What it has where this node is not yet. */
  readonly ahead: Map<Position, Mark>
  /** The newest position at which it has what this node has. */
  agreesTo: Position
  /** The oldest position at which it is known to have something else, and since when that is known. */
  differsFrom: Position
  differsSinceMs: number
  /** It was outvoted: what it says counts no more. */
  outvoted: boolean
}

export class Histories {
  readonly #own: OwnHistory
  readonly #peers = new Map<string, Peer>()
  #judgedMs = Number.POSITIVE_INFINITY

  constructor(own: OwnHistory) {
    this.#own = own
  }

  /** Of another node. */
  heard(heartbeat: Heartbeat): void {
    const { node, incarnation, halted, at, marks, leaves } = heartbeat
    if (leaves && halted === undefined) {
      this.forget(node)
      return
    }
    let peer = this.#peers.get(node)
    if (peer?.incarnation !== incarnation) this.#peers.set(node, (peer = newPeer(heartbeat)))
    peer.stoppedAt = halted === undefined ? undefined : at.position
    for (const mark of [at, ...marks]) if (mark.position > 0) peer.ahead.set(mark.position, mark)
    for (const position of peer.ahead.keys()) {
      if (peer.ahead.size <= AHEAD_MAX) break
      peer.ahead.delete(position)
    }
  }

  /** Whatever this node said: it has no history to compare any more. */
  forget(node: string): void {
    this.#peers.delete(node)
  }

  /**
   * Compares, and counts where nodes differ. `others`: the nodes whose word is waited for. Gives why
   * this node must halt, if it must.
   */
  judge(nowMs: number, others: readonly string[]): Divergence | undefined {
    this.#excuse(nowMs)
    for (const peer of this.#peers.values()) this.#compare(peer, nowMs)
    for (const { differsFrom: position, differsSinceMs } of this.#disputed()) {
      const agree = this.#counted(({ agreesTo }) => agreesTo >= position)
      const differ = this.#counted(({ differsFrom }) => differsFrom <= position)
      const [mine, said] = [1 + agree.length, 1 + agree.length + differ.length]
      const silent = others.filter((node) => !this.#speaksOf(node, position))
      // Who is ahead of this node speaks once it is reached.
      const isOver =
        nowMs - differsSinceMs >= JUDGE_MS && !silent.some((node) => this.#isAhead(node))
      const isMajority = 2 * mine > (isOver ? said : said + silent.length)
      if (isMajority) for (const peer of differ) peer.outvoted = true
      else if (isOver) return { position, agree: agree.map(nameOf), differ: differ.map(nameOf) }
    }
    return undefined
  }

  /**
   * Whether nothing may be acked: histories differ and nobody knows yet who is right, or a peer
   * stopped at a position that this node has not reached.
   */
  get withholds(): boolean {
    return (
      this.#disputed().length > 0 ||
      this.#counted(({ stoppedAt = 0 }) => stoppedAt > this.#own.flushed).length > 0
    )
  }

  /** What this node has where others have something else: told, so that they know it too. */
  disputed(): Mark[] {
    const positions = [...this.#peers.values()].map(({ differsFrom }) => differsFrom)
    return [...new Set(positions)].flatMap((position) => this.#own.at(position) ?? [])
  }

  /** What the others said while this node stood still is heard from now on. */
  #excuse(nowMs: number): void {
    const awayMs = nowMs - this.#judgedMs
    this.#judgedMs = nowMs
    if (awayMs < PAUSED_MS) return
    for (const peer of this.#peers.values()) peer.differsSinceMs += awayMs
  }

  #compare(peer: Peer, nowMs: number): void {
    for (const [position, mark] of peer.ahead) {
      if (position > this.#own.flushed) continue
      peer.ahead.delete(position)
      const own = this.#own.at(position)
      if (own === undefined) continue
      if (isSame(mark, own)) {
        peer.agreesTo = Math.max(peer.agreesTo, position)
      } else {
        if (peer.differsFrom === NEVER) peer.differsSinceMs = nowMs
        peer.differsFrom = Math.min(peer.differsFrom, position)
      }
    }
  }

  #disputed(): Peer[] {
    return this.#counted(({ differsFrom }) => differsFrom !== NEVER)
  }

  #counted(holds: (peer: Peer) => boolean): Peer[] {
    return [...this.#peers.values()].filter((peer) => !peer.outvoted && holds(peer))
  }

  #isAhead(node: string): boolean {
    return (this.#peers.get(node)?.ahead.size ?? 0) > 0
  }

  #speaksOf(node: string, position: Position): boolean {
    const peer = this.#peers.get(node)
    if (peer === undefined) return false
    return peer.agreesTo >= position || peer.differsFrom <= position
  }
}

/** No position. */
const NEVER = Number.POSITIVE_INFINITY

const newPeer = ({ incarnation, name }: Heartbeat): Peer => ({
  incarnation,
  name,
  stoppedAt: undefined,
  ahead: new Map(),
  agreesTo: 0,
  differsFrom: NEVER,
  differsSinceMs: 0,
  outvoted: false,
})

const isSame = (a: Mark, b: Mark): boolean => a.entries === b.entries && a.decisions === b.decisions

const nameOf = ({ name }: Peer): string => name
