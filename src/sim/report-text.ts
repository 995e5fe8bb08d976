/** Reports of campaigns for people and, as JSON, for scripts. */
import type { CampaignReport, ReportedViolation } from './campaign-report.ts'
import type { Plan } from './plan.ts'

/** What `--json` prints. */
export function reportJson(report: CampaignReport): string {
  const violations = report.violations.map(({ seed, property, message, plan, replay }) => ({
    ...{ seed, property, message, plan, replay },
  }))
  return `${JSON.stringify({ ...report, violations }, undefined, 2)}\n`
}

export function reportText(report: CampaignReport): string {
  const { seeds, counted, uncounted, simulatedSeconds, cpuSeconds, events } = report
  const perCpu = (count: number): string => whole(count / cpuSeconds)
  const { violations, missed } = report
  const lines = [
    `${seeds} seeds, ${counted} of them count`,
    ...Object.entries(uncounted).map(([reason, count]) => `  ${count} do not: ${reason}`),
    `${whole(simulatedSeconds)} s simulated in ${cpuSeconds.toFixed(1)} s of CPU time, the median seed ${whole(report.medianCpuMs)} ms`,
    `${whole(events)} events (${perCpu(events)} a CPU second); ${whole(report.idleSeconds)} s without any, in ${whole(report.idleJumps)} jumps`,
    `${whole(report.acked)} operations acked (${perCpu(report.acked)} a CPU second), ${whole(report.failed)} refused, ${whole(report.unknown)} unknown`,
    `${whole(report.calm)} outside of faults, ${percent(report.calmAcked, report.calm)} of them answered`,
    `${whole(report.checks)} checks, ${report.unknownChecks} out of budget`,
    `faults: ${list(report.faults)}`,
    `states reached: ${list(report.coverage)}`,
    `trace ${report.hash}`,
  ]
  for (const name of missed) lines.push(`NEVER REACHED: ${name}`)
  for (const violation of violations) lines.push('', violationText(violation))
  lines.push('', violations.length === 0 ? 'clean' : `${violations.length} violations`)
  return `${lines.join('\n')}\n`
}

/** The property, the timeline around it, and the line that replays it (D7). */
export function violationText(violation: ReportedViolation): string {
  const { seed, property, message, plan, timeline, replay } = violation
  const lines = [`VIOLATED ${property} (workload ${plan.workload}, seed ${seed})`, message]
  if (timeline !== undefined) lines.push('', timeline)
  return [...lines, '', `replay: ${replay}`].join('\n')
}

/** The size of a plan, to see it shrink. */
export function planText({ faults, nodes, clients, operations, skip }: Plan): string {
  const left = clients * operations - skip.length
  return `${faults.length} faults, ${nodes} nodes, ${clients} clients, ${left} operations`
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US')
const percent = (part: number, all: number): string =>
  all === 0 ? 'none' : `${((100 * part) / all).toFixed(1)} %`
const list = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ') || 'none'
