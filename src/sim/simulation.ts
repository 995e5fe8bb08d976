/** What the driver of a run holds: nodes, clients, virtual time, healing, and its verdicts. */
import { must } from '../core/assert.ts'
import type { Cancel } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { ambientOf, type Ambient } from './ambient.ts'
import { connectionError, virtualFetch } from './app/virtual-fetch.ts'
import type { Verdict } from './check/verdict.ts'
import type { Draw } from './draw.ts'
import type { Fault } from './fault-plan.ts'
import type { Owner } from './kernel.ts'
import type { Machine } from './machine.ts'
import { checkFault, checkPartition } from './fault-check.ts'
import type { Partition } from './partition.ts'
import type { Plan } from './plan.ts'
import { RunFailed, told } from './run-failed.ts'
import { machineClock, simEnv } from './sim-env.ts'
import type { SimulatedNode, World } from './world.ts'

/** A property that did not hold. */
export interface Violation {
  /** A stable name: `linearizability`, `exactly-once:lost`, or the user's own. */
  readonly property: string
  readonly message: string
  /** When it was seen, and words that the timeline around it is searched for. */
  readonly atMs: number
  readonly words: readonly string[]
  /** What was thrown, if anything was. */
  readonly cause?: unknown
}

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

export type Outcome<T> =
  | { readonly kind: 'ok'; readonly value: T }
  /** It was said, with a code, that nothing was applied. */
  | { readonly kind: 'failed'; readonly error: HoldfastError }
  | { readonly kind: 'unknown'; readonly error: unknown }

/** Milliseconds an operation of a client may take: more than a call's own deadline. */
const OPERATION_MS = 20_000
/** Operations under way that are named when a run stands still. */
const NAMED_MAX = 5

export interface EventuallyOptions {
  /** Virtual milliseconds in which it must come to hold. Default 10,000. */
  readonly withinMs?: number
  /** Virtual milliseconds between two looks. Default 100. */
  readonly everyMs?: number
}

export class Simulation<Api = unknown> {
  readonly plan: Plan
  readonly world: World<Api>
  readonly nodes: readonly [SimNode<Api>, ...SimNode<Api>[]]
  readonly counts: Counts = {
    acked: 0,
    failed: 0,
    unknown: 0,
    calm: 0,
    calmAcked: 0,
    checks: 0,
    unknownChecks: 0,
  }
  readonly violations: Violation[] = []
  readonly #driver: Owner
  readonly #seen: Set<string>
  readonly #underWay = new Set<string>()
  #clients = 0
  #isHealed = false
  #self: SimClient<Api> | undefined

