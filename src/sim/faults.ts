/** Makes the faults of a plan happen, counts those that did, and ends them again. */
import { must } from '../core/assert.ts'
import type { Bytes } from '../core/bytes.ts'
import type { Cancel } from '../core/env.ts'
import { ROOM_SHARE, type Position } from '../log/log.ts'
import { STATE_KEY } from '../shard/apply-loop.ts'
import { ROW_SPACE } from '../shard/layout.ts'
import { recordPosition } from '../shard/log-state.ts'
import type { Draw } from './draw.ts'
import type { Fault, FaultKind } from './fault-plan.ts'
import type { FaultWorld } from './fault-world.ts'
import type { Machine, Running } from './machine.ts'
import type { Partition } from './partition.ts'
import type { DiskImage } from './sim-disk.ts'
import { setDrift, setOffset } from './sim-env.ts'
import type { SimLogCluster } from './sim-log.ts'

/** Kinds under which a disk goes on to work, or not, for the process that has it open. */
const DISK_FAULTS: readonly FaultKind[] = ['slow-disk', 'full-disk', 'lying-fsync']
/** Kinds that are timed so that they meet a node at work. */
const AIMED: readonly FaultKind[] = ['power-loss', 'process-kill']
/** Mean time from the beginning of a call to the crash that is aimed at it. */
const AIM_MEAN_MS = 1.5

/** Entries and records of the node itself are found by the other damages. */
const isRow = (key: Bytes): boolean => key[0] === ROW_SPACE

const NOTHING = (): void => undefined

export class FaultDesk<R extends Running> {
  /** Faults that took place, by kind. */
  readonly counts: Record<string, number> = {}
  readonly #world: FaultWorld<R>
  /** What ends each fault that is under way. */
  readonly #active = new Map<Fault, () => void>()
  /** Whose disks were replaced, and what the log had then. */
  readonly #replaced = new Map<Machine<R>, Position>()
  readonly #backups = new Map<Machine<R>, DiskImage>()
  #isHealed = false

  constructor(world: FaultWorld<R>) {
    this.#world = world
  }

  get isCalm(): boolean {
    return this.#active.size === 0
  }

  /** Schedules the faults of the plan, counted from now. */
  arm(faults: readonly Fault[]): void {
    const { kernel } = this.#world
    for (const fault of faults) {
      kernel.after(fault.atMs, `fault ${fault.kind}`, kernel.world, () => {
        if (AIMED.includes(fault.kind)) this.#aim(fault)
        else this.inject(fault)
      })
    }
  }

