/**
 * The simulated replicated log, modelled on a NATS JetStream stream (D3): a few servers with a
 * leader, acks by a quorum, deduplication by message id within a window, replicas that lag,
 * elections of seconds. Nodes get ports (`connect`); the simulator gets the faults.
 *
 * Profiles: `durable` keeps what it acked, whatever happens to its servers. `lazy-fsync` loses what
 * a majority had not flushed when it lost power. `hostile` breaks the port's obligations when told.
 */
import { assert } from '../core/assert.ts'
import type { Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import type { Position } from '../log/log.ts'
import type { Draw } from './draw.ts'
import type { Kernel, Owner } from './kernel.ts'
import { pump, SimLogDoor, type SimLogRates, type SimLogWorld } from './sim-log-door.ts'
import type { Reaches } from './sim-log-link.ts'
import { SimLogPort, type SimLog } from './sim-log-port.ts'
import { SimServers, type SimServer } from './sim-log-servers.ts'
import { SimStream } from './sim-log-stream.ts'

export type SimLogProfile = 'durable' | 'lazy-fsync' | 'hostile'

export interface SimLogOptions {
  /** 3 by default. */
  readonly servers?: number
  /** `durable` by default. */
  readonly profile?: SimLogProfile
  /**
   * Whether a message from one name reaches another now; called with (client, server) and with
   * (server, client), servers being `log-1`, `log-2`, ... All do by default.
   */
  readonly reaches?: Reaches
  /** Mean time of one way between a client and a server; 0.5 ms by default. */
  readonly latencyMs?: number
  /** How long a message id is remembered; 2 minutes by default. */
  readonly dedupWindowMs?: number
  /** How long a client waits for an ack; 5 s by default. */
  readonly ackTimeoutMs?: number
}

const DEFAULTS = {
  servers: 3,
  profile: 'durable',
  latencyMs: 0.5,
  dedupWindowMs: 120_000,
  ackTimeoutMs: 5_000,
} as const

const CALM: SimLogRates = { lostAck: 0, doubled: 0, maxBytes: Number.POSITIVE_INFINITY }

export class SimLogCluster {
  readonly #kernel: Kernel
  readonly #profile: SimLogProfile
  readonly #ackTimeoutMs: number
  readonly #stream: SimStream
  readonly #servers: SimServers
  readonly #world: SimLogWorld
  readonly #draw: Draw

  constructor(kernel: Kernel, options: SimLogOptions = {}) {
    this.#kernel = kernel
    this.#profile = options.profile ?? DEFAULTS.profile
    this.#ackTimeoutMs = options.ackTimeoutMs ?? DEFAULTS.ackTimeoutMs
    this.#draw = kernel.random('log/faults')
    this.#stream = new SimStream(options.dedupWindowMs ?? DEFAULTS.dedupWindowMs)
    this.#servers = new SimServers(kernel, this.#stream, options.servers ?? DEFAULTS.servers, {
      applied: (server) => this.#deliver(server),
    })
    this.#world = {
      kernel,
      stream: this.#stream,
      servers: this.#servers,
      reaches: options.reaches ?? (() => true),
      latencyMs: options.latencyMs ?? DEFAULTS.latencyMs,
      rates: { ...CALM },
      trim: (below) => this.trim(below),
      links: new Set(),
      subscriptions: new Set(),
      sends: new Map(),
    }
  }

  /** A port for one incarnation: what it does happens as `owner`'s, by the clock of `env`. */
  connect(owner: Owner, env: Env, client: string): SimLog {
    const door = new SimLogDoor(this.#world, owner, client)
    return new SimLogPort(env, door, this.#ackTimeoutMs)
  }

  // What is so: for checkers, and for plans that pick what to break.

  get servers(): number {
    return this.#servers.list.length
  }

  /** The index of the server that leads, undefined when none does. */
  get leader(): number | undefined {
    return this.#servers.leader?.index
  }

  get hasQuorum(): boolean {
    return this.#servers.hasQuorum
  }

  get first(): Position {
    return this.#stream.first
  }

  get last(): Position {
    return this.#stream.last
  }

  get bytes(): number {
    return this.#stream.bytes
  }

  /** The frame committed at `position`; undefined when it is not kept. Not to be changed. */
  frameAt(position: Position): Bytes | undefined {
    return this.#stream.at(position)?.frame
  }

  /** The position up to which a server has applied: what its readers can see. */
  appliedBy(server: number): Position {
    return this.#servers.get(server).applied
  }

  // What the log is expected to survive.

  setRates(rates: Partial<SimLogRates>): void {
    this.#note(`rates ${JSON.stringify(rates)}`)
    Object.assign(this.#world.rates, rates)
  }

  /** The leader goes; the next one is elected after `electionMs`, 4 to 6 s by default. */
  stepDown(electionMs?: number): void {
    this.#note('step-down')
    this.#servers.loseLeader()
    this.#servers.elect(electionMs)
  }

  /** The server's process dies; it keeps what it has. */
  crash(server: number): void {
    this.#note(`crash ${server}`)
    this.#down(this.#servers.get(server), 'reset')
    this.#servers.review()
  }

  restart(server: number): void {
    this.#note(`restart ${server}`)
    this.#servers.get(server).up = true
    this.#servers.review()
  }

  /** Cuts a server from the other servers; clients still reach it, and it answers from what it has. */
  isolate(server: number): void {
    this.#note(`isolate ${server}`)
    const found = this.#servers.get(server)
    found.isolated = true
    this.#servers.interrupt(found)
    this.#servers.review()
  }

  rejoin(server: number): void {
    this.#note(`rejoin ${server}`)
    const found = this.#servers.get(server)
    found.isolated = false
    found.believesUntilMs = 0
    this.#servers.review()
  }

  /** From now on the server applies what is committed `lagMs` late or later; leading, it does not. */
  lag(server: number, lagMs: number): void {
    this.#note(`lag ${server} ${lagMs}`)
    const found = this.#servers.get(server)
    found.lagMs = lagMs
    this.#servers.interrupt(found)
    this.#servers.catchUp(found)
  }

  /** The server takes `factor` times as long; leading, it commits so much slower. */
  slow(server: number, factor: number): void {
    this.#note(`slow ${server} ${factor}`)
    this.#servers.get(server).slowness = factor
  }

  /** Entries below `below` are no longer kept. */
  trim(below: Position): void {
    this.#note(`trim ${below}`)
    this.#stream.trim(below)
    for (const { index } of this.#servers.list) this.#deliver(this.#servers.get(index))
  }

  /** Message ids are forgotten before their time. */
  forgetIds(): void {
    this.#note('forget-ids')
    this.#stream.forgetIds()
  }

  /** Breaks the connections of one client, or of all: its appends under way may arrive or not. */
  disconnect(client?: string): void {
    this.#note(`disconnect ${client ?? 'all'}`)
    for (const link of this.#world.links) {
      if (client === undefined || link.client === client) link.breakOff('reset')
    }
  }

  /**
   * Servers lose power at once, and stay down until `restart`. With `lazy-fsync`, when they are a
   * majority, the log goes back to what one of them had flushed.
   * @returns the newest position there is now
   */
  powerLoss(servers: readonly number[]): Position {
    this.#note(`power-loss ${servers.join()}`)
    const lost = servers.map((server) => this.#servers.get(server))
    for (const server of lost) this.#down(server, 'cut')
    this.#servers.review()
    if (lost.length === this.servers) this.#servers.forgetProposals()
    if (this.#profile === 'lazy-fsync' && lost.length * 2 > this.servers) {
      this.#stream.truncate(this.#servers.flushed(this.#draw.pick(lost)))
      this.#servers.regress()
    }
    return this.#stream.last
  }

  /** Every server up, connected, as quick as ever, and no message faring badly. */
  heal(): void {
    this.#note('heal')
    Object.assign(this.#world.rates, CALM)
    for (const server of this.#servers.list) {
      Object.assign(server, {
        up: true,
        isolated: false,
        slowness: 1,
        lagMs: 0,
        believesUntilMs: 0,
      })
      this.#servers.interrupt(server)
    }
    this.#servers.review()
  }

  // What no log may do: `hostile` only.

  /** The stream is empty and gives positions from 1 again. */
  reset(): void {
    this.#hostile('reset')
    this.#stream.reset()
    this.#servers.regress()
    for (const server of this.#servers.list) server.diverged = new Map()
    for (const link of this.#world.links) link.breakOff('reset')
  }

  /** Entries from `from` on change places: who read them before and who after see other orders. */
  rewrite(from: Position): void {
    this.#hostile(`rewrite ${from}`)
    this.#stream.rewrite(from)
  }

  /** One server has the entries from `from` on in another order than the others: its readers see it. */
  diverge(server: number, from: Position): void {
    this.#hostile(`diverge ${server} ${from}`)
    this.#servers.get(server).diverged = this.#stream.rotated(from)
  }

  /** Entries from `from` to `to` are not there, and readers are not told. */
  gap(from: Position, to: Position): void {
    this.#hostile(`gap ${from} ${to}`)
    this.#stream.gap(from, to)
  }

  #hostile(what: string): void {
    assert(this.#profile === 'hostile', `only a hostile log does this: ${what}`)
    this.#note(what)
  }

  #down(server: SimServer, how: 'reset' | 'cut'): void {
    server.up = false
    this.#servers.interrupt(server)
    for (const link of this.#world.links) if (link.server === server) link.breakOff(how)
  }

  #deliver(server: SimServer): void {
    for (const subscription of this.#world.subscriptions) {
      if (subscription.link.server === server) pump(this.#world, subscription)
    }
  }

  #note(what: string): void {
    this.#kernel.note(`log ${what}`)
  }
}
