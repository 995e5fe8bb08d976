/** One who uses the simulated system from outside, one operation after another. */
import { HoldfastError } from '../core/errors.ts'
import { connectionError, virtualFetch } from './app/virtual-fetch.ts'
import type { Draw } from './draw.ts'
import type { Owner } from './kernel.ts'
import { settled, type Outcome } from './outcome.ts'
import type { SimNode } from './sim-node.ts'
import type { SimulatedNode, World } from './world.ts'

export interface Counts {
  acked: number
  failed: number
  unknown: number
  /** Operations begun while no fault was there, and those of them that succeeded. */
  calm: number
  calmAcked: number
  /** Checks made, and those that ran out of their budget. */
  checks: number
  unknownChecks: number
}

/** Milliseconds an operation of a client may take: more than a call's own deadline. */
export const OPERATION_MS = 20_000

export interface OperationOptions {
  /** Virtual milliseconds until the client gives up on it. Default 20,000. */
  readonly deadlineMs?: number
}

/** The run that a client is part of. */
interface ClientHome<Api> {
  readonly world: World<Api>
  readonly nodes: readonly [SimNode<Api>, ...SimNode<Api>[]]
  readonly counts: Counts
  random(label: string): Draw
  sleep(ms: number): Promise<void>
  underWay<T>(text: string, work: () => Promise<T>): Promise<T>
}

export class SimClient<Api = unknown> {
  readonly name: string
  readonly random: Draw
  readonly #sim: ClientHome<Api>
  readonly #owner: Owner
  readonly #fetch: typeof globalThis.fetch

  constructor(sim: ClientHome<Api>, owner: Owner) {
    this.#sim = sim
    this.#owner = owner
    this.name = owner.name
    this.random = sim.random(owner.name)
    this.#fetch = virtualFetch({
      owner,
      self: owner.name,
      nodes: sim.nodes.map(({ name }) => name),
      transport: sim.world.transport,
      hosts: {},
      alive: () => undefined,
      turn: () => sim.sleep(0),
    })
  }

  sleep(ms: number): Promise<void> {
    return this.#sim.sleep(ms)
  }

  /** Draws that depend on the seed, this client and `label` alone. */
  drawOf(label: string): Draw {
    return this.random.fork(label)
  }

  /** Any node, drawn. */
  node(): SimNode<Api> {
    return this.random.pick(this.#sim.nodes)
  }

  /**
   * Does one operation on one node, and says what became of it: done, refused with nothing applied,
   * or unknown. It is in the timeline as `text`, and counted.
   */
  async operation<T>(
    text: string,
    node: SimNode<Api>,
    work: (node: SimulatedNode<Api>) => T | Promise<T>,
    options: OperationOptions = {},
  ): Promise<Outcome<T>> {
    const { deadlineMs = OPERATION_MS } = options
    return this.#tracked(`${text} at ${node.name}`, {
      work: () => node.call(work),
      judge: () => 'done',
      deadlineMs,
      late: () => new HoldfastError('OutcomeUnknown', `no answer in ${deadlineMs} ms`),
    })
  }

  /**
   * Asks the app on a node (any, when none is given) over the network. Rejects with the TypeError
   * `fetch failed` when there is no answer, after 20 virtual seconds at the latest: what was asked
   * for may then have happened, or may yet. An answer of 400 or more is counted as a refusal.
   */
  async fetch(
    path: string,
    init?: RequestInit,
    node: SimNode<Api> = this.node(),
  ): Promise<Response> {
    const text = `${init?.method ?? 'GET'} ${path} at ${node.name}`
    const outcome = await this.#tracked(text, {
      work: () => this.#fetch(new URL(path, `http://${node.name}`), init),
      judge: ({ status }) => (status < 400 ? `${status}` : new Refused(`status ${status}`)),
      deadlineMs: OPERATION_MS,
      late: () => {
        const cause = connectionError('UND_ERR_HEADERS_TIMEOUT', node.name)
        return new TypeError('fetch failed', { cause })
      },
    })
    if (outcome.kind === 'ok') return outcome.value
    throw outcome.error
  }

  async #tracked<T>(
    text: string,
    { work, judge, deadlineMs, late }: Tracked<T>,
  ): Promise<Outcome<T>> {
    const { world, counts } = this.#sim
    const { kernel, timeline } = world
    const isCalm = world.isCalm
    const startMs = kernel.nowMs
    const outcome = await this.#sim.underWay(`${this.name}: ${text}`, () =>
      settled(this.#deadline(work(), deadlineMs, late)),
    )
    const said = outcome.kind === 'ok' ? judge(outcome.value) : String(outcome.error)
    const isAcked = outcome.kind === 'ok' && typeof said === 'string'
    const took = `${(kernel.nowMs - startMs).toFixed(1)} ms`
    const label = outcome.kind === 'ok' && !isAcked ? 'refused' : outcome.kind
    timeline.add(kernel.nowMs, this.name, `${text}: ${label}, ${String(said)} (${took})`)
    kernel.note(`${this.name} ${outcome.kind}`)
    if (isAcked) counts.acked++
    else if (outcome.kind === 'unknown') counts.unknown++
    else counts.failed++
    // Faults that began meanwhile excuse it.
    if (isCalm && world.isCalm) {
      counts.calm++
      if (outcome.kind !== 'unknown') counts.calmAcked++
    }
    return outcome
  }

  #deadline<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
    const { kernel } = this.#sim.world
    return new Promise((resolve, reject) => {
      const cancel = kernel.after(ms, 'give-up', this.#owner, () => reject(late()))
      work.finally(cancel).then(resolve, reject)
    })
  }
}

interface Tracked<T> {
  readonly work: () => Promise<T>
  readonly judge: (value: T) => string | Refused
  readonly deadlineMs: number
  /** What it rejects with at its deadline. */
  readonly late: () => Error
}

/** An answer that says no. */
class Refused {
  readonly #why: string

  constructor(why: string) {
    this.#why = why
  }

  toString(): string {
    return this.#why
  }
}