  /** A crash teaches nothing while nothing is under way: it waits for a call, and a moment more. */
  #aim(fault: Fault): void {
    const { kernel } = this.#world
    const waitMs = kernel
      .random(`aim/${fault.atMs}/${fault.kind}/${timesOf(fault)}`)
      .exponential(AIM_MEAN_MS)
    this.#machine(fault).whenBusy(() => {
      kernel.after(waitMs, `fault ${fault.kind}`, kernel.world, () => this.inject(fault))
    })
  }

  /** Makes a fault happen now, unless it cannot: its node is down already. */
  inject(fault: Fault): void {
    if (this.#isHealed) return
    const { kernel, timeline } = this.#world
    const end = this.#begin(fault)
    if (end === undefined) return
    this.counts[fault.kind] = (this.counts[fault.kind] ?? 0) + 1
    const where = fault.node === undefined ? 'world' : this.#machine(fault).name
    timeline.add(kernel.nowMs, where, describe(fault), true)
    this.#active.set(fault, end)
    if (fault.forMs === undefined) return
    kernel.after(fault.forMs, `end of ${fault.kind}`, kernel.world, () => {
      if (!this.#active.has(fault)) return
      timeline.add(kernel.nowMs, where, `${fault.kind} ends`, true)
      this.#end(fault)
      const times = timesOf(fault) - 1
      if (times > 0) this.#aim({ ...fault, with: { ...fault.with, times } })
    })
  }

  #end(fault: Fault): void {
    const end = this.#active.get(fault)
    this.#active.delete(fault)
    end?.()
  }

  /** Ends every fault, and has every node started. */
  heal(): void {
    this.#isHealed = true
    for (const fault of [...this.#active.keys()]) this.#end(fault)
    const { network, log, machines } = this.#world
    network.heal()
    log?.heal()
    for (const machine of machines) {
      machine.resume()
      machine.start()
    }
  }

  #machine(fault: Fault): Machine<R> {
    const { machines } = this.#world
    const index = must(fault.node, `${fault.kind} names a node`) % machines.length
    return machines[index] as Machine<R>
  }

  /** Begins the fault, and gives what ends it; undefined when it cannot happen now. */
  #begin(fault: Fault): (() => void) | undefined {
    const { kind } = fault
    if (kind.startsWith('log-')) return this.#beginLog(fault, must(this.#world.log, 'a shared log'))
    if (kind === 'partition' || kind.endsWith('-network')) return this.#beginNetwork(fault)
    if (kind.startsWith('clock-')) return this.#beginClock(fault)
    if (DISK_FAULTS.includes(kind)) return this.#beginDisk(fault)
    return this.#beginNode(fault)
  }

  #beginNode(fault: Fault): (() => void) | undefined {
    const machine = this.#machine(fault)
    if (machine.current === undefined) return undefined
    switch (fault.kind) {
      case 'power-loss':
        machine.crash('power')
        return () => machine.start()
      case 'process-kill':
        machine.crash('process')
        return () => machine.start()
      case 'restart':
        void machine.stop()
        return () => machine.start()
      case 'pause': {
        const { owner } = machine.current
        machine.pause()
        return () => this.#world.kernel.resume(owner)
      }
      case 'bit-flip': {
        const disk = this.#world.disk(machine)
        for (let i = 0; i < numberOf(fault, 'rows'); i++) disk.flipBit(isRow)
        return disk.isFlipped ? () => disk.mend() : undefined
      }
      case 'old-backup':
      case 'cloned-disk':
      case 'damaged-disk':
        return this.#beginReplaced(fault, machine)
      default:
        throw unknownKind(fault.kind)
    }
  }

  /** The machine comes back with another disk than the one it had. */
  #beginReplaced(fault: Fault, machine: Machine<R>): (() => void) | undefined {
    const disk = this.#world.disk(machine)
    if (fault.kind === 'old-backup') {
      const backup = this.#backups.get(machine)
      this.#backups.set(machine, disk.image('durable'))
      // The first one only makes the backup that a later one puts back.
      if (backup === undefined) return NOTHING
      if (!this.#mayReplace(machine)) return undefined
      machine.crash('process')
      disk.restore(backup)
      return () => machine.start()
    }
    if (fault.kind === 'damaged-disk') {
      if (!this.#mayReplace(machine)) return undefined
      machine.crash('power')
      disk.damage('StoreCorrupt')
      return () => {
        machine.crash('process')
        disk.wipe()
        machine.start()
      }
    }
    const { machines } = this.#world
    const other = machines[numberOf(fault, 'of') % machines.length] as Machine<R>
    if (other === machine || !this.#mayReplace(machine)) return undefined
    machine.crash('process')
    disk.restore(this.#world.disk(other).image('durable'))
    return () => machine.start()
  }

  /**
   * Whether this disk may be replaced. Of what the log no longer keeps, any one disk at a time is
   * promised to be dispensable, until its node has again what the log had then.
   */
  #mayReplace(machine: Machine<R>): boolean {
    const { log } = this.#world
    if (log === undefined) return true
    for (const [other, position] of this.#replaced) {
      const record = this.#world.disk(other).durableAt(STATE_KEY)
      const isBack = record !== undefined && recordPosition(record) >= position
      if (log.first > 1 && !isBack && other !== machine) return false
    }
    this.#replaced.set(machine, log.last)
    return true
  }

  #beginClock(fault: Fault): () => void {
    const machine = this.#machine(fault)
    const { clock } = machine
    const { nowMs } = this.#world.kernel
    if (fault.kind === 'clock-jump') {
      setOffset(clock, clock.offsetMs + numberOf(fault, 'byMs'))
      return NOTHING
    }
    setDrift(clock, nowMs, numberOf(fault, 'rate'))
    return () => setDrift(clock, this.#world.kernel.nowMs, 0)
  }

  #beginDisk(fault: Fault): () => void {
    const { faults } = this.#world.disk(this.#machine(fault))
    switch (fault.kind) {
      case 'slow-disk':
        faults.slowdown = numberOf(fault, 'factor')
        return () => {
          faults.slowdown = 1
        }
      case 'full-disk':
        faults.roomBytes = 0
        return () => {
          faults.roomBytes = Number.POSITIVE_INFINITY
        }
      case 'lying-fsync':
        faults.fsyncLies = true
        return () => {
          faults.fsyncLies = false
        }
      default:
        throw unknownKind(fault.kind)
    }
  }

  #beginNetwork(fault: Fault): Cancel {
    const { network } = this.#world
    switch (fault.kind) {
      case 'partition':
        return network.partition(this.#shape(fault))
      case 'lossy-network':
        return network.disturb({
          loss: numberOf(fault, 'loss'),
          duplication: numberOf(fault, 'duplication'),
        })
      case 'slow-network':
        return network.slow({}, numberOf(fault, 'factor'))
      default:
        throw unknownKind(fault.kind)
    }
  }

  #shape(fault: Fault): Partition {
    const { machines, log } = this.#world
    const machine = this.#machine(fault).name
    const names = machines.map(({ name }) => name)
    const servers = Array.from({ length: log?.servers ?? 0 }, (_, i) => `log-${i + 1}`)
    const half = names.slice(0, Math.ceil(names.length / 2))
    switch (fault.with?.['shape']) {
      case 'to-log':
        return { kind: 'one-way', from: [machine], to: servers }
      case 'from-log':
        return { kind: 'one-way', from: servers, to: [machine] }
      case 'halves':
        return { kind: 'halves', one: [...half, ...servers.slice(0, 1)] }
      case 'bridge':
        return { kind: 'bridge', left: half, right: servers.slice(0, 2) }
      case 'one-way':
        return { kind: 'one-way', from: [machine], to: names }
      default:
        return { kind: 'isolate', machine }
    }
  }

  #beginLog(fault: Fault, log: SimLogCluster): () => void {
    const draw = this.#world.kernel.random(`fault/${fault.atMs}/${fault.kind}`)
    switch (fault.kind) {
      case 'log-election':
        log.stepDown(fault.forMs)
        return NOTHING
      case 'log-no-quorum':
        return downed(log, Math.floor(log.servers / 2) + 1, draw)
      case 'log-lost-acks':
        return rated(log, { lostAck: numberOf(fault, 'chance') }, { lostAck: 0 })
      case 'log-duplicates':
        log.forgetIds()
        return rated(log, { doubled: numberOf(fault, 'chance') }, { doubled: 0 })
      case 'log-lag': {
        // A leader has nobody to lag behind.
        const others = Array.from({ length: log.servers }, (_, i) => i).filter(
          (server) => server !== log.leader,
        )
        const server = draw.pick(others)
        log.lag(server, numberOf(fault, 'byMs'))
        return () => log.lag(server, 0)
      }
      case 'log-slow': {
        const server = log.leader ?? 0
        log.slow(server, numberOf(fault, 'factor'))
        return () => log.slow(server, 1)
      }
      case 'log-full':
        return rated(
          log,
          { maxBytes: Math.ceil(log.bytes / ROOM_SHARE.data) },
          { maxBytes: Number.POSITIVE_INFINITY },
        )
      case 'log-lazy-fsync':
        log.powerLoss(Array.from({ length: log.servers }, (_, i) => i))
        return () => restartAll(log)
      case 'log-reset':
        log.reset()
        return NOTHING
      default:
        throw unknownKind(fault.kind)
    }
  }
}

