/**
 * The world of one run: machines with clocks and disks, the network between them, the servers of the
 * log; and what a machine boots: a database, and the user's app if there is one.
 */
import { Agreement } from './agreement.ts'
import { must } from '../core/assert.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { openLocalLog } from '../log/local-log.ts'
import type { Retention } from '../shard/janitor.ts'
import type { Durability } from '../shard/durability.ts'
import { bootstrapped } from '../shard/catch-up/bootstrap.ts'
import { LogWithPeers } from '../shard/catch-up/log-with-peers.ts'
import type { LogTail } from '../shard/log-trimmer.ts'
import type { Node } from '../shard/node.ts'
import type { WindowSize } from '../shard/window.ts'
import type { Store } from '../store/store.ts'
import { openMemoryStore } from '../store/memory-store.ts'
import type { Database } from '../table/database.ts'
import type { TableDefinitions } from '../table/schema.ts'
import { startDatabase, type DatabaseOptions } from '../table/start-database.ts'
import { ambientOf } from './ambient.ts'
import { hostApp, transportOf, type HostedApp } from './app-host.ts'
import { connectionError, type Transport } from './app/virtual-fetch.ts'
import { BEGAN_ANEW, CAUGHT_UP, CRASHED_WITH_WORK, TRIMMED } from './coverage.ts'
import { isHostile } from './fault-plan.ts'
import { FaultDesk } from './faults.ts'
import type { Kernel, Owner } from './kernel.ts'
import { Machine, type Incarnation } from './machine.ts'
import type { Plan } from './plan.ts'
import { RunFailed, told } from './run-failed.ts'
import { SimBuses } from './sim-bus.ts'
import { SimDisk } from './sim-disk.ts'
import { SimLogCluster } from './sim-log.ts'
import { SimNetwork } from './sim-network.ts'
import { Timeline } from './timeline.ts'

export type AnyDatabase = Database<TableDefinitions>

/** What runs on a node. */
export interface SimulatedNode<Api = unknown> {
  readonly name: string
  /** The first database that was opened here. Throws `Closed` when none is. */
  readonly db: AnyDatabase
  /** What the app exports beside its handler. */
  readonly api: Api
  /** Asks the app. */
  fetch(request: Request): Promise<Response>
  stop(): Promise<void>
}

export interface WorldOptions {
  readonly plan: Plan
  /** Tables of the database that a node without an app opens. */
  readonly tables?: TableDefinitions | undefined
  /** Runs on every node. */
  readonly app?: HostedApp | undefined
  readonly retention?: Retention | undefined
  /** The log's setting from the beginning. Default: as large as it is for everybody. */
  readonly window?: WindowSize | undefined
  /** What stays in a shared log. Default: so much that no run trims it. */
  readonly tail?: LogTail | undefined
  /** Virtual milliseconds between rounds of upkeep. Default: as long as they are for everybody. */
  readonly upkeepMs?: number | undefined
  /** Virtual milliseconds after which a run that has not ended stands still. Default: for ever. */
  readonly limitMs?: number | undefined
}

const SERVERS = 3
/** Few, so that scans and moves meet several, and small runs are not all borders. */
const SHARDS = 4

export class World<Api = unknown> {
  readonly kernel: Kernel
  readonly plan: Plan
  readonly timeline = new Timeline()
  readonly network: SimNetwork
  readonly buses: SimBuses
  readonly log: SimLogCluster | undefined
  readonly machines: readonly Machine<SimulatedNode<Api>>[]
  /** The way of HTTP requests between nodes, and from clients to nodes. */
  readonly transport: Transport
  readonly desk: FaultDesk<SimulatedNode<Api>>
  /** What no plan of survivable faults may lead to. */
  readonly problems: { readonly property: string; readonly message: string }[] = []
  readonly seen: Set<string>
  /** That nodes of one log decide alike. */
  readonly agreement: Agreement
  readonly #options: WorldOptions
  readonly #disks = new Map<string, SimDisk>()
  /** What an app does about a rejection that nobody handled, by its incarnation. */
  readonly #onUnhandled = new WeakMap<Owner, (cause: unknown) => void>()
  #hasStarted = false

  constructor(kernel: Kernel, options: WorldOptions, seen: Set<string>) {
    const { plan } = options
    this.kernel = kernel
    this.plan = plan
    this.seen = seen
    this.#options = options
    this.agreement = new Agreement((message) => {
      if (isHostile(plan.faults, plan.setup)) return
      this.problems.push({ property: 'agreement', message })
    })
    this.network = new SimNetwork(kernel)
    this.buses = new SimBuses(this.network)
    this.log = plan.setup === 'shared' ? this.#openLog() : undefined
    const parts = {
      kernel,
      timeline: this.timeline,
      boot: (incarnation: Incarnation<SimulatedNode<Api>>) => this.#boot(incarnation),
      lose: (incarnation: Incarnation<SimulatedNode<Api>>, how: 'process' | 'power') =>
        this.#lose(incarnation, how),
      failed: (machine: Machine<SimulatedNode<Api>>, cause: unknown) =>
        this.#failed(machine.name, cause),
    }
    this.machines = Array.from(
      { length: plan.nodes },
      (_, index) => new Machine<SimulatedNode<Api>>(`node-${index + 1}`, index, parts),
    )
    this.desk = new FaultDesk(this)
    this.transport = transportOf(this.network, (name, request) => {
      const machine = must(
        this.machines.find((known) => known.name === name),
        'a request leads to a node',
      )
      return machine.call((node) => node.fetch(request))
    })
  }

