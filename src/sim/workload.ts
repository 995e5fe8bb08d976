/** What a workload is: tables, operations drawn one by one, and what must hold of what they did. */
import type { Retention } from '../shard/janitor.ts'
import type { TableDefinitions } from '../table/schema.ts'
import type { Setup } from './fault-plan.ts'
import type { SimClient } from './sim-client.ts'
import type { Simulation } from './simulation.ts'

export interface Workload {
  readonly name: string
  /** In a sentence, for lists. */
  readonly what: string
  readonly tables: TableDefinitions
  /** How long nodes keep the log. Default: for ever, as far as a run goes. */
  readonly retention?: Retention
  /** Default: both. */
  readonly setups?: readonly Setup[]
  /** Operations of one client, where the default does not fit. */
  readonly operations?: number
  /** States that a campaign must have reached. */
  readonly sometimes?: readonly string[]
  begin(sim: Simulation): WorkloadRun
}

export interface WorkloadRun {
  /** Before the first fault. */
  setUp?(): Promise<void>
  /** The operation of this number: which one is a function of the client's draw for it. */
  operation(client: SimClient, number: number): Promise<void>
  /** After healing, when all clients are done: reads, and says what does not hold. */
  finish(): Promise<void>
}
