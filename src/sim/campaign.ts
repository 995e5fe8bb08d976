/** Many seeds of many workloads, one after another in this process. */
import {
  DETERMINISM,
  reportedViolation,
  seedReportOf,
  Total,
  type CampaignReport,
  type SeedReport,
} from './campaign-report.ts'
import { drawFrom } from './draw.ts'
import { happensIn, type FaultChoice, type Setup } from './fault-plan.ts'
import { planOf, type Plan } from './plan.ts'
import { runWorkload } from './run.ts'
import { compareRuns, type Trace } from './trace.ts'
import type { Watchdog } from './watchdog.ts'
import type { Workload } from './workload.ts'

export interface SeedOptions {
  readonly workloads: readonly Workload[]
  readonly faults: FaultChoice
  /** Default: drawn for each seed among those of its workload. */
  readonly setup?: Setup | undefined
  /** Default: drawn for each seed. */
  readonly nodes?: number | undefined
  /** Runs each seed twice, and compares the runs. */
  readonly isTwice?: boolean | undefined
  /** Ends the process when a run stands still in real time. */
  readonly watchdog?: Watchdog | undefined
}

export interface CampaignOptions extends SeedOptions {
  readonly seeds: Iterable<number>
  /** Ends with the first seed that violates a property; later ones are left out of the report. */
  readonly isUntilViolation?: boolean | undefined
  readonly onSeed?: ((report: SeedReport) => void) | undefined
  /** Ends the campaign after the current seed. */
  readonly isOver?: (() => boolean) | undefined
}

const CLIENTS = 8
const OPERATIONS = 64
const DURATION_MS = 24_000
const NODES = [3, 3, 3, 2, 5] as const

/** The plan of a seed: the workload, the setup and the number of nodes follow from it. */
export function planOfSeed(seed: number, options: SeedOptions): Plan {
  const workload = workloadOfSeed(seed, options)
  const draw = drawFrom(seed, 'plan')
  const { faults } = options
  const setups = (workload.setups ?? ['embedded', 'shared', 'shared']).filter(
    // Kinds that are named must be able to happen.
    (setup) => typeof faults === 'string' || faults.every((kind) => happensIn(setup, kind)),
  )
  const setup = options.setup ?? draw.fork('setup').pick(setups)
  const nodes = setup === 'embedded' ? 1 : (options.nodes ?? draw.fork('nodes').pick(NODES))
  return planOf({
    workload: workload.name,
    seed,
    setup,
    nodes,
    clients: CLIENTS,
    operations: workload.operations ?? OPERATIONS,
    durationMs: DURATION_MS,
    faults,
  })
}

function workloadOfSeed(seed: number, { workloads }: SeedOptions): Workload {
  return workloads[seed % workloads.length] as Workload
}

/** A function of the seed and the options alone: what ran before in this process does not matter. */
export async function runSeed(seed: number, options: SeedOptions): Promise<SeedReport> {
  const { watchdog, faults, isTwice = false } = options
  const workload = workloadOfSeed(seed, options)
  const plan = planOfSeed(seed, options)
  const result = await runWorkload(plan, workload, { watchdog })
  const report = seedReportOf(result, faults)
  if (!isTwice) return report
  let known: Trace | undefined = result.trace
  // The first event that differs is named (D2).
  const divergence = await compareRuns(async (record) => {
    const { trace } =
      known === undefined
        ? await runWorkload(plan, workload, { watchdog, record })
        : { trace: known }
    known = undefined
    return trace
  })
  if (divergence === undefined) return report
  const diverged = reportedViolation(plan, faults, DETERMINISM, divergence.text)
  return { ...report, violations: [...report.violations, diverged] }
}

export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const { seeds, onSeed, isOver, workloads, faults, isUntilViolation = false } = options
  const total = new Total()
  for (const seed of seeds) {
    const report = await runSeed(seed, options)
    total.add(report)
    onSeed?.(report)
    if (isUntilViolation && report.violations.length > 0) break
    if (isOver?.() === true) break
  }
  return total.report(workloads, faults)
}
