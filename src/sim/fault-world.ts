/** What of a world faults act on. */
import type { Kernel } from './kernel.ts'
import type { Machine, Running } from './machine.ts'
import type { SimDisk } from './sim-disk.ts'
import type { SimLogCluster } from './sim-log.ts'
import type { SimNetwork } from './sim-network.ts'
import type { Timeline } from './timeline.ts'

export interface FaultWorld<R extends Running> {
  readonly kernel: Kernel
  readonly timeline: Timeline
  readonly network: SimNetwork
  /** Undefined: every node has a log of its own. */
  readonly log: SimLogCluster | undefined
  readonly machines: readonly Machine<R>[]
  /** The disk of a machine. */
  disk(machine: Machine<R>): SimDisk
}
