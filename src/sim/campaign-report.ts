/** What a campaign comes to: its seeds added up, and whether each of them counts (D5). */
import { CRASHED_WITH_WORK } from './coverage.ts'
import type { FaultChoice } from './fault-plan.ts'
import type { Plan } from './plan.ts'
import type { RunFigures, RunResult } from './run.ts'
import type { Counts } from './sim-client.ts'
import type { Workload } from './workload.ts'

export interface ReportedViolation {
  readonly seed: number
  readonly property: string
  readonly message: string
  readonly plan: Plan
  readonly timeline: string | undefined
  /** The command that shows it again. */
  readonly replay: string
}

/** One seed, as it goes from one process to another: plain data. */
export interface SeedReport extends RunFigures {
  readonly seed: number
  readonly workload: string
  readonly seen: readonly string[]
  /** Why it does not count; undefined: it does. */
  readonly uncounted: string | undefined
  readonly violations: readonly ReportedViolation[]
}

export interface CampaignReport {
  readonly seeds: number
  /** Seeds that count as D5 has it, and why the others do not: reason to number. */
  readonly counted: number
  readonly uncounted: Readonly<Record<string, number>>
  readonly simulatedSeconds: number
  /** Of them, jumped over at once because nothing was to be done, and in how many jumps. */
  readonly idleSeconds: number
  readonly idleJumps: number
  readonly cpuSeconds: number
  readonly medianCpuMs: number
  readonly events: number
  readonly acked: number
  readonly failed: number
  readonly unknown: number
  /** Operations outside faults, and those of them that succeeded. */
  readonly calm: number
  readonly calmAcked: number
  readonly checks: number
  readonly unknownChecks: number
  readonly faults: Readonly<Record<string, number>>
  /** States reached, by the number of seeds that did. */
  readonly coverage: Readonly<Record<string, number>>
  /** States that had to be reached, and were not: the campaign fails. */
  readonly missed: readonly string[]
  readonly violations: readonly ReportedViolation[]
  /** Of the traces of all seeds: equal for equal code, options and Node version. */
  readonly hash: string
}

/** D5: what a seed must have had to count. */
const ACKED_MIN = 300
const KINDS_MIN = 3
const CALM_ACKED_MIN = 0.9
const UNKNOWN_CHECKS_MAX = 0.01

/** A workload that ran for so many seeds must have reached all the states that it names. */
const SEEDS_TO_REACH_ALL = 20

export function seedReportOf(result: RunResult, faults: FaultChoice): SeedReport {
  const { plan, violations, timeline, seen } = result
  const { hash, events, idleJumps, cpuMs, counts } = result
  // Whole ones add up to the same in any order.
  const [simulatedMs, idleMs] = [Math.round(result.simulatedMs), Math.round(result.idleMs)]
  const { seed, workload } = plan
  const reported = violations
    .slice(0, 1)
    .map(({ property, message }) => reportedViolation(plan, faults, property, message, timeline))
  return {
    ...{ seed, workload, hash, events, simulatedMs, idleMs, idleJumps, cpuMs, counts },
    faults: result.faults,
    seen: [...seen],
    uncounted: whyUncounted(result, faults),
    violations: reported,
  }
}

export function reportedViolation(
  plan: Plan,
  faults: FaultChoice,
  property: string,
  message: string,
  timeline?: string,
): ReportedViolation {
  const { seed, workload, setup, nodes } = plan
  const options = [
    ...['--workload', workload, '--seed', seed, '--setup', setup],
    ...(setup === 'shared' ? ['--nodes', nodes] : []),
    ...(faults === 'survivable' ? [] : ['--faults', String(faults)]),
    ...(property === DETERMINISM ? ['--twice'] : []),
  ]
  const replay = `holdfast simulate ${options.join(' ')}`
  return { seed, property, message, plan, timeline, replay }
}

/** The property that two runs of a seed are the same (D2). */
export const DETERMINISM = 'determinism'

/** Of a seed whose process ended before it did. `said`: what the process said last. */
export function deadSeed(
  plan: Plan,
  faults: FaultChoice,
  isKilled: boolean,
  said: string,
): SeedReport {
  const { seed, workload } = plan
  const property = isKilled ? 'progress' : 'no-crash'
  const message = `the process of this seed ended: ${said.trim() || 'it said nothing'}`
  return {
    ...{ seed, workload, hash: '0', events: 0, simulatedMs: 0, idleMs: 0, idleJumps: 0, cpuMs: 0 },
    counts: { acked: 0, failed: 0, unknown: 0, calm: 0, calmAcked: 0, checks: 0, unknownChecks: 0 },
    ...{ faults: {}, seen: [] },
    uncounted: 'no completed liveness phase',
    violations: [reportedViolation(plan, faults, property, message)],
  }
}

