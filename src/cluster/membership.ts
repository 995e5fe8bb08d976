/**
 * Who takes part, as one node sees it (C1): soft state from heartbeats, made anew at each start. No
 * promise rests on it: it says whom to ask first, and what to show.
 *
 *   heard ──▶ alive ── φ ≥ 8 ──▶ suspect ── silent for 10 s ──▶ dead ── an hour ──▶ forgotten
 *               ▲─────────────── heard again ──────────────────┘
 */
import type { Heartbeat } from './heartbeat.ts'
import { Arrivals } from './phi.ts'

export type MemberState = 'alive' | 'suspect' | 'dead'

export interface Member {
  readonly heartbeat: Heartbeat
  readonly state: MemberState
  /** φ: how unlikely it is that another heartbeat is still to come. */
  readonly suspicion: number
  readonly silentMs: number
}

const SUSPECT_PHI = 8
/** Milliseconds; as long as calls wait for a log that is silent. */
export const DEAD_MS = 10_000
const FORGET_MS = 3_600_000
/** Periods without a tick after which whoever ticks was paused itself. */
const PAUSED_PERIODS = 3

interface Known {
  heartbeat: Heartbeat
  arrivals: Arrivals
}

export class Membership {
  readonly #everyMs: number
  readonly #known = new Map<string, Known>()
  #tickedMs: number | undefined

  /** `everyMs`: how often heartbeats are sent, and `ticked` is called. */
  constructor(everyMs: number) {
    this.#everyMs = everyMs
  }

  /** Of another node. */
  heard(heartbeat: Heartbeat, nowMs: number): void {
    this.#excuse(nowMs)
    const { node, incarnation, leaves } = heartbeat
    const known = this.#known.get(node)
    if (leaves) {
      if (known?.heartbeat.incarnation === incarnation) this.#known.delete(node)
      return
    }
    if (known?.heartbeat.incarnation === incarnation) {
      known.arrivals.arrived(nowMs, stateOf(known.arrivals, nowMs) === 'alive')
      known.heartbeat = heartbeat
    } else {
      this.#known.set(node, { heartbeat, arrivals: new Arrivals(this.#everyMs, nowMs) })
    }
  }

  ticked(nowMs: number): void {
    this.#excuse(nowMs)
    this.#tickedMs = nowMs
    for (const [node, { arrivals }] of this.#known) {
      if (arrivals.silentMs(nowMs) >= FORGET_MS) this.#known.delete(node)
    }
  }

  /** All that are not forgotten, by their names. */
  members(nowMs: number): Member[] {
    this.#excuse(nowMs)
    const members = [...this.#known.values()].map(({ heartbeat, arrivals }) => ({
      heartbeat,
      state: stateOf(arrivals, nowMs),
      suspicion: arrivals.phi(nowMs),
      silentMs: arrivals.silentMs(nowMs),
    }))
    const nameOf = ({ heartbeat }: Member): string => `${heartbeat.name} ${heartbeat.node}`
    return members.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  }

  /** A node that stood still itself heard nobody: what had been sent to it comes now. */
  #excuse(nowMs: number): void {
    if (this.#tickedMs === undefined) return
    const awayMs = nowMs - this.#tickedMs
    if (awayMs < PAUSED_PERIODS * this.#everyMs) return
    this.#tickedMs = nowMs
    for (const { arrivals } of this.#known.values()) arrivals.excuse(awayMs)
  }
}

function stateOf(arrivals: Arrivals, nowMs: number): MemberState {
  if (arrivals.phi(nowMs) < SUSPECT_PHI) return 'alive'
  return arrivals.silentMs(nowMs) < DEAD_MS ? 'suspect' : 'dead'
}