  #openLog(): SimLogCluster {
    const kinds = this.plan.faults.map(({ kind }) => kind)
    const profile = kinds.includes('log-reset')
      ? 'hostile'
      : kinds.includes('log-lazy-fsync')
        ? 'lazy-fsync'
        : 'durable'
    return new SimLogCluster(this.kernel, {
      profile,
      servers: SERVERS,
      reaches: (from, to) => this.network.reaches(from, to),
    })
  }

  /** As servers of the log would say it. */
  #durability(): Durability {
    const isLazy = this.plan.faults.some(({ kind }) => kind === 'log-lazy-fsync')
    return isLazy ? 'quorum' : 'quorum-fsynced'
  }

  /** The faults of the plan begin, counted from now. */
  armFaults(): void {
    this.desk.arm(this.plan.faults)
  }

  /** Ends every fault, and has every node started. */
  heal(): void {
    this.desk.heal()
  }

  get faultCounts(): Readonly<Record<string, number>> {
    return this.desk.counts
  }

  /** Whether no fault is under way and every node is up. */
  get isCalm(): boolean {
    return this.desk.isCalm && this.machines.every((machine) => machine.isUp)
  }

  /** Starts every node, and waits for them. */
  async start(): Promise<void> {
    for (const machine of this.machines) machine.start()
    await Promise.all(this.machines.map((machine) => machine.up()))
    this.#hasStarted = true
  }

  async stop(): Promise<void> {
    await Promise.all(this.machines.map((machine) => machine.stop()))
  }

  disk(machine: Machine<SimulatedNode<Api>>): SimDisk {
    const known = this.#disks.get(machine.name)
    if (known !== undefined) return known
    const profile = this.plan.setup === 'shared' ? 'overlapping' : 'synced'
    const disk = new SimDisk(this.kernel, machine.name, { profile })
    this.#disks.set(machine.name, disk)
    return disk
  }

  async #boot(incarnation: Incarnation<SimulatedNode<Api>>): Promise<SimulatedNode<Api>> {
    const { machine, owner, env } = incarnation
    const { name } = machine
    const { tables = {}, retention, app } = this.#options
    this.network.attach(name, owner)
    this.kernel.setAmbient(owner, ambientOf(env, this.kernel.random(`ambient/${owner.name}`)))
    if (app === undefined) {
      const db = await this.open(incarnation, { tables, retention, shards: SHARDS })
      const fetch = (): Promise<Response> => Promise.reject(connectionError('ECONNREFUSED', name))
      return { name, db, api: undefined as Api, fetch, stop: () => db.close() }
    }
    let first: AnyDatabase | undefined
    const started = await hostApp(app, {
      kernel: this.kernel,
      timeline: this.timeline,
      incarnation,
      nodes: this.machines.map((other) => other.name),
      transport: this.transport,
      open: async (options = {}) => {
        const db = await this.open(incarnation, { shards: SHARDS, ...options })
        first ??= db
        return db
      },
      onUncaught: (error) => this.#problem('no-uncaught-error', name, error),
    })
    this.#onUnhandled.set(owner, (cause) => started.unhandled(cause))
    return {
      name,
      get db(): AnyDatabase {
        if (first === undefined) throw new HoldfastError('Closed', `${name} opened no database`)
        return first
      },
      api: started.api as Api,
      fetch: (request) => started.fetch(request),
      stop: async () => {
        await started.stop()
        await first?.close()
      },
    }
  }

  /** What `open` does on a node: the database of this machine's disk, or one in its memory. */
  async open<T extends TableDefinitions>(
    incarnation: Incarnation<SimulatedNode<Api>>,
    options: DatabaseOptions<T> & { readonly memory?: boolean | undefined },
  ): Promise<Database<T>> {
    const { env, owner, machine } = incarnation
    const isMemory = options.memory === true
    let store = isMemory ? openMemoryStore(env) : this.disk(machine).open(owner)
    const shared = isMemory ? undefined : await this.#connect(owner, incarnation)
    const openLog = shared === undefined ? openLocalLog : () => shared
    const bus = shared === undefined ? undefined : await this.buses.connect(owner, env)
    if (shared !== undefined && bus !== undefined) {
      const replace = this.#replacing(incarnation, store)
      store = await bootstrapped({ env, store, log: shared, bus, replace })
    }
    const dir = isMemory ? undefined : `/${machine.name}/data`
    const release = (): Promise<void> => Promise.resolve()
    const { tail } = this.#options
    const { db, node } = await startDatabase(options, {
      ...{ env, store, openLog, bus, tail, dir, release },
      durability: shared === undefined ? undefined : () => this.#durability(),
      name: machine.name,
    })
    this.#watch(incarnation, node)
    if (shared !== undefined) this.agreement.watch(machine.name, node)
    this.#keepUp(node)
    const { window: size } = this.#options
    if (size !== undefined && !isMemory && !this.#hasStarted) {
      await node.proposer.command({ type: 'window', size })
    }
    return db
  }

  /** A snapshot is made on a disk aside, which then takes the place of the machine's. */
  #replacing(
    { machine, owner }: Incarnation<SimulatedNode<Api>>,
    store: Store,
  ): Parameters<typeof bootstrapped>[0]['replace'] {
    return async (fill) => {
      const aside = new SimDisk(this.kernel, `${owner.name}/aside`, { profile: 'synced' })
      const empty = aside.open(owner)
      await fill(empty)
      await empty.close()
      await store.close()
      const disk = this.disk(machine)
      disk.restore(aside.image('durable'))
      this.seen.add(BEGAN_ANEW)
      return disk.open(owner)
    }
  }

  async #connect(
    owner: Owner,
    { env, machine }: Incarnation<SimulatedNode<Api>>,
  ): Promise<ReturnType<SimLogCluster['connect']> | undefined> {
    const log = this.log?.connect(owner, env, machine.name)
    await log?.ready
    return log
  }

  #keepUp(node: Node): void {
    const { upkeepMs } = this.#options
    if (upkeepMs === undefined || node.loop.halted !== undefined) return
    const again = (): void => this.#keepUp(node)
    // What it fails for, its own rounds judge.
    const round = (): void => void node.janitor.run().then(again, again)
    node.env.timers.after(upkeepMs, round, 'background')
  }

  /** A node that halts ends: a supervisor starts it again. */
  #watch(incarnation: Incarnation<SimulatedNode<Api>>, node: Node): void {
    const ended = (cause: unknown): void => incarnation.machine.exited(incarnation, cause)
    node.loop.listen({
      applied: () => {
        if (node.log instanceof LogWithPeers && node.log.fromPeers > 0) this.seen.add(CAUGHT_UP)
      },
      halted: ended,
    })
    if (node.loop.halted !== undefined) ended(node.loop.halted)
  }

  #lose(
    { machine, owner, pending }: Incarnation<SimulatedNode<Api>>,
    how: 'process' | 'power',
  ): void {
    if (pending > 0) this.seen.add(CRASHED_WITH_WORK)
    if (how === 'process') this.network.leave(owner)
    const disk = this.disk(machine)
    const { unsettled, lostCommits } = how === 'process' ? disk.kill() : disk.crash()
    if (unsettled > 0) this.seen.add('a crash with store batches under way')
    if (lostCommits > 0) this.seen.add('a crash that lost commits which were not flushed')
  }

  /** A node may stop for what its surroundings do to it; what else it stops for is a defect. */
  #failed(name: string, cause: unknown): void {
    // A flipped bit is refused by name: by a read alone, or by the whole node when it is applying.
    const isDetected =
      isHoldfastError(cause, 'StoreCorrupt') && this.#disks.get(name)?.isFlipped === true
    const isExpected =
      isDetected || (isHoldfastError(cause) && !['bug', 'corrupt', 'rejected'].includes(cause.kind))
    if (isExpected || isHostile(this.plan.faults, this.plan.setup)) return
    if (this.#hasStarted) return this.#problem('no-halt', name, cause)
    // Nothing was done to it yet: it will not start next time either.
    this.kernel.fail(new RunFailed('start', `${name} cannot start: ${told(cause)}`, { cause }))
  }

  #problem(property: string, name: string, cause: unknown): void {
    const message = `${name}: ${told(cause)}`
    if (this.problems.some((known) => known.message === message)) return
    this.problems.push({ property, message })
  }

  /** A process ends of a rejection that nobody handled. False when `owner` is of no node. */
  unhandled(cause: unknown, owner: Owner | undefined): boolean {
    const machine = this.machines.find(({ current }) => current?.owner === owner)
    const incarnation = machine?.current
    if (incarnation === undefined) return false
    const tell = this.#onUnhandled.get(incarnation.owner)
    if (tell !== undefined) tell(cause)
    else {
      this.#problem('no-uncaught-error', incarnation.machine.name, cause)
      incarnation.machine.exited(incarnation, cause)
    }
    return true
  }

  get limitMs(): number | undefined {
    return this.#options.limitMs
  }

  /** Ends all that is left of the run. */
  end(): void {
    if (this.log !== undefined && this.log.first > 1) this.seen.add(TRIMMED)
    for (const machine of this.machines) machine.crash('process')
  }
}
