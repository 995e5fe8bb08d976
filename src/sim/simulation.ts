/** What the driver of a run holds: nodes, clients, virtual time, healing, and its verdicts. */
import { must } from '../core/assert.ts'
import type { Cancel } from '../core/env.ts'
import { ambientOf, type Ambient } from './ambient.ts'
import { judge, type Case } from './check/judge.ts'
import type { Verdict } from './check/verdict.ts'
import type { Draw } from './draw.ts'
import type { Fault } from './fault-plan.ts'
import type { Owner } from './kernel.ts'
import { checkFault, checkPartition } from './fault-check.ts'
import type { Partition } from './partition.ts'
import type { Plan } from './plan.ts'
import { RunFailed, told } from './run-failed.ts'
import { SimClient, type Counts } from './sim-client.ts'
import { machineClock, simEnv } from './sim-env.ts'
import { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

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

  /** Has a checker judge a part of what was recorded. */
  examine(part: Case): void {
    this.judge(judge(part))
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
