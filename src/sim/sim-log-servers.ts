/**
 * The servers of a simulated log: who leads, who is left to form a quorum, what each has applied.
 * Raft itself is not simulated, only what it lets others see. A leader commits in the order of
 * arrival, in groups, once a quorum has them. When it is lost nobody leads for some seconds, and of
 * what it had not committed a prefix may turn up in the next leader's log.
 */
import { must } from '../core/assert.ts'
import type { Bytes } from '../core/bytes.ts'
import type { Cancel } from '../core/env.ts'
import type { Position } from '../log/log.ts'
import type { Draw } from './draw.ts'
import type { Kernel } from './kernel.ts'
import type { SimStream, StoredEntry } from './sim-log-stream.ts'

/** JetStream's elections as measured: 4 to 6 s from losing a leader to having the next. */
const ELECTION_MS = [4_000, 6_000] as const
/** A leader without a quorum notices after 10 to 20 s: it looks each 10 s for 10 s of silence. */
const NOTICE_MS = [10_000, 20_000] as const
/** Mean time until a quorum has written a group of entries. */
const QUORUM_MS = 1.5
/** Mean time until another replica has applied what was committed. */
const REPLICATION_MS = 1
/** How often a server with `lazy-fsync` flushes. */
const LAZY_FLUSH_MS = 120_000

export interface SimServer {
  readonly index: number
  readonly name: string
  readonly draw: Draw
  up: boolean
  /** Cut from the other servers; clients may still reach it. */
  isolated: boolean
  /** It takes this many times as long for everything. */
  slowness: number
  /** It applies what was committed no sooner than this. */
  lagMs: number
  applied: Position
  /** Until then a deposed leader takes appends that it can never commit. */
  believesUntilMs: number
  catchingUp: Cancel | undefined
  /** Of a hostile log: what this server has in place of what the others have. */
  diverged: ReadonlyMap<Position, StoredEntry>
}

export interface Proposal {
  readonly frame: Bytes
  readonly messageId: string
  /** Called once it has its place; never when its leader was lost before. */
  readonly committed: (position: Position) => void
}

interface Hooks {
  /** The server has applied more, or of an engine that lost entries less. */
  applied(server: SimServer): void
}

export class SimServers {
  readonly list: readonly SimServer[]
  readonly #kernel: Kernel
  readonly #stream: SimStream
  readonly #hooks: Hooks
  readonly #draw: Draw
  #leader: SimServer | undefined
  /** Rises with every loss of a leader: what was scheduled for an earlier one is void. */
  #term = 0
  #electing = false
  #noticing = false
  #queue: Proposal[] = []
  #committing: Proposal[] = []
  /** Of a lost leader: a prefix of these may still be committed by the next. */
  #orphans: Proposal[] = []
  readonly #inFlight = new Set<string>()

  constructor(kernel: Kernel, stream: SimStream, count: number, hooks: Hooks) {
    this.#kernel = kernel
    this.#stream = stream
    this.#hooks = hooks
    this.#draw = kernel.random('log/servers')
    this.list = Array.from({ length: count }, (_, index) => ({
      index,
      name: `log-${index + 1}`,
      draw: kernel.random(`log/server/${index}`),
      up: true,
      isolated: false,
      slowness: 1,
      lagMs: 0,
      applied: 0,
      believesUntilMs: 0,
      catchingUp: undefined,
      diverged: new Map(),
    }))
    this.#leader = this.#draw.pick(this.list)
  }

  get leader(): SimServer | undefined {
    return this.#leader
  }

  get(index: number): SimServer {
    return must(this.list[index], `there is a log server ${index}`)
  }

  /** Enough servers are up and see each other. */
  get hasQuorum(): boolean {
    return this.#core().length * 2 > this.list.length
  }

  isInFlight(messageId: string): boolean {
    return this.#inFlight.has(messageId)
  }

  /** Only while there is a leader. */
  propose(proposal: Proposal): void {
    this.#queue.push(proposal)
    this.#inFlight.add(proposal.messageId)
    this.#commitSoon()
  }

