/** A plan: everything a run depends on besides the code, written out (D7). */
import type { Fault, FaultChoice, Setup } from './fault-plan.ts'
import { drawFaults } from './fault-plan.ts'
import { drawFrom } from './draw.ts'

export const PLAN_VERSION = 1

export interface Plan {
  readonly version: typeof PLAN_VERSION
  /** The workload's name, or that of a test. */
  readonly workload: string
  readonly seed: number
  readonly setup: Setup
  readonly nodes: number
  readonly clients: number
  /** Operations of one client before healing. */
  readonly operations: number
  /** Virtual milliseconds in which faults begin. */
  readonly durationMs: number
  /** Virtual milliseconds between two operations of a client, on average. Default: they fill the duration. */
  readonly pauseMs?: number
  readonly faults: readonly Fault[]
  /** Operations left out, as `client/number`. */
  readonly skip: readonly string[]
}

export interface PlanOptions extends Omit<Plan, 'version' | 'pauseMs' | 'faults' | 'skip'> {
  readonly faults: FaultChoice
}

export function planOf(options: PlanOptions): Plan {
  const { faults: choice, ...rest } = options
  const { seed, setup, nodes, durationMs } = options
  const faults = drawFaults(drawFrom(seed, 'faults'), { setup, nodes, choice, durationMs })
  return { version: PLAN_VERSION, ...rest, faults, skip: [] }
}
