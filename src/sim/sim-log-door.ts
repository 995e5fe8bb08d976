/** What the servers of the simulated log do for one client: connections, appends, deliveries. */
import { HoldfastError } from '../core/errors.ts'
import { ROOM_SHARE, type LogExtent, type Position } from '../log/log.ts'
import type { Draw } from './draw.ts'
import type { Kernel, Owner } from './kernel.ts'
import { Link, type Reaches } from './sim-log-link.ts'
import type { Cursor, Engine, Request, SimLogPort, Status } from './sim-log-port.ts'
import type { SimServer, SimServers } from './sim-log-servers.ts'
import type { SimStream } from './sim-log-stream.ts'

/** Bytes of entries that one delivery carries; a larger entry goes alone. */
const DELIVERY_BYTES = 256 * 1024
/** Mean time until a doubled message shows up again. */
const DOUBLED_MS = 1_000

/** How often messages fare badly, each from 0 to 1; and how much the log holds. */
export interface SimLogRates {
  /** An append is committed, and its ack is lost. */
  lostAck: number
  /** An append is committed once more later: its message id was not remembered. */
  doubled: number
  /** Bytes of frames; an append beyond its share of them is refused as `LogFull`. */
  maxBytes: number
}

export interface Subscription {
  readonly port: SimLogPort
  readonly link: Link
  readonly cursor: Cursor
  next: Position
  /** A delivery is under way: the next one follows its arrival. */
  busy: boolean
}

/** What all clients share. */
export interface SimLogWorld {
  readonly kernel: Kernel
  readonly stream: SimStream
  readonly servers: SimServers
  readonly reaches: Reaches
  readonly latencyMs: number
  readonly rates: SimLogRates
  /** Lets entries go, and tells their readers. */
  readonly trim: (below: Position) => void
  readonly links: Set<Link>
  readonly subscriptions: Set<Subscription>
  /** How often a client has sent a message: each time has draws of its own. */
  readonly sends: Map<string, number>
}

export class SimLogDoor implements Engine {
  readonly #world: SimLogWorld
  readonly #owner: Owner
  readonly #client: string
  readonly #draw: Draw

  constructor(world: SimLogWorld, owner: Owner, client: string) {
    this.#world = world
    this.#owner = owner
    this.#client = client
    this.#draw = world.kernel.random(`log/client/${owner.name}`)
  }

