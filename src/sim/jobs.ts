/**
 * A campaign in several processes: the parent hands seeds out in order, one at a time to each, and
 * adds up what comes back. A seed's report does not depend on what ran before it in its process, so
 * the campaign's does not depend on how many there are. A child that dies is a finding: its seed
 * hung or crashed it, and another child takes its place.
 */
/* oxlint-disable eslint/no-restricted-imports -- processes around simulations, not part of a run */
import { fork, type ChildProcess } from 'node:child_process'
import { planOfSeed, runSeed, type CampaignOptions, type SeedOptions } from './campaign.ts'
import { deadSeed, Total, type CampaignReport, type SeedReport } from './campaign-report.ts'

export interface JobsOptions extends CampaignOptions {
  /** How many processes. */
  readonly jobs: number
  /** The file that calls `serveSeeds` in a child, and its arguments. */
  readonly file: string
  readonly args: readonly string[]
}

/** Of a child that died, what it said last. */
const SAID_MAX = 2_000

/** Runs the seeds in `jobs` processes. */
export async function runJobs(options: JobsOptions): Promise<CampaignReport> {
  const { workloads, faults, jobs, isOver, isUntilViolation = false } = options
  const total = new Total()
  // Which seed is the first that violates something is known when those before it are done.
  const held: SeedReport[] = []
  let lastSeed = Infinity
  const take = (report: SeedReport): void => {
    options.onSeed?.(report)
    if (!isUntilViolation) return total.add(report)
    held.push(report)
    if (report.violations.length > 0) lastSeed = Math.min(lastSeed, report.seed)
  }
  const seeds = options.seeds[Symbol.iterator]()
  const next = (): number | undefined => {
    if (lastSeed < Infinity || isOver?.() === true) return undefined
    const seed = seeds.next()
    return seed.done === true ? undefined : seed.value
  }
  await Promise.all(Array.from({ length: jobs }, () => work(next, take, options)))
  for (const report of held) if (report.seed <= lastSeed) total.add(report)
  return total.report(workloads, faults)
}

async function work(
  next: () => number | undefined,
  take: (report: SeedReport) => void,
  options: JobsOptions,
): Promise<void> {
  let child: Child | undefined
  for (let seed = next(); seed !== undefined; seed = next()) {
    child ??= new Child(options)
    const report = await child.run(seed)
    take(report ?? deadSeed(planOfSeed(seed, options), options.faults, child.isKilled, child.said))
    if (report === undefined) child = undefined
  }
  child?.end()
}

class Child {
  readonly #process: ChildProcess
  readonly #ended: Promise<undefined>
  said = ''

  constructor({ file, args }: JobsOptions) {
    const child = fork(file, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    child.stderr?.on('data', (bytes: Buffer) => {
      this.said = (this.said + bytes.toString()).slice(-SAID_MAX)
    })
    this.#process = child
    this.#ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', () => resolve(undefined))
    })
  }

  /** By the watchdog, for one. */
  get isKilled(): boolean {
    return this.#process.signalCode !== null
  }

  /** Undefined: the process ended meanwhile. */
  run(seed: number): Promise<SeedReport | undefined> {
    const answer = new Promise<SeedReport>((resolve) => {
      this.#process.once('message', (report) => resolve(report as SeedReport))
    })
    this.#process.send(seed, () => undefined)
    return Promise.race([answer, this.#ended])
  }

  end(): void {
    if (this.#process.connected) this.#process.disconnect()
  }
}

/** The part of the child: runs each seed that it is sent, until its parent is gone. */
export function serveSeeds(child: NodeJS.Process, options: SeedOptions): void {
  // The parent hears of Ctrl-C as well, and decides.
  child.on('SIGINT', () => undefined)
  child.on('disconnect', () => child.exit())
  child.on('message', (seed: number) => {
    void runSeed(seed, options).then((report) => child.send?.(report))
  })
}
