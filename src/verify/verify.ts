/** Rounds one after another on one cluster, until the time is over. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { systemEnv } from '../core/system-env.ts'
import { VERSION } from '../core/version.ts'
import { drawFrom } from '../sim/draw.ts'
import type { Workload } from '../sim/workload.ts'
import type { Options } from './arguments.ts'
import { HistoryFile } from './history-file.ts'
import { Injector } from './injector.ts'
import { NO_PROGRESS, planRound } from './nemesis.ts'
import { startProcessCluster, type ProcessCluster } from './process-cluster.ts'
import { noCounts, type Counts, type Found } from './real-host.ts'
import { CLUSTER, runRound, type RoundResult } from './round.ts'

export interface ReportedViolation extends Found {
  readonly round: number
}

export interface Report {
  /** Those that the rounds took. */
  readonly minutes: number
  readonly seed: number
  readonly rounds: number
  /** All that clients asked for, and what became of them. */
  readonly operations: number
  readonly acked: number
  readonly refused: number
  readonly unanswered: number
  /** Injections, by nemesis. */
  readonly faults: Readonly<Record<string, number>>
  readonly checks: number
  /** Checks that ran out of their budget: neither right nor wrong. */
  readonly unknown: number
  readonly violations: readonly ReportedViolation[]
  /** The folder of the history. */
  readonly history: string
}

export interface VerifyOptions extends Options {
  readonly binary: string
  /** Told line by line what is done. */
  readonly say: (text: string) => void
  readonly signal: AbortSignal
}

const MINUTE_MS = 60_000
/** A round has at least so long, however little time is left. */
const ROUND_MIN_MS = 4_000

export async function verify(options: VerifyOptions): Promise<Report> {
  const { out, say } = options
  mkdirSync(out, { recursive: true })
  const dir = join(out, 'cluster')
  mkdirSync(dir)
  const run = new Run(options)
  const cluster = await run.start(dir)
  try {
    await run.rounds(cluster)
  } finally {
    say('ending')
    await cluster.stop('SIGKILL')
  }
  const report = run.report()
  // What the processes left is only of use where something was wrong.
  if (report.violations.length === 0) rmSync(dir, { recursive: true, force: true })
  return report
}

class Run {
  readonly #options: VerifyOptions
  readonly #zeroMs = systemEnv.clock.monotonicMs()
  readonly #counts = noCounts()
  readonly #faults = new Map<string, number>()
  readonly #violations: ReportedViolation[] = []
  #injector: Injector | undefined
  #rounds = 0
  #spentMs = 0

  constructor(options: VerifyOptions) {
    this.#options = options
  }

  async start(dir: string): Promise<ProcessCluster> {
    const { binary, servers, nodes } = this.#options
    const cluster = await startProcessCluster({
      ...{ dir, natsServer: binary, servers, nodes: 0 },
      onEnd: (name, how, said) => this.#ended(name, how, said),
    })
    try {
      for (let i = 1; i <= nodes; i++) {
        await cluster.addNode(Injector.nodeOptions(dir, `node-${i}`))
      }
    } catch (cause) {
      await cluster.stop('SIGKILL')
      throw cause
    }
    this.#say(`${servers} NATS servers and ${nodes} nodes run; history in ${this.#options.out}`)
    const { say, nowMs } = this
    this.#injector = new Injector({ cluster, say, nowMs })
    return cluster
  }

  readonly nowMs = (): number => systemEnv.clock.monotonicMs() - this.#zeroMs

  readonly say = (text: string): void => this.#say(text)