  dial(port: SimLogPort, current: Link | undefined): void {
    const { kernel, servers, reaches, latencyMs } = this.#world
    const others = servers.list.filter((server) => server !== current?.server)
    const server = this.#draw.pick(others.length > 0 ? others : servers.list)
    const takesMs = latencyMs + this.#draw.exponential(latencyMs)
    kernel.after(takesMs, 'log dial', this.#owner, () => {
      const { name } = server
      const heard = reaches(this.#client, name) && reaches(name, this.#client)
      if (server.up && heard) port.connected(this.#link(port, server), this.#status(server))
      else port.notConnected()
    })
  }

  publish(port: SimLogPort, link: Link, request: Request): void {
    const { kernel, sends } = this.#world
    const message = `${this.#client}/${request.messageId}`
    const count = (sends.get(message) ?? 0) + 1
    sends.set(message, count)
    const draw = kernel.random(`log/append/${message}/${count}`)
    link.up(() => this.#arrived(port, link, request, draw), draw)
  }

  subscribe(port: SimLogPort, link: Link, cursor: Cursor): void {
    const subscription = { port, link, cursor, next: cursor.next, busy: false }
    link.up(() => {
      if (!link.open) return
      this.#world.subscriptions.add(subscription)
      pump(this.#world, subscription)
    })
  }

  extent(link: Link, below: Position, answer: (extent: LogExtent) => void): void {
    const { stream, servers, rates, trim } = this.#world
    link.up(() => {
      if (!link.server.up || link.server.isolated || servers.leader === undefined) return
      if (below > 1) trim(below)
      const { first, last, bytes } = stream
      const { maxBytes } = rates
      link.down('log extent', () => answer({ first, last, bytes, maxBytes }))
    })
  }

  #link(port: SimLogPort, server: SimServer): Link {
    const { kernel, reaches, latencyMs, links, subscriptions } = this.#world
    const link: Link = new Link({
      kernel,
      owner: this.#owner,
      client: this.#client,
      server,
      reaches,
      latencyMs,
      draw: this.#draw,
      lost: () => port.lost(link),
      broken: () => {
        links.delete(link)
        for (const one of subscriptions) if (one.link === link) subscriptions.delete(one)
      },
    })
    links.add(link)
    return link
  }

  /** A connected server answers from the leader if it can, else from what it has itself. */
  #status(server: SimServer): Status {
    const { stream, servers } = this.#world
    const current = servers.leader !== undefined && !server.isolated
    return { history: stream.history, last: current ? stream.last : server.applied }
  }

  #arrived(port: SimLogPort, link: Link, request: Request, draw: Draw): void {
    const { kernel, stream, servers, rates } = this.#world
    const { server } = link
    const { frame, messageId, use } = request
    const refuse = (error: HoldfastError): void =>
      link.down('log refusal', () => port.refused(request, error), draw)
    if (!server.up) return
    if (server.isolated || servers.leader === undefined) {
      // A deposed leader that has not noticed takes it, and will never commit it.
      const swallowed = server.isolated && kernel.nowMs < server.believesUntilMs
      if (!swallowed) refuse(new HoldfastError('LogUnavailable', 'the log has no leader'))
      return
    }
    const ack = (position: Position): void => {
      if (draw.chance(rates.lostAck)) return
      const status = { history: stream.history, last: stream.last }
      link.down('log ack', () => port.acked(request, status, position), draw)
    }
    const known = stream.placeOf(messageId, kernel.nowMs)
    if (known !== undefined) ack(known)
    else if (servers.isInFlight(messageId)) {
      refuse(new HoldfastError('OutcomeUnknown', 'the same message is being committed'))
    } else if (stream.bytes + frame.length > ROOM_SHARE[use] * rates.maxBytes) {
      refuse(new HoldfastError('LogFull', `the log holds ${rates.maxBytes} bytes at the most`))
    } else {
      const committed = (position: Position): void => {
        ack(position)
        if (draw.chance(rates.doubled)) this.#double(request, draw)
      }
      servers.propose({ frame, messageId, committed })
    }
  }

  #double({ frame, messageId }: Request, draw: Draw): void {
    const { kernel, servers } = this.#world
    kernel.after(draw.exponential(DOUBLED_MS), 'log doubled', kernel.world, () => {
      if (servers.leader === undefined) return
      servers.propose({ frame, messageId, committed: () => undefined })
    })
  }
}

/** Delivers what its server has applied and it has not got. */
export function pump(world: SimLogWorld, subscription: Subscription): void {
  const { stream, subscriptions } = world
  const { port, link, cursor, next } = subscription
  if (!link.open || !link.owner.alive || cursor.ended) {
    subscriptions.delete(subscription)
    return
  }
  if (subscription.busy) return
  if (next < stream.first) {
    subscriptions.delete(subscription)
    const { first } = stream
    link.down('log trimmed', () => port.trimmed(cursor, first))
    return
  }
  const applied = Math.min(link.server.applied, stream.last)
  const { diverged } = link.server
  const entries = stream
    .slice(next, applied, DELIVERY_BYTES)
    .map((entry) => diverged.get(entry.position) ?? entry)
  const newest = entries.at(-1)
  if (newest === undefined) return
  subscription.next = newest.position + 1
  subscription.busy = true
  const status = { history: stream.history, last: newest.position }
  link.down('log delivery', () => {
    subscription.busy = false
    port.deliver(cursor, status, entries)
    pump(world, subscription)
  })
}
