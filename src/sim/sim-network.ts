/**
 * The simulated network (D3): machines by name, and between each two a link either way with its own
 * delays. What happens to a message is drawn under the label of its link, its own label and its
 * number among those, so that taking one message out moves the fate of few others.
 *
 * A message in flight when its link is cut is lost. One to a dead incarnation vanishes, one to a
 * paused one waits.
 */
import { assert, must } from '../core/assert.ts'
import type { Cancel } from '../core/env.ts'
import type { Kernel, Owner } from './kernel.ts'
import { lossUnder, type Partition } from './partition.ts'

/** Probabilities, of each message. */
export interface FaultRates {
  readonly loss: number
  /** Comes twice. Messages of a stream never do, as over TCP. */
  readonly duplication: number
  /** Comes so much later that others pass it. Within a stream none does. */
  readonly reordering: number
}

export interface NetworkOptions {
  /** Each link draws its shortest delay between these. Default 0.1 to 1 ms. */
  readonly baseMs?: readonly [number, number]
  /** Mean of the exponential part, added to each delay. Default 0.2 ms. */
  readonly jitterMs?: number
  /** How often a delay is of the heavy tail (Pareto, at least `tailMs`). Default 0.001. */
  readonly tailChance?: number
  /** Default 20 ms; the tail ends at 100 times as much. */
  readonly tailMs?: number
  /** A delay beyond this is counted as late. Default 100 ms. */
  readonly lateMs?: number
  /** From the beginning, and after each `heal`. Default: none. */
  readonly rates?: Partial<FaultRates>
}

/** What really happened, not what was likely to. */
export interface NetworkCounts {
  sent: number
  delivered: number
  /** By a draw: loss, or a flaky partition. */
  lost: number
  /** By a link that was cut at its sending or while it was in flight. */
  cut: number
  duplicated: number
  /** Came after one that was sent later on the same link. */
  reordered: number
  /** Took longer than `lateMs`. */
  late: number
  /** Sent on a slow link. */
  slowed: number
  /** Connections: nobody listened, the other end died, or no answer came in time. */
  refused: number
  reset: number
  timedOut: number
}

export interface SendOptions {
  /** Messages of one stream between two incarnations come in order, and at most once. */
  readonly stream?: string
  /** Whose event the delivery is. Default: the receiving incarnation. */
  readonly runsAs?: Owner
}

const PARETO_SHAPE = 1.5
const TAIL_LIMIT = 100
/** How far a reordered message falls behind: in delays of its link. */
const REORDER_SPREAD = 10
/** From a machine to itself, in milliseconds. */
const LOOPBACK_BASE_MS = 0.01
const NO_RATES: FaultRates = { loss: 0, duplication: 0, reordering: 0 }

interface Link {
  readonly from: string
  readonly to: string
  readonly name: string
  readonly baseMs: number
  /** Messages so far by label. */
  readonly numbers: Map<string, number>
  sent: number
  /** The latest sent of those that arrived. */
  newest: number
  /** What troubles do to it; as of `revision`. */
  revision: number
  cutSinceMs: number | undefined
  flaky: number
  factor: number
}

/** The next event of a stream takes its oldest message, whatever order the events come in. */
interface Stream {
  readonly waiting: Flight[]
  lastMs: number
}

/** What a message was drawn to meet. */
interface Fate {
  readonly lost: boolean
  /** Among the messages of its link. */
  readonly order: number
  readonly delayMs: number
  /** Of its copies. */
  readonly againMs: readonly number[]
  arrived: boolean
}

interface Flight {
  readonly link: Link
  readonly fate: Fate
  readonly sentMs: number
  /** As of its sending. */
  readonly revision: number
  readonly arrivesMs: number
  readonly deliver: () => void
}

interface Cut {
  readonly shape: Partition
  readonly startMs: number
  readonly revision: number
}

interface Slow {
  readonly from: string | undefined
  readonly to: string | undefined
  readonly factor: number
}