type Rates = Parameters<SimLogCluster['setRates']>[0]

function rated(log: SimLogCluster, rates: Rates, after: Rates): () => void {
  log.setRates(rates)
  return () => log.setRates(after)
}

function downed(log: SimLogCluster, count: number, draw: Draw): () => void {
  const servers = draw.shuffled(Array.from({ length: log.servers }, (_, i) => i)).slice(0, count)
  for (const server of servers) log.crash(server)
  return () => {
    for (const server of servers) log.restart(server)
  }
}

function restartAll(log: SimLogCluster): void {
  for (let server = 0; server < log.servers; server++) log.restart(server)
}

/** How often an aimed fault is still to come. */
function timesOf(fault: Fault): number {
  return fault.with?.['times'] === undefined ? 1 : numberOf(fault, 'times')
}

function numberOf(fault: Fault, name: string): number {
  const value = fault.with?.[name]
  if (typeof value !== 'number') throw new Error(`${fault.kind} has no number ${name}`)
  return value
}

function unknownKind(kind: FaultKind): Error {
  return new Error(`no such fault: ${kind}`)
}

function describe({ kind, forMs, with: details = {} }: Fault): string {
  const parts = Object.entries(details).map(([name, value]) => `${name} ${value}`)
  if (forMs !== undefined) parts.push(`for ${forMs} ms`)
  return parts.length === 0 ? kind : `${kind} (${parts.join(', ')})`
}