function whyUncounted(result: RunResult, choice: FaultChoice): string | undefined {
  const { counts, faults, seen, isLive } = result
  if (!isLive) return 'no completed liveness phase'
  if (choice === 'none') return undefined
  if (counts.acked < ACKED_MIN) return `fewer than ${ACKED_MIN} acked operations`
  if (Object.keys(faults).length < KINDS_MIN) return `fewer than ${KINDS_MIN} kinds of fault`
  if (!seen.has(CRASHED_WITH_WORK)) return 'no crash with unsettled writes'
  if (counts.calmAcked < CALM_ACKED_MIN * counts.calm) return 'operations failed outside faults'
  if (counts.unknownChecks > UNKNOWN_CHECKS_MAX * counts.checks) return 'unknown checks'
  return undefined
}

/** Adds seeds up, in any order: the report is the same. */
export class Total {
  readonly #seedsOf = new Map<string, number>()
  readonly #cpuMs: number[] = []
  readonly #violations: ReportedViolation[] = []
  readonly #sums = {
    ...{ counted: 0, simulatedMs: 0, idleMs: 0, idleJumps: 0, cpuMs: 0, events: 0 },
    ...{ acked: 0, failed: 0, unknown: 0, calm: 0, calmAcked: 0, checks: 0, unknownChecks: 0 },
  }
  readonly #uncounted: Record<string, number> = {}
  readonly #faults: Record<string, number> = {}
  readonly #coverage: Record<string, number> = {}
  #hash = 0n

  add(one: SeedReport): void {
    const sums = this.#sums
    this.#cpuMs.push(one.cpuMs)
    this.#violations.push(...one.violations)
    this.#seedsOf.set(one.workload, (this.#seedsOf.get(one.workload) ?? 0) + 1)
    for (const key of ['simulatedMs', 'idleMs', 'idleJumps', 'cpuMs', 'events'] as const) {
      sums[key] += one[key]
    }
    for (const key of Object.keys(one.counts) as (keyof Counts)[]) sums[key] += one.counts[key]
    if (one.uncounted === undefined) sums.counted++
    else addTo(this.#uncounted, one.uncounted, 1)
    for (const [kind, count] of Object.entries(one.faults)) addTo(this.#faults, kind, count)
    for (const name of one.seen) addTo(this.#coverage, name, 1)
    this.#hash = BigInt.asUintN(64, this.#hash + BigInt(`0x${one.hash}`))
  }

  report(workloads: readonly Workload[], faults: FaultChoice): CampaignReport {
    const { simulatedMs, idleMs, cpuMs, ...sums } = this.#sums
    const cpu = this.#cpuMs.toSorted((a, b) => a - b)
    const wanted = workloads.flatMap(({ sometimes = [] }) => sometimes)
    const none = Object.fromEntries(wanted.map((name) => [name, 0]))
    return {
      seeds: cpu.length,
      ...sums,
      uncounted: sorted(this.#uncounted),
      simulatedSeconds: simulatedMs / 1000,
      idleSeconds: idleMs / 1000,
      cpuSeconds: cpuMs / 1000,
      medianCpuMs: cpu[cpu.length >> 1] ?? 0,
      faults: sorted(this.#faults),
      coverage: sorted({ ...none, ...this.#coverage }),
      missed: this.#missed(workloads, faults),
      violations: this.#violations.toSorted((a, b) => a.seed - b.seed),
      hash: this.#hash.toString(16).padStart(16, '0'),
    }
  }

  /** Some states need faults; which of them, only the full choice of faults makes sure. */
  #missed(workloads: readonly Workload[], faults: FaultChoice): string[] {
    if (typeof faults !== 'string' || faults === 'none') return []
    const ran = workloads.filter(({ name }) => (this.#seedsOf.get(name) ?? 0) >= SEEDS_TO_REACH_ALL)
    const wanted = ran.flatMap(({ sometimes = [] }) => sometimes)
    if (ran.length > 0) wanted.push(CRASHED_WITH_WORK)
    return wanted.filter((name) => this.#coverage[name] === undefined)
  }
}

function addTo(counts: Record<string, number>, name: string, count: number): void {
  counts[name] = (counts[name] ?? 0) + count
}

/** By name: in which order seeds were added must not show. */
function sorted(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