  constructor(plan: Plan, world: World<Api>, driver: Owner, seen: Set<string>) {
    this.plan = plan
    this.world = world
    this.#driver = driver
    this.#seen = seen
    world.kernel.setAmbient(driver, this.#ambient(driver))
    const [first, ...others] = world.machines.map((machine) => new SimNode(machine, world))
    this.nodes = [must(first, 'a world has a node'), ...others]
    const { limitMs } = world
    if (limitMs !== undefined) {
      world.kernel.after(limitMs, 'limit', world.kernel.world, () => this.#standsStill(limitMs))
    }
  }

  get seed(): number {
    return this.plan.seed
  }

  /** True virtual time in milliseconds, from 0. */
  get nowMs(): number {
    return this.world.kernel.nowMs
  }

  get isHealed(): boolean {
    return this.#isHealed
  }

  /** Draws that depend on the seed and `label` alone. */
  random(label: string): Draw {
    return this.world.kernel.random(`user/${label}`)
  }

  sleep(ms: number): Promise<void> {
    const { kernel } = this.world
    return new Promise((resolve) => {
      kernel.after(Math.max(0, ms), 'sleep', kernel.current ?? this.#driver, resolve)
    })
  }

  /** Runs `count` clients at the same time, each with its own randomness; resolves when all are done. */
  async clients(
    count: number,
    run: (client: SimClient<Api>) => void | Promise<void>,
  ): Promise<void> {
    const { kernel, network } = this.world
    const all = Array.from({ length: count }, () => {
      const owner = kernel.owner(`client-${++this.#clients}`)
      network.attach(owner.name, owner)
      kernel.setAmbient(owner, this.#ambient(owner))
      const client = new SimClient(this, owner)
      return this.underWay(`${owner.name} of sim.clients`, () =>
        kernel.as(owner, async () => run(client)),
      )
    })
    await Promise.all(all)
  }

  /** Does `work`, which is named when the run ends, or stands still, before it is done. */
  async underWay<T>(text: string, work: () => Promise<T>): Promise<T> {
    const named = `${text}, since ${(this.nowMs / 1000).toFixed(3)}s`
    this.#underWay.add(named)
    try {
      return await work()
    } finally {
      this.#underWay.delete(named)
    }
  }

  /** Asks the app on a node (any, when none is given) from outside, as `SimClient.fetch` does. */
  fetch(path: string, init?: RequestInit, node?: SimNode<Api>): Promise<Response> {
    if (this.#self === undefined) {
      this.world.network.attach(this.#driver.name, this.#driver)
      this.#self = new SimClient(this, this.#driver)
    }
    return this.#self.fetch(path, init, node)
  }

  /** A client's own time and randomness, for what its code asks of Date, timers and the like. */
  #ambient(owner: Owner): Ambient {
    const { kernel } = this.world
    const env = simEnv(kernel, owner, machineClock(), kernel.random(`env/${owner.name}`))
    return ambientOf(env, kernel.random(`ambient/${owner.name}`))
  }

  /** Ends all faults, and resolves once every node is up again. From here on all must succeed. */
  async heal(): Promise<void> {
    if (this.#isHealed) return
    this.world.heal()
    this.world.timeline.add(this.nowMs, 'world', 'heals', true)
    await Promise.all(this.world.machines.map((machine) => machine.up()))
    this.#isHealed = true
  }

  /** States a property; when it does not hold, the run fails, and says when and where. */
  check(property: string, holds: boolean, message = '', words: readonly string[] = []): void {
    this.counts.checks++
    if (!holds) this.violated(property, message, words)
  }

  /**
   * States that `check` comes to hold: that it gives something other than false, and throws nothing.
   * Looks again and again, in virtual time, which costs next to nothing.
   */
  async eventually(
    property: string,
    check: () => unknown,
    { withinMs = EVENTUALLY_MS, everyMs = LOOK_MS }: EventuallyOptions = {},
  ): Promise<void> {
    this.counts.checks++
    const untilMs = this.nowMs + withinMs
    for (;;) {
      const held = await attempt(check)
      if (held === true) return
      if (this.nowMs >= untilMs) return this.violated(property, held)
      await this.sleep(everyMs)
    }
  }

  /** Takes over what a checker said. */
  judge(verdict: Verdict): void {
    this.counts.checks += verdict.checks
    this.counts.unknownChecks += verdict.unknown
    for (const { property, message, operations, timeline } of verdict.violations) {
      const words = operations.map(({ process }) => process)
      this.violated(property, `${message}\n${timeline}`, words)
    }
  }

  violated(
    property: string,
    message: string,
    words: readonly string[] = [],
    cause?: unknown,
  ): void {
    const { kernel, timeline } = this.world
    this.violations.push({ property, message, atMs: kernel.nowMs, words, cause })
    timeline.add(kernel.nowMs, 'driver', `VIOLATED ${property}: ${message.split('\n')[0]}`, true)
  }

  /** Takes over what ended the run: an error is a violation by itself. */
  failed(cause: unknown, property = propertyOf(cause)): void {
    const text = cause instanceof RunFailed ? cause.message : told(cause)
    this.violated(property, text, [], cause instanceof RunFailed ? cause.cause : cause)
  }

  /** @throws RunFailed when the driver is done, and something that it started is not */
  allAwaited(): void {
    if (this.#underWay.size === 0) return
    throw new RunFailed(
      'all-awaited',
      `the test's function ended before what it had begun; await it:\n${this.#named()}`,
    )
  }

  #standsStill(limitMs: number): void {
    const down = this.nodes.filter(({ isUp }) => !isUp).map(({ name }) => `${name} is down`)
    const left = [...down, this.#named()].filter((text) => text !== '').join('\n')
    const why = `it has not ended after ${limitMs / 1000} virtual seconds (limitMs)`
    this.world.kernel.fail(new RunFailed('progress', `${why}. Under way:\n${left || 'nothing'}`))
  }

  #named(): string {
    const all = [...this.#underWay]
    const more = all.length > NAMED_MAX ? [`and ${all.length - NAMED_MAX} more`] : []
    return [...all.slice(0, NAMED_MAX), ...more].map((text) => `  ${text}`).join('\n')
  }

  /**
   * Makes a fault happen now, beside those of the plan; until healing, or for `forMs`. It does not
   * happen when it cannot: the node is down already.
   */
  inject(fault: Omit<Fault, 'atMs'>): void {
    checkFault(fault, this.plan)
    this.world.desk.inject({ ...fault, atMs: this.nowMs })
  }

  /** Breaks the network now, until healing or until what is returned is called. */
  partition(shape: Partition): Cancel {
    const { kernel, timeline, network, desk, machines, log } = this.world
    const servers = Array.from({ length: log?.servers ?? 0 }, (_, i) => `log-${i + 1}`)
    checkPartition(shape, [...machines.map(({ name }) => name), ...servers])
    timeline.add(kernel.nowMs, 'driver', `partition ${JSON.stringify(shape)}`, true)
    desk.counts['partition'] = (desk.counts['partition'] ?? 0) + 1
    const end = network.partition(shape)
    return () => {
      timeline.add(kernel.nowMs, 'driver', 'partition ends', true)
      end()
    }
  }

  /** Marks a state that a campaign must have reached; one that no seed reaches fails it. */
  sometimes(name: string): void {
    this.#seen.add(name)
  }

  /** Adds a line to the timeline. */
  note(text: string): void {
    const { kernel, timeline } = this.world
    timeline.add(kernel.nowMs, kernel.current?.name ?? 'driver', text)
  }
}

/** A node as the driver sees it. */
export class SimNode<Api = unknown> {
  readonly name: string
  readonly #machine: Machine<SimulatedNode<Api>>
  readonly #world: World<Api>

  constructor(machine: Machine<SimulatedNode<Api>>, world: World<Api>) {
    this.name = machine.name
    this.#machine = machine
    this.#world = world
  }

  get isUp(): boolean {
    return this.#machine.isUp
  }

  /**
   * Runs `work` inside the node, on what it runs now. Rejects with `NoResponder` when it is down,
   * and with `OutcomeUnknown` when it ends before it answers.
   */
  call<T>(work: (node: SimulatedNode<Api>) => T | Promise<T>): Promise<T> {
    return this.#machine.call(work)
  }

  /**
   * What the app exports beside its handler, and what its function returns. Throws `NoResponder`
   * when the node is down.
   */
  get api(): Api {
    return this.#machine.running.api
  }

  /** Ends the node at once: its process alone, or with the machine's power. It stays down. */
  crash(how: 'process' | 'power' = 'power'): void {
    this.#did(how === 'power' ? 'power-loss' : 'process-kill')
    this.#machine.crash(how)
  }

  /** Starts the node unless it runs; resolves once it is up. */
  async start(): Promise<void> {
    this.#machine.start()
    await this.#machine.up()
  }

  /** Ends the node in order. */
  stop(): Promise<void> {
    this.#did('stop')
    return this.#machine.stop()
  }

  /** Its process stands still, and knows nothing of it, until `resume`, healing or its end. */
  pause(): void {
    this.#did('pause')
    this.#machine.pause()
  }

  resume(): void {
    this.#machine.resume()
  }

  #did(kind: string): void {
    const { kernel, timeline, desk } = this.#world
    timeline.add(kernel.nowMs, this.name, `${kind}, by the test`, true)
    desk.counts[kind] = (desk.counts[kind] ?? 0) + 1
  }
}

export interface OperationOptions {
  /** Virtual milliseconds until the client gives up on it. Default 20,000. */
  readonly deadlineMs?: number
}

/** One who uses the system from outside, one operation after another. */
export class SimClient<Api = unknown> {
  readonly name: string
  readonly random: Draw
  readonly #sim: Simulation<Api>
  readonly #owner: Owner

  readonly #fetch: typeof globalThis.fetch

  constructor(sim: Simulation<Api>, owner: Owner) {
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

async function settled<T>(work: Promise<T>): Promise<Outcome<T>> {
  try {
    return { kind: 'ok', value: await work }
  } catch (error) {
    // An invariant that does not hold excuses nothing.
    if (isHoldfastError(error) && error.kind !== 'bug') {
      return error.applied === 'no' ? { kind: 'failed', error } : { kind: 'unknown', error }
    }
    // Anything else is an error of the test itself.
    if (isLost(error)) return { kind: 'unknown', error }
    throw error
  }
}

/** What a lost connection, or the caller's own signal, looks like to `fetch`. */
function isLost(error: unknown): boolean {
  if (error instanceof TypeError) return error.message === 'fetch failed'
  return error instanceof DOMException && ['AbortError', 'TimeoutError'].includes(error.name)
}

const EVENTUALLY_MS = 10_000
const LOOK_MS = 100

/** True when it holds, and else why not. */
async function attempt(check: () => unknown): Promise<true | string> {
  try {
    return (await check()) !== false || 'it never came to hold'
  } catch (error) {
    return told(error)
  }
}

/** A deadlock and an assertion are properties of their own; what else a driver throws is an error. */
function propertyOf(cause: unknown): string {
  if (cause instanceof RunFailed) return cause.property
  if (!(cause instanceof Error)) return 'no-error'
  if (cause.message.startsWith('the simulation stands still')) return 'progress'
  return cause.name.startsWith('AssertionError') ? 'assertion' : 'no-error'
}