  async rounds(cluster: ProcessCluster): Promise<void> {
    const { seed, minutes, roundMs, signal, nemeses } = this.#options
    const draw = drawFrom(seed, 'faults')
    const nodes = cluster.nodes.map(({ name }) => name)
    const servers = cluster.servers.map(({ name }) => name)
    const field = { kinds: nemeses, nodes, servers }
    const startMs = this.nowMs()
    let progress = NO_PROGRESS
    for (;;) {
      const leftMs = minutes * MINUTE_MS - (this.nowMs() - startMs)
      if (signal.aborted || (this.#rounds > 0 && leftMs < ROUND_MIN_MS)) break
      const number = ++this.#rounds
      const durationMs = Math.max(ROUND_MIN_MS, Math.min(roundMs, leftMs))
      const fork = draw.fork(`round-${number}`)
      const plan = planRound(draw, fork, field, durationMs, progress)
      progress = plan.progress
      const workloads = this.#workloadsOf(number)
      const names = workloads.map(({ name }) => name)
      this.#say(`round ${number}: ${names.join(', ')}`)
      const history = this.#history(number, { nodes, servers, workloads: names })
      const result = await runRound({
        ...{ number, seed, draw: fork, workloads, durationMs, cluster, nodes, history, signal },
        clients: this.#options.clients,
        injections: plan.injections,
        injector: this.#injector as Injector,
        nowMs: this.nowMs,
        say: this.say,
      })
      history.close()
      this.#add(number, result)
      // What did not come back will not: later rounds would tell of the same.
      if (result.found.some(({ workload }) => workload === CLUSTER)) break
    }
    this.#spentMs = this.nowMs() - startMs
  }

  /** In groups, each as often as the others. */
  #workloadsOf(round: number): readonly Workload[] {
    const { workloads, atOnce } = this.#options
    if (workloads.length <= atOnce) return workloads
    return Array.from(
      { length: atOnce },
      (_, i) => workloads[((round - 1) * atOnce + i) % workloads.length] as Workload,
    )
  }

  #history(
    round: number,
    names: { nodes: readonly string[]; servers: readonly string[]; workloads: readonly string[] },
  ): HistoryFile {
    const { out, seed, nemeses } = this.#options
    const file = join(out, `round-${String(round).padStart(4, '0')}.jsonl`)
    const versions = { holdfast: VERSION, node: process.version }
    return new HistoryFile(file, { round, seed, ...versions, ...names, nemeses })
  }

  #add(round: number, { counts, found, injected }: RoundResult): void {
    const sum = noCounts()
    for (const one of counts) add(sum, one)
    add(this.#counts, sum)
    for (const { kind } of injected) this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1)
    this.#violations.push(...found.map((one) => ({ round, ...one })))
    const { acked, refused, unanswered, checks, unknown } = sum
    this.#say(
      `round ${round}: ${acked} operations acked, ${refused} refused, ${unanswered} unanswered; ` +
        `${checks} checks, ${unknown} out of budget, ${found.length} violations`,
    )
    for (const { workload, property, message } of found) {
      this.#say(`VIOLATED ${property} (${workload}): ${message}`)
    }
  }

  /** A process that ends by itself is wrong, unless it was about to start. */
  #ended(name: string, how: number | string, said: string): void {
    if (this.#injector === undefined || this.#injector.isEnding(name) || how === 'SIGKILL') return
    const message = `${name} ended by itself (${how}): ${said.trim()}`
    const violation = { workload: CLUSTER, property: 'no-halt', message, round: this.#rounds }
    this.#violations.push(violation)
    this.#say(`VIOLATED no-halt: ${message}`)
  }

  report(): Report {
    const { acked, refused, unanswered, checks, unknown } = this.#counts
    return {
      minutes: Number((this.#spentMs / MINUTE_MS).toFixed(2)),
      ...{ seed: this.#options.seed, rounds: this.#rounds },
      operations: acked + refused + unanswered,
      ...{ acked, refused, unanswered },
      faults: Object.fromEntries(this.#faults),
      ...{ checks, unknown, violations: this.#violations, history: this.#options.out },
    }
  }

  #say(text: string): void {
    this.#options.say(`${(this.nowMs() / 1_000).toFixed(1).padStart(7)}s  ${text}`)
  }
}

function add(sum: Counts, one: Counts): void {
  for (const name of Object.keys(sum) as (keyof Counts)[]) sum[name] += one[name]
}
