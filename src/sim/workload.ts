/**
 * What a workload is: tables, operations drawn one by one, and what must hold of what they did; and
 * what it is given by its host: nodes, clients, time. The simulation is one host; `src/verify/`, with
 * processes on real machines, is the other. A workload does not know which of them it runs in.
 */
import type { Retention } from '../shard/janitor.ts'
import type { DatabaseLikeCalls } from '../table/database-like.ts'
import type { TableDefinitions } from '../table/schema.ts'
import type { Case } from './check/judge.ts'
import type { Draw } from './draw.ts'
import type { Setup } from './fault-plan.ts'
import type { Outcome } from './outcome.ts'
import type { OperationOptions } from './sim-client.ts'

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
  begin(host: WorkloadHost): WorkloadRun
}

export interface WorkloadRun {
  /** Before the first fault. */
  setUp?(): Promise<void>
  /** The operation of this number: which one is a function of the client's draw for it. */
  operation(client: WorkloadClient, number: number): Promise<void>
  /** After healing, when all clients are done: reads, and says what does not hold. */
  finish(): Promise<void>
}

/** Where a workload runs. */
export interface WorkloadHost {
  readonly nodes: readonly [WorkloadNode, ...WorkloadNode[]]
  /** Milliseconds by the one clock that all of a run's histories are in. */
  readonly nowMs: number
  /** From then on everything must succeed. */
  readonly isHealed: boolean
  sleep(ms: number): Promise<void>
  /** Runs `count` clients at once, named `client-<n>`: no database ever has two of one name. */
  clients(count: number, run: (client: WorkloadClient) => void | Promise<void>): Promise<void>
  /** States a property. */
  check(property: string, holds: boolean, message?: string, words?: readonly string[]): void
  /** Has a checker judge a part of what was recorded. */
  examine(part: Case): void
  /** Marks a state that a campaign must have reached. */
  sometimes(name: string): void
}

/** The database of a node, embedded in the caller's world or at the other end of HTTP. */
export interface WorkloadDatabase extends DatabaseLikeCalls<TableDefinitions> {
  define(name: string, definition: TableDefinitions[string]): Promise<unknown>
  upkeep(): Promise<void>
}

export interface WorkloadNode {
  readonly name: string
  /** Runs `work` with what the node runs now. */
  call<T>(work: (on: { readonly db: WorkloadDatabase }) => T | Promise<T>): Promise<T>
}

/** One who does one operation after another. */
export interface WorkloadClient {
  readonly name: string
  sleep(ms: number): Promise<void>
  /** Draws that depend on the seed, this client and `label` alone. */
  drawOf(label: string): Draw
  /** Does one operation on one node, and says what became of it. */
  operation<T>(
    text: string,
    node: WorkloadNode,
    work: (on: { readonly db: WorkloadDatabase }) => T | Promise<T>,
    options?: OperationOptions,
  ): Promise<Outcome<T>>
}