export class SimNetwork {
  readonly kernel: Kernel
  readonly counts: NetworkCounts = {
    sent: 0,
    delivered: 0,
    lost: 0,
    cut: 0,
    duplicated: 0,
    reordered: 0,
    late: 0,
    slowed: 0,
    refused: 0,
    reset: 0,
    timedOut: 0,
  }
  readonly #options: Required<Omit<NetworkOptions, 'rates'>>
  readonly #calmRates: FaultRates
  #rates: FaultRates
  readonly #hosts = new Map<string, Owner>()
  readonly #machines = new WeakMap<Owner, string>()
  readonly #links = new Map<string, Map<string, Link>>()
  readonly #streams = new WeakMap<Owner, Map<string, Stream>>()
  readonly #partitions = new Set<Cut>()
  readonly #slows = new Set<Slow>()
  readonly #disturbances = new Set<Partial<FaultRates>>()
  /** Every partition so far, the latest first: what is in flight when one begins is lost. */
  readonly #history: Cut[] = []
  readonly #left = new WeakSet<Owner>()
  readonly #onLeave = new Map<Owner, Set<() => void>>()
  #revision = 0

  constructor(kernel: Kernel, options: NetworkOptions = {}) {
    this.kernel = kernel
    this.#options = {
      baseMs: options.baseMs ?? [0.1, 1],
      jitterMs: options.jitterMs ?? 0.2,
      tailChance: options.tailChance ?? 0.001,
      tailMs: options.tailMs ?? 20,
      lateMs: options.lateMs ?? 100,
    }
    this.#calmRates = { ...NO_RATES, ...options.rates }
    this.#rates = this.#calmRates
  }

  /** `owner` is the incarnation that runs on `machine` from now on. */
  attach(machine: string, owner: Owner): void {
    assert(this.host(machine) === undefined, () => `two incarnations run on ${machine}`)
    this.#hosts.set(machine, owner)
    this.#machines.set(owner, machine)
  }

  /**
   * The process of `owner` ended, and its machine says so: connections to it are reset. Not to be
   * called for a machine that lost its power: then the others hear nothing.
   */
  leave(owner: Owner): void {
    this.#left.add(owner)
    const callbacks = this.#onLeave.get(owner) ?? []
    this.#onLeave.delete(owner)
    for (const callback of callbacks) callback()
  }

  hasLeft(owner: Owner): boolean {
    return this.#left.has(owner)
  }

  /** Calls `callback` when `owner` leaves. */
  onLeave(owner: Owner, callback: () => void): Cancel {
    const callbacks = this.#onLeave.get(owner) ?? new Set()
    this.#onLeave.set(owner, callbacks.add(callback))
    return () => {
      callbacks.delete(callback)
    }
  }

  /** The living incarnation on a machine. */
  host(machine: string): Owner | undefined {
    const owner = this.#hosts.get(machine)
    return owner?.alive === true ? owner : undefined
  }

  machineOf(owner: Owner): string {
    return must(this.#machines.get(owner), `${owner.name} is on no machine of the network`)
  }

  // Troubles. Each gives what ends it alone; they add up.

  partition(shape: Partition): Cancel {
    this.kernel.note(`net partition ${JSON.stringify(shape)}`)
    const cut = { shape, startMs: this.kernel.nowMs, revision: this.#revision + 1 }
    this.#history.unshift(cut)
    return this.#trouble(this.#partitions, cut)
  }

  /** Cuts the way from one machine to another; the way back stays open. */
  cut(from: string, to: string): Cancel {
    return this.partition({ kind: 'one-way', from: [from], to: [to] })
  }

  /** Multiplies the delays of the links from, to, or between the machines named. */
  slow(where: { readonly from?: string; readonly to?: string }, factor: number): Cancel {
    this.kernel.note(`net slow ${JSON.stringify(where)} ${factor}`)
    return this.#trouble(this.#slows, { from: where.from, to: where.to, factor })
  }

  /** Sets rates on all links; of several for one rate the highest counts. */
  disturb(rates: Partial<FaultRates>): Cancel {
    this.kernel.note(`net disturb ${JSON.stringify(rates)}`)
    return this.#trouble(this.#disturbances, { ...rates })
  }

  /** Ends all troubles. */
  heal(): void {
    this.kernel.note('net heal')
    for (const troubles of [this.#partitions, this.#slows, this.#disturbances]) troubles.clear()
    this.#changed()
  }

  /** Whether a message may come through now, loss apart. */
  reaches(from: string, to: string): boolean {
    return this.cutSinceMs(from, to) === undefined
  }

  /** When the way from one to the other was cut, in true time; undefined: it is open. */
  cutSinceMs(from: string, to: string): number | undefined {
    return this.#link(from, to).cutSinceMs
  }

  // Messages

  /**
   * Sends one message, which may be lost, or come twice or late. `label` names it in the trace and
   * in its draws; `deliver` then runs as `to`.
   */
  send(
    from: Owner,
    to: Owner,
    label: string,
    deliver: () => void,
    options: SendOptions = {},
  ): void {
    if (!from.alive || !to.alive) return
    const link = this.#link(this.machineOf(from), this.machineOf(to))
    const fate = this.#fate(link, label)
    if (fate.lost) return
    const { stream, runsAs = to } = options
    const { name } = link
    if (stream !== undefined) {
      const queue = this.#stream(from, to, stream)
      queue.lastMs = Math.max(queue.lastMs, this.kernel.nowMs + fate.delayMs)
      const flight = this.#flight(link, fate, queue.lastMs, deliver)
      queue.waiting.push(flight)
      this.kernel.after(queue.lastMs - this.kernel.nowMs, `${name} ${label}`, runsAs, () =>
        this.#next(from, to, stream),
      )
      return
    }
    for (const delayMs of [fate.delayMs, ...fate.againMs]) {
      const flight = this.#flight(link, fate, this.kernel.nowMs + delayMs, deliver)
      this.kernel.after(delayMs, `${name} ${label}`, runsAs, () => {
        if (this.#arrives(flight)) deliver()
      })
    }
  }

  /**
   * One packet below a connection: `arrived` or `lost` is called once, as the world, `lost` at once
   * if it is known at once.
   */
  transmit(from: string, to: string, label: string, arrived: () => void, lost: () => void): void {
    const link = this.#link(from, to)
    const fate = this.#fate(link, label)
    if (fate.lost) return lost()
    const { kernel } = this
    const flight = this.#flight(link, fate, kernel.nowMs + fate.delayMs, arrived)
    kernel.after(fate.delayMs, `${link.name} ${label}`, kernel.world, () =>
      this.#arrives(flight) ? arrived() : lost(),
    )
  }

  #flight(link: Link, fate: Fate, arrivesMs: number, deliver: () => void): Flight {
    const { revision } = link
    return { link, fate, sentMs: this.kernel.nowMs, revision, arrivesMs, deliver }
  }

  #stream(from: Owner, to: Owner, name: string): Stream {
    const streams = this.#streams.get(to) ?? new Map<string, Stream>()
    this.#streams.set(to, streams)
    const key = `${from.name} ${name}`
    const stream = streams.get(key) ?? { waiting: [], lastMs: 0 }
    streams.set(key, stream)
    return stream
  }

  #next(from: Owner, to: Owner, name: string): void {
    const { waiting } = this.#stream(from, to, name)
    const flight = must(waiting.shift(), 'a stream has one event for each message')
    // A stream with nothing in flight has no order to keep.
    if (waiting.length === 0) this.#streams.get(to)?.delete(`${from.name} ${name}`)
    if (this.#arrives(flight)) flight.deliver()
  }

  /** All draws are made, whatever the rates: other rates change no other draw. */
  #fate(link: Link, label: string): Fate {
    const number = link.numbers.get(label) ?? 0
    link.numbers.set(label, number + 1)
    const { counts } = this
    counts.sent++
    const order = ++link.sent
    const draw = this.kernel.random(`net/${link.name}/${label}/${number}`)
    const [loss, flaky, reordering, duplication] = [
      draw.float(),
      draw.float(),
      draw.float(),
      draw.float(),
    ]
    const delays = [this.#delay(link, draw), this.#delay(link, draw)] as const
    const behindMs = draw.exponential(REORDER_SPREAD * (link.baseMs + this.#options.jitterMs))
    const rates = link.from === link.to ? NO_RATES : this.#rates
    const cut = link.cutSinceMs !== undefined
    const lost = cut || loss < rates.loss || flaky < link.flaky
    if (cut) counts.cut++
    else if (lost) counts.lost++
    else if (link.factor !== 1) counts.slowed++
    const delayMs = delays[0] + (reordering < rates.reordering ? behindMs * link.factor : 0)
    const againMs = duplication < rates.duplication ? [delays[1]] : []
    return { lost, order, delayMs, againMs, arrived: false }
  }

  #delay(link: Link, draw: { float(): number; exponential(mean: number): number }): number {
    const { jitterMs, tailChance, tailMs } = this.#options
    const jitter = draw.exponential(jitterMs)
    const [isTail, far] = [draw.float() < tailChance, draw.float()]
    if (link.from === link.to) return link.baseMs
    const tail = isTail ? tailMs * Math.min(TAIL_LIMIT, (1 - far) ** (-1 / PARETO_SHAPE)) : 0
    return (link.baseMs + jitter + tail) * link.factor
  }

  /** Whether what was in flight is there; counts it. */
  #arrives({ link, fate, sentMs, revision, arrivesMs }: Flight): boolean {
    const { counts } = this
    for (const cut of this.#history) {
      if (cut.revision <= revision) break
      if (cut.startMs <= arrivesMs && lossUnder(cut.shape, link.from, link.to) === 1) {
        counts.cut++
        return false
      }
    }
    counts.delivered++
    if (fate.arrived) counts.duplicated++
    else if (fate.order < link.newest) counts.reordered++
    fate.arrived = true
    link.newest = Math.max(link.newest, fate.order)
    if (arrivesMs - sentMs > this.#options.lateMs) counts.late++
    return true
  }

  #trouble<T>(troubles: Set<T>, trouble: T): Cancel {
    troubles.add(trouble)
    this.#changed()
    return () => {
      if (!troubles.delete(trouble)) return
      this.kernel.note('net trouble ends')
      this.#changed()
    }
  }

  #changed(): void {
    this.#revision++
    const all = [this.#calmRates, ...this.#disturbances]
    const highest = (rate: keyof FaultRates): number => Math.max(...all.map((r) => r[rate] ?? 0))
    this.#rates = {
      loss: highest('loss'),
      duplication: highest('duplication'),
      reordering: highest('reordering'),
    }
  }

  #link(from: string, to: string): Link {
    let links = this.#links.get(from)
    if (links === undefined) this.#links.set(from, (links = new Map<string, Link>()))
    let link = links.get(to)
    if (link === undefined) links.set(to, (link = this.#newLink(from, to)))
    if (link.revision !== this.#revision) this.#refresh(link)
    return link
  }

  #newLink(from: string, to: string): Link {
    const name = `${from}>${to}`
    const [least, most] = this.#options.baseMs
    const drawn = least + this.kernel.random(`net/link/${name}`).float() * (most - least)
    return {
      from,
      to,
      name,
      baseMs: from === to ? LOOPBACK_BASE_MS : drawn,
      numbers: new Map(),
      sent: 0,
      newest: 0,
      revision: -1,
      cutSinceMs: undefined,
      flaky: 0,
      factor: 1,
    }
  }

  #refresh(link: Link): void {
    link.revision = this.#revision
    link.cutSinceMs = undefined
    link.flaky = 0
    link.factor = 1
    for (const { shape, startMs } of this.#partitions) {
      const loss = lossUnder(shape, link.from, link.to)
      // The first of several is the one that cut it.
      if (loss === 1) link.cutSinceMs ??= startMs
      else link.flaky = Math.max(link.flaky, loss)
    }
    if (link.from === link.to) return
    for (const { from, to, factor } of this.#slows) {
      if ((from ?? link.from) === link.from && (to ?? link.to) === link.to) link.factor *= factor
    }
  }
}
