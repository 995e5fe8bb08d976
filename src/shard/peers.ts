/**
 * A node among the others of its cluster: it tells them how far it is, keeps a membership of what they
 * tell (C1), and compares histories with them (S7). While those differ, or a peer stopped at a
 * position that this node has not reached, nothing is acked; outvoted, it halts.
 */
import type { Bus } from '../bus/bus.ts'
import type { Heartbeat, Mark } from '../cluster/heartbeat.ts'
import { FIXED_EVERY, Histories, type Divergence } from '../cluster/histories.ts'
import type { Member } from '../cluster/membership.ts'
import { Pulse } from '../cluster/pulse.ts'
import { hex } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { VERSION } from '../core/version.ts'
import type { Log, Position } from '../log/log.ts'
import type { Applied, ApplyListener, ApplyLoop } from './apply-loop.ts'
import type { Proposer } from './proposer.ts'

interface PeersParts {
  readonly env: Env
  readonly bus: Bus
  readonly log: Log
  readonly loop: ApplyLoop
  readonly proposer: Proposer
  readonly told: Told
  readonly now: () => Moving
}

/** What a node tells of itself for as long as it runs; ids in hex. */
interface Told {
  readonly id: string
  readonly incarnation: string
  readonly name: string
  readonly startedMs: number
}

/** And what changes. */
export interface Moving {
  readonly stalenessMs: number
  readonly url: string | undefined
  readonly durability: string
}

/** Fixed positions whose marks are remembered, and told. */
const FIXED_KEPT = 64
const FIXED_TOLD = 4
/** Before the first entry. */
const NOWHERE: Mark = { position: 0, entries: '', decisions: '' }

export class Peers implements ApplyListener {
  readonly #parts: PeersParts
  readonly #histories: Histories
  readonly #pulse: Pulse
  readonly #fixed = new Map<Position, Mark>()
  #withholds = false

  constructor(parts: PeersParts) {
    const { env, bus, loop, told } = parts
    this.#parts = parts
    const own = {
      get flushed(): Position {
        return loop.flushed
      },
      at: (position: Position) => this.#at(position),
    }
    this.#histories = new Histories(own)
    this.#pulse = new Pulse({
      env,
      bus,
      incarnation: told.incarnation,
      heartbeat: (leaves) => this.#heartbeat(leaves),
      heard: (heartbeat) => this.#heard(heartbeat),
      ticked: () => this.#review(),
    })
    loop.listen(this)
  }

  start(): void {
    this.#pulse.start()
  }

  stop(): void {
    this.#pulse.stop()
  }

  members(): Member[] {
    return this.#pulse.members()
  }

  /** What this node tells of itself. */
  own(): Heartbeat {
    return this.#heartbeat(false)
  }

  /** Whether nothing is acked, because histories are in doubt. */
  get withholds(): boolean {
    return this.#withholds
  }

  applied({ position }: Applied): void {
    if (position % FIXED_EVERY === 0) this.#keep(position)
    if (this.#withholds) this.#review()
  }

  halted(): void {
    this.#pulse.beat()
  }

  #heard(heartbeat: Heartbeat): void {
    // A copy of this node's folder elsewhere has no vote beside this one's.
    if (heartbeat.node === this.#parts.told.id) return
    // What a node of another log has is no other history of this one.
    if (heartbeat.log === this.#log) this.#histories.heard(heartbeat)
    else this.#histories.forget(heartbeat.node)
    this.#review()
  }

  #review(): void {
    const { env, loop, proposer, told } = this.#parts
    if (loop.halted !== undefined) return
    const others = this.members()
      .filter(({ state }) => state !== 'dead')
      .filter(({ heartbeat }) => heartbeat.node !== told.id && heartbeat.log === this.#log)
      .map(({ heartbeat }) => heartbeat.node)
    const divergence = this.#histories.judge(env.clock.monotonicMs(), others)
    if (divergence !== undefined) {
      loop.halt(diverged(divergence))
      return
    }
    const { withholds } = this.#histories
    if (withholds === this.#withholds) return
    this.#withholds = withholds
    proposer.withhold(withholds)
  }

  get #log(): string {
    const { shards, identity } = this.#parts.loop.state
    return shards === 0 ? '' : hex(identity)
  }

  #keep(position: Position): void {
    const mark = this.#at(position)
    if (mark === undefined) return
    this.#fixed.set(position, mark)
    for (const oldest of this.#fixed.keys()) {
      if (this.#fixed.size <= FIXED_KEPT) break
      this.#fixed.delete(oldest)
    }
  }

  #at(position: Position): Mark | undefined {
    const { loop } = this.#parts
    if (position > loop.flushed) return undefined
    const link = loop.state.recent.at(position)
    if (link === undefined) return this.#fixed.get(position)
    return { position, entries: hex(link.entryChain), decisions: hex(link.decisionChain) }
  }

  #heartbeat(leaves: boolean): Heartbeat {
    const { log, loop, proposer, told, now } = this.#parts
    const { stalenessMs, ...moving } = now()
    const { id, ...constant } = told
    const { halted } = loop
    return {
      ...constant,
      node: id,
      version: VERSION,
      log: this.#log,
      leaves,
      ...moving,
      last: Math.max(log.last(), loop.flushed),
      stalenessMs: Number.isFinite(stalenessMs) ? Math.max(0, stalenessMs) : undefined,
      logSilentMs: Math.max(0, halted === undefined ? proposer.silentMs : 0),
      halted: halted && { code: halted.code, message: halted.message },
      at: this.#at(loop.flushed) ?? NOWHERE,
      marks: [...[...this.#fixed.values()].slice(-FIXED_TOLD), ...this.#histories.disputed()],
    }
  }
}

function diverged({ position, agree, differ }: Divergence): HoldfastError {
  const others = agree.length === 0 ? 'none' : agree.join(', ')
  return new HoldfastError(
    'HistoryDiverged',
    `at position ${position} this node has another history than ${differ.join(', ')}; ` +
      `nodes that have the same: ${others}`,
    { details: { position, agree, differ } },
  )
}