  /** After any change to a server: who leads now, and who will. */
  review(): void {
    const leader = this.#leader
    if (leader !== undefined) {
      if (!leader.up) this.loseLeader()
      else if (leader.isolated) {
        leader.believesUntilMs = this.#kernel.nowMs + this.#draw.int(...NOTICE_MS)
        this.loseLeader()
      } else if (this.hasQuorum) this.#commitSoon()
      else this.#noticeLater()
    }
    if (this.#leader === undefined && this.hasQuorum) this.elect(this.#draw.int(...ELECTION_MS))
    for (const server of this.list) this.catchUp(server)
  }

  loseLeader(): void {
    this.#term++
    this.#leader = undefined
    this.#orphans.push(...this.#committing, ...this.#queue)
    this.#committing = []
    this.#queue = []
  }

  /** The servers forget what was under way: all of them lost power. */
  forgetProposals(): void {
    this.#orphans = []
    this.#inFlight.clear()
  }

  elect(afterMs: number = this.#draw.int(...ELECTION_MS)): void {
    if (this.#electing) return
    this.#electing = true
    this.#kernel.after(afterMs, 'log election', this.#kernel.world, () => {
      this.#electing = false
      if (this.#leader === undefined && this.hasQuorum) this.#win(this.#draw.pick(this.#core()))
    })
  }

  #win(server: SimServer): void {
    this.#leader = server
    this.#kernel.note(`log leader ${server.index}`)
    this.#stream.rebuildIds()
    const survive = this.#orphans.slice(0, this.#draw.int(0, this.#orphans.length))
    this.forgetProposals()
    for (const { frame, messageId } of survive) {
      this.#stream.append(frame, messageId, this.#kernel.nowMs)
    }
    this.#spread()
  }

  #core(): SimServer[] {
    return this.list.filter(({ up, isolated }) => up && !isolated)
  }

  #noticeLater(): void {
    if (this.#noticing) return
    this.#noticing = true
    this.#kernel.after(this.#draw.int(...NOTICE_MS), 'log notice', this.#kernel.world, () => {
      this.#noticing = false
      if (this.#leader !== undefined && !this.hasQuorum) this.loseLeader()
      this.review()
    })
  }

  #commitSoon(): void {
    const leader = this.#leader
    if (leader === undefined || this.#committing.length > 0 || !this.hasQuorum) return
    if (this.#queue.length === 0) return
    this.#committing = this.#queue
    this.#queue = []
    const term = this.#term
    const takesMs = leader.draw.exponential(QUORUM_MS) * leader.slowness
    this.#kernel.after(takesMs, 'log commit', this.#kernel.world, () => {
      if (term === this.#term) this.#commit()
    })
  }

  #commit(): void {
    const group = this.#committing
    this.#committing = []
    if (!this.hasQuorum) {
      this.#queue = [...group, ...this.#queue]
      return
    }
    for (const { frame, messageId, committed } of group) {
      this.#inFlight.delete(messageId)
      committed(this.#stream.append(frame, messageId, this.#kernel.nowMs))
    }
    this.#spread()
    this.#commitSoon()
  }

  /** The leader has applied at once what it committed, the others follow. */
  #spread(): void {
    const leader = this.#leader
    if (leader !== undefined) this.#apply(leader, this.#stream.last)
    for (const server of this.list) this.catchUp(server)
  }

  #apply(server: SimServer, position: Position): void {
    server.applied = Math.min(position, this.#stream.last)
    this.#hooks.applied(server)
  }

  catchUp(server: SimServer): void {
    if (server.catchingUp !== undefined) return
    if (!server.up || server.isolated || server.applied >= this.#stream.last) return
    const target = this.#stream.last
    const takesMs = server.lagMs + server.draw.exponential(REPLICATION_MS) * server.slowness
    server.catchingUp = this.#kernel.after(takesMs, 'log replicate', this.#kernel.world, () => {
      server.catchingUp = undefined
      this.#apply(server, target)
      this.catchUp(server)
    })
  }

  /** Stops what a server was about to apply: it is down, cut off, or has another lag. */
  interrupt(server: SimServer): void {
    server.catchingUp?.()
    server.catchingUp = undefined
  }

  /** After entries were lost or replaced: no server has more than there is. */
  regress(): void {
    for (const server of this.list) server.applied = Math.min(server.applied, this.#stream.last)
  }

  /** What a lazy server had flushed by now: each flushes at its own times. */
  flushed(server: SimServer): Position {
    const phase = (server.index * LAZY_FLUSH_MS) / this.list.length
    const rounds = Math.floor((this.#kernel.nowMs - phase) / LAZY_FLUSH_MS)
    return this.#stream.committedBy(rounds * LAZY_FLUSH_MS + phase)
  }
}
