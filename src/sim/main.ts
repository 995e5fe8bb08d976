/** `holdfast simulate`: campaigns of the project's own workloads, replays, shrinking, the zoo. */
/* oxlint-disable eslint/no-restricted-globals -- a command: it runs around simulations, not in one */
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { HELP, readArguments, seedsOf, Usage, workloadNamed, type Options } from './arguments.ts'
import { runCampaign } from './campaign.ts'
import { seedReportOf, type ReportedViolation, type SeedReport } from './campaign-report.ts'
import { FAULT_KINDS } from './fault-plan.ts'
import { runJobs, serveSeeds } from './jobs.ts'
import { readPlan, writePlan } from './plan-file.ts'
import { planText, reportJson, reportText, violationText } from './report-text.ts'
import { runWorkload } from './run.ts'
import { shrink } from './shrink.ts'
import { Watchdog } from './watchdog.ts'
import { WORKLOADS } from './workloads/all.ts'
import { runZoo, ZooError, type ZooVerdict } from './zoo.ts'

const EXIT = { clean: 0, violated: 1, usage: 2, interrupted: 130 } as const

/** The project's own folder: the bugs of the zoo are planted in its source. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const { stdout, stderr } = process
const argv = process.argv.slice(2)

async function main(): Promise<number | undefined> {
  const options = readArguments(argv, { cores: availableParallelism(), soakSeed: realMs() })
  if (options.isChild) {
    serveSeeds(process, { ...options, watchdog: new Watchdog() })
    return undefined
  }
  if (options.help) {
    stdout.write(HELP)
    return EXIT.clean
  }
  if (options.list) return showLists()
  if (options.isZoo) return zoo(options)
  if (options.replay !== undefined) return replay(options.replay, options)
  return campaign(options)
}

function showLists(): number {
  stdout.write('Workloads\n')
  for (const { name, what } of WORKLOADS) stdout.write(`  ${name.padEnd(14)} ${what}\n`)
  stdout.write(`\nFaults\n  ${FAULT_KINDS.join(', ')}\n`)
  return EXIT.clean
}

async function campaign(options: Options): Promise<number> {
  const { minutes, json, jobs } = options
  const endMs = minutes === undefined ? Infinity : realMs() + minutes * 60_000
  const interrupted = onInterrupt()
  const progress = new Progress(json)
  const campaignOptions = {
    ...options,
    seeds: seedsOf(options),
    onSeed: (report: SeedReport): void => {
      progress.add(report)
      const [first] = report.violations
      if (minutes !== undefined && first !== undefined) writePlan(options.out, first.plan)
    },
    isOver: (): boolean => realMs() > endMs || interrupted(),
  }
  const report =
    jobs === 1
      ? await runCampaign({ ...campaignOptions, watchdog: new Watchdog() })
      : await runJobs({
          ...campaignOptions,
          file: process.argv[1] ?? '',
          args: [...argv, '--child'],
        })
  progress.end()
  stdout.write(json ? reportJson(report) : reportText(report))
  const [first] = report.violations
  if (first !== undefined && options.isShrinking) await shrinkPlan(first, options)
  if (first !== undefined || report.missed.length > 0) return EXIT.violated
  return interrupted() ? EXIT.interrupted : EXIT.clean
}

/** The first Ctrl-C ends the campaign after the seeds that run, the second at once. */
function onInterrupt(): () => boolean {
  let isInterrupted = false
  process.on('SIGINT', () => {
    if (isInterrupted) process.exit(EXIT.interrupted)
    isInterrupted = true
  })
  return () => isInterrupted
}

/** A line on a terminal that says how far a campaign is. */
class Progress {
  readonly #isShown: boolean
  #done = 0
  #violations = 0

  constructor(json: boolean) {
    this.#isShown = stderr.isTTY === true && !json
  }

