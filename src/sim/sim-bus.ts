/**
 * The Bus over the simulated network, with the manners of NATS core: each bus learns what the others
 * listen to some time after they began, sends to those it knows of, and loses what the network
 * loses. Messages on one subject keep their order; others pass them. Interest outlives a cut link by
 * `routeTimeoutMs`: until then a request to the other side waits for its deadline, from then on it
 * has no responder.
 */
import { copyBytes, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import {
  checkMessage,
  checkPattern,
  checkSubject,
  matchesSubject,
  type Bus,
  type BusMessage,
  type BusSubscription,
  type MessageHandler,
  type OnBusError,
  type RequestHandler,
  type RequestOptions,
} from '../bus/bus.ts'
import { messageCaller, requestCaller, type PendingRequest } from '../bus/handlers.ts'
import { Queue, QUEUE_LIMIT } from '../bus/queue.ts'
import { busClosed, Requests } from '../bus/requests.ts'
import type { Owner } from './kernel.ts'
import type { SimNetwork } from './sim-network.ts'

export interface SimBusOptions {
  /** Messages that wait for one subscription at the most. Default 4,096. */
  readonly queueLimit?: number
  /** After this long without a link, others are no longer sent to. Default 2,000 ms. */
  readonly routeTimeoutMs?: number
}

/** Interest that was not confirmed is announced again after this long. */
const ANNOUNCE_AGAIN_MS = 250
/** Subjects whose matches one set of patterns remembers. */
const REMEMBERED_SUBJECTS = 1_000

/** The buses of one simulated network. */
export class SimBuses {
  readonly network: SimNetwork
  readonly queueLimit: number
  readonly routeTimeoutMs: number
  readonly #buses = new Set<SimBus>()
  #dropped = 0

  constructor(network: SimNetwork, options: SimBusOptions = {}) {
    this.network = network
    this.queueLimit = options.queueLimit ?? QUEUE_LIMIT
    this.routeTimeoutMs = options.routeTimeoutMs ?? 2_000
  }

  /** Messages dropped by full queues, of all buses. */
  get dropped(): number {
    return this.#dropped
  }

  /**
   * The bus of an incarnation, which is on a machine of the network. Resolves once it knows what the
   * others it reaches listen to.
   */
  async connect(owner: Owner, env: Env, onError: OnBusError = () => undefined): Promise<Bus> {
    const onDrop = (): void => {
      this.#dropped++
    }
    const bus = new SimBus(this, owner, env, onError, onDrop)
    this.#buses.add(bus)
    await bus.flush()
    return bus
  }

  /** All that are open, those of dead incarnations apart. */
  living(): SimBus[] {
    for (const bus of this.#buses) if (bus.ended) this.#buses.delete(bus)
    return [...this.#buses]
  }
}

/** What one bus listens to, as told to the others. Never changed. */
class Interest {
  static readonly none = new Interest(0, [], [])
  readonly version: number
  readonly #subscribed: readonly string[]
  readonly #served: readonly string[]
  readonly #known = new Map<string, { subscribed: boolean; served: boolean }>()

  constructor(version: number, subscribed: readonly string[], served: readonly string[]) {
    this.version = version
    this.#subscribed = subscribed
    this.#served = served
  }

  in(subject: string): { readonly subscribed: boolean; readonly served: boolean } {
    let known = this.#known.get(subject)
    if (known === undefined) {
      const matches = (pattern: string): boolean => matchesSubject(pattern, subject)
      known = { subscribed: this.#subscribed.some(matches), served: this.#served.some(matches) }
      if (this.#known.size >= REMEMBERED_SUBJECTS) this.#known.clear()
      this.#known.set(subject, known)
    }
    return known
  }
}

/** What a bus knows of another, and the other of it. */
interface Peer {
  /** The other's, as far as it came here. */
  interest: Interest
  /** The version of this one's that the other confirmed. */
  confirmed: number
  /** When it was first found dead without having said so. */
  deadSinceMs: number | undefined
}

interface Matches {
  readonly subscriptions: readonly Queue<BusMessage>[]
  readonly servers: readonly Queue<PendingRequest>[]
}

interface Flush {
  readonly version: number
  readonly resolve: () => void
}

class SimBus implements Bus {
  readonly owner: Owner
  readonly #buses: SimBuses
  readonly #network: SimNetwork
  readonly #env: Env
  readonly #onError: OnBusError
  readonly #onDrop: () => void
  /** Choices made so far, by subject. */
  readonly #picks = new Map<string, number>()
  readonly #subscriptions = new Set<Queue<BusMessage>>()
  readonly #servers = new Set<Queue<PendingRequest>>()
  /** Which queues a subject goes to; forgotten when one is opened or closed. */
  readonly #matches = new Map<string, Matches>()
  readonly #peers = new Map<SimBus, Peer>()
  readonly #requests: Requests
  readonly #flushes = new Set<Flush>()
  #interest = Interest.none
  #announcing = false
  #closed = false

  constructor(buses: SimBuses, owner: Owner, env: Env, onError: OnBusError, onDrop: () => void) {
    this.#buses = buses
    this.#network = buses.network
    this.owner = owner
    this.#env = env
    this.#onError = onError
    this.#onDrop = onDrop
    this.#requests = new Requests(env)
  }

  get ended(): boolean {
    return this.#closed || !this.owner.alive
  }

  publish(subject: string, bytes: Bytes): void {
    this.#check(subject, bytes)
    let message: BusMessage | undefined
    for (const bus of this.#known()) {
      if (!this.#interestOf(bus).in(subject).subscribed) continue
      const kept = (message ??= { subject, bytes: copyBytes(bytes) })
      this.#send(bus, subject, () => bus.#receive(kept))
    }
  }

  subscribe(pattern: string, handler: MessageHandler): BusSubscription {
    return this.#add(this.#subscriptions, pattern, messageCaller(handler, this.#onError))
  }

  serve(pattern: string, handler: RequestHandler): BusSubscription {
    return this.#add(this.#servers, pattern, requestCaller(handler, this.#onError))
  }

  request(subject: string, bytes: Bytes, options: RequestOptions): Promise<Bytes> {
    return this.#requests.ask(subject, bytes, options, () => {
      const served = this.#known().filter((bus) => this.#interestOf(bus).in(subject).served)
      if (served.length === 0) throw new HoldfastError('NoResponder', `nobody serves ${subject}`)
      const server = this.#pick(subject, served)
      const back = (settle: () => void): void => server.#send(this, `${subject} answer`, settle)
      return ({ answer, fail }) => {
        const pending: PendingRequest = {
          subject,
          bytes: copyBytes(bytes),
          answer: (reply) => back(() => answer(reply)),
          fail: (error) => back(() => fail(error)),
        }
        this.#send(server, `${subject} request`, () => server.#take(pending))
      }
    })
  }

  flush(): Promise<void> {
    if (this.#closed) return Promise.reject(busClosed())
    // A new version, so that even what is known goes there and back once.
    this.#changed()
    const { version } = this.#interest
    return new Promise((resolve) => {
      this.#flushes.add({ version, resolve })
    })
  }

  close(): Promise<void> {
    this.#closed = true
    for (const queue of [...this.#subscriptions, ...this.#servers]) queue.close()
    this.#requests.close()
    for (const { resolve } of this.#flushes) resolve()
    this.#flushes.clear()
    return Promise.resolve()
  }

  #add<T extends BusMessage>(
    home: Set<Queue<T>>,
    pattern: string,
    handle: (message: T) => void,
  ): BusSubscription {
    if (this.#closed) throw busClosed()
    checkPattern(pattern)
    const queue = new Queue<T>(pattern, {
      env: this.#env,
      limit: this.#buses.queueLimit,
      handle,
      onDrop: this.#onDrop,
      onClose: () => {
        if (home.delete(queue) && !this.#closed) this.#changed()
      },
    })
    home.add(queue)
    this.#changed()
    return queue
  }

  #send(to: SimBus, label: string, deliver: () => void): void {
    this.#network.send(this.owner, to.owner, `bus ${label}`, deliver, { stream: label })
  }

  #receive(message: BusMessage): void {
    for (const queue of this.#matching(message.subject).subscriptions) queue.push(message)
  }

  /** Nobody says so when none is left: the asker did not know yet. */
  #take(request: PendingRequest): void {
    const { servers } = this.#matching(request.subject)
    if (servers.length > 0) this.#pick(request.subject, servers).push(request)
  }

  #matching(subject: string): Matches {
    let matches = this.#matches.get(subject)
    if (matches === undefined) {
      const isOne = ({ pattern }: { pattern: string }): boolean => matchesSubject(pattern, subject)
      matches = {
        subscriptions: [...this.#subscriptions].filter(isOne),
        servers: [...this.#servers].filter(isOne),
      }
      if (this.#matches.size >= REMEMBERED_SUBJECTS) this.#matches.clear()
      this.#matches.set(subject, matches)
    }
    return matches
  }

  #pick<T>(subject: string, list: readonly T[]): T {
    const number = this.#picks.get(subject) ?? 0
    this.#picks.set(subject, number + 1)
    return this.#network.kernel.random(`bus/${this.owner.name}/${subject}/${number}`).pick(list)
  }

  // Interest: each bus announces its own to each other one, again and again until it is confirmed.

  #changed(): void {
    const patterns = (queues: Iterable<{ pattern: string }>): string[] => [
      ...new Set([...queues].map(({ pattern }) => pattern)),
    ]
    this.#matches.clear()
    this.#interest = new Interest(
      this.#interest.version + 1,
      patterns(this.#subscriptions),
      patterns(this.#servers),
    )
    if (this.#announcing) return
    this.#announcing = true
    const { kernel } = this.#network
    // As the world: the server beside a paused node goes on.
    kernel.after(0, 'bus announce', kernel.world, () => this.#announce())
  }

  #announce(): void {
    this.#announcing = false
    if (this.ended) return
    const { kernel } = this.#network
    const { version } = this.#interest
    let unconfirmed = false
    for (const bus of this.#buses.living()) {
      if (bus === this || this.#peer(bus).confirmed >= version) continue
      unconfirmed = true
      this.#tell(bus)
    }
    this.#settleFlushes()
    if (!unconfirmed) return
    kernel.after(ANNOUNCE_AGAIN_MS, 'bus announce again', kernel.world, () => {
      if (this.#interest.version === version) this.#announce()
    })
  }

  /** There and back: the answer brings the other's interest. */
  #tell(bus: SimBus): void {
    const interest = this.#interest
    const { kernel } = this.#network
    const options = { stream: 'interest', runsAs: kernel.world }
    const there = (): void => {
      bus.#learn(this, interest)
      const answer = bus.#interest
      const back = (): void => {
        this.#learn(bus, answer)
        const peer = this.#peer(bus)
        peer.confirmed = Math.max(peer.confirmed, interest.version)
        this.#settleFlushes()
      }
      this.#network.send(bus.owner, this.owner, 'bus interest confirmed', back, options)
    }
    this.#network.send(this.owner, bus.owner, 'bus interest', there, options)
  }

  #learn(bus: SimBus, interest: Interest): void {
    const peer = this.#peer(bus)
    if (interest.version > peer.interest.version) peer.interest = interest
  }

  /** A flush waits for those that can be reached; the others learn when they can. */
  #settleFlushes(): void {
    if (this.#flushes.size === 0) return
    const reached = this.#buses.living().filter((bus) => bus !== this && this.#reaches(bus))
    const confirmed = Math.min(...reached.map((bus) => this.#peer(bus).confirmed))
    const { kernel } = this.#network
    for (const flush of this.#flushes) {
      if (flush.version > confirmed) continue
      this.#flushes.delete(flush)
      kernel.after(0, 'bus flushed', this.owner, flush.resolve)
    }
  }

  #reaches(bus: SimBus): boolean {
    const [here, there] = [this.#machine, bus.#machine]
    return this.#network.reaches(here, there) && this.#network.reaches(there, here)
  }

  #peer(bus: SimBus): Peer {
    let peer = this.#peers.get(bus)
    if (peer === undefined) {
      peer = { interest: Interest.none, confirmed: 0, deadSinceMs: undefined }
      this.#peers.set(bus, peer)
    }
    return peer
  }

  #interestOf(bus: SimBus): Interest {
    return bus === this ? this.#interest : this.#peer(bus).interest
  }

  /** Those that this bus would send to: itself, and the others it has not given up. */
  #known(): SimBus[] {
    const known: SimBus[] = [this]
    for (const [bus, peer] of this.#peers) {
      if (this.#isGivenUp(bus, peer)) {
        if (bus.ended) this.#peers.delete(bus)
      } else known.push(bus)
    }
    return known
  }

  #isGivenUp(bus: SimBus, peer: Peer): boolean {
    if (bus.#closed || this.#network.hasLeft(bus.owner)) return true
    const { nowMs } = this.#network.kernel
    if (!bus.owner.alive) peer.deadSinceMs ??= nowMs
    const [here, there] = [this.#machine, bus.#machine]
    const since = [
      peer.deadSinceMs,
      this.#network.cutSinceMs(here, there),
      this.#network.cutSinceMs(there, here),
    ]
    return since.some((ms) => ms !== undefined && nowMs - ms >= this.#buses.routeTimeoutMs)
  }

  get #machine(): string {
    return this.#network.machineOf(this.owner)
  }

  #check(subject: string, bytes: Bytes): void {
    if (this.#closed) throw busClosed()
    checkSubject(subject)
    checkMessage(bytes)
  }
}