  add({ seed, violations }: SeedReport): void {
    this.#done++
    this.#violations += violations.length
    if (!this.#isShown) return
    const found = this.#violations === 1 ? '1 violation' : `${this.#violations} violations`
    stderr.write(`\r\u001b[Kseed ${seed}, ${this.#done} done, ${found}`)
  }

  end(): void {
    if (this.#isShown) stderr.write('\r\u001b[K')
  }
}

const realMs = (): number => Number(process.hrtime.bigint() / 1_000_000n)

async function zoo({ patches, seedCount, json, forZoo }: Options): Promise<number> {
  let verdicts: readonly ZooVerdict[]
  try {
    verdicts = await runZoo({
      root: ROOT,
      patches,
      budget: seedCount,
      campaign: forZoo,
      process,
      onVerdict: (verdict) => {
        if (!json) stdout.write(verdictText(verdict))
      },
    })
  } catch (cause) {
    if (!(cause instanceof ZooError)) throw cause
    throw new Usage(cause.message)
  }
  const lost = verdicts.filter(({ foundAfterSeeds }) => foundAfterSeeds === null)
  if (json) stdout.write(`${JSON.stringify({ zoo: verdicts }, undefined, 2)}\n`)
  else stdout.write(`${verdicts.length - lost.length} of ${verdicts.length} planted bugs found\n`)
  return lost.length === 0 ? EXIT.clean : EXIT.violated
}

function verdictText({ name, bug, property, foundAfterSeeds, problem }: ZooVerdict): string {
  const seeds = foundAfterSeeds === null ? 'not found' : `${foundAfterSeeds} seeds`
  const what = problem === undefined ? (property ?? '') : problem
  return `${seeds.padStart(10)}  ${name.padEnd(ZOO_NAME_WIDTH)}  ${bug}\n${' '.repeat(12)}${what}\n`
}

const ZOO_NAME_WIDTH = 28

/** Makes the plan small, and a file. */
async function shrinkPlan({ plan, property }: ReportedViolation, { out }: Options): Promise<void> {
  const workload = workloadNamed(plan.workload)
  stderr.write(`shrinking seed ${plan.seed} (${property}): ${planText(plan)}\n`)
  const shrunk = await shrink(plan, {
    fails: async (candidate) => {
      const { violations } = await runWorkload(candidate, workload)
      return violations.some((found) => found.property === property)
    },
    progress: (better, runs) => stderr.write(`  run ${runs}: ${planText(better)}\n`),
  })
  const file = writePlan(out, shrunk.plan)
  stderr.write(`${planText(shrunk.plan)}, in ${file}\n`)
  stderr.write(`replay: holdfast simulate --replay ${file}\n`)
}

async function replay(file: string, options: Options): Promise<number> {
  const plan = planIn(file)
  const result = await runWorkload(plan, workloadNamed(plan.workload), {
    watchdog: new Watchdog(),
  })
  const [first] = seedReportOf(result, options.faults).violations
  if (options.json) {
    const { hash, violations } = result
    stdout.write(`${JSON.stringify({ hash, violations, plan }, undefined, 2)}\n`)
  } else if (first === undefined) stdout.write(`clean, trace ${result.hash}\n`)
  else {
    const replayed = { ...first, replay: `holdfast simulate --replay ${file}` }
    stdout.write(`${violationText(replayed)}\ntrace ${result.hash}\n`)
  }
  if (first === undefined) return EXIT.clean
  if (options.isShrinking) await shrinkPlan(first, options)
  return EXIT.violated
}

function planIn(file: string): ReturnType<typeof readPlan> {
  try {
    return readPlan(file)
  } catch (cause) {
    throw new Usage((cause as Error).message)
  }
}

try {
  process.exitCode = await main()
} catch (cause) {
  if (!(cause instanceof Usage)) throw cause
  stderr.write(`${cause.message}\n(holdfast simulate --help shows all options)\n`)
  process.exitCode = EXIT.usage
}
