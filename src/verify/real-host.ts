/** Where a workload runs against real processes: for one round, with tables of its own. */
import { HoldfastError } from '../core/errors.ts'
import { delay } from '../core/env.ts'
import { systemEnv } from '../core/system-env.ts'
import { judge, type Case } from '../sim/check/judge.ts'
import type { Verdict } from '../sim/check/verdict.ts'
import { drawFrom, type Draw } from '../sim/draw.ts'
import { settled, type Outcome } from '../sim/outcome.ts'
import { OPERATION_MS, type OperationOptions } from '../sim/sim-client.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadDatabase,
  WorkloadHost,
  WorkloadNode,
} from '../sim/workload.ts'

/** What did not hold. */
export interface Found {
  readonly workload: string
  readonly property: string
  /** One line, and behind it operations that show it. */
  readonly message: string
}

export interface Counts {
  acked: number
  /** Certainly not applied. */
  refused: number
  /** Of unknown outcome. */
  unanswered: number
  checks: number
  /** Checks that ran out of their budget. */
  unknown: number
}

export const noCounts = (): Counts => ({
  acked: 0,
  refused: 0,
  unanswered: 0,
  checks: 0,
  unknown: 0,
})

export interface RealHostOptions {
  readonly workload: Workload
  readonly nodes: readonly [WorkloadNode, ...WorkloadNode[]]
  /** Of this round and workload. */
  readonly seed: string
  /** The number of the first client. Idempotency keys are made of them: no two rounds share any. */
  readonly firstClient: number
  /** Monotonic, of this process, from the beginning of the run. */
  readonly nowMs: () => number
  /** Told of each part of the history that is judged, before it is. */
  readonly onCase: (part: Case) => void
}

/** Violations of one property that are told, of one workload in one round. */
const TOLD_MAX = 3

export class RealHost implements WorkloadHost {
  readonly workload: Workload
  readonly nodes: readonly [WorkloadNode, ...WorkloadNode[]]
  readonly counts = noCounts()
  readonly found: Found[] = []
  readonly seen = new Set<string>()
  isHealed = false
  /** What waited as long as calls may take, and had no answer. */
  readonly overdue: string[] = []
  readonly #options: RealHostOptions
  readonly #draw: Draw
  #clients: number

  constructor(options: RealHostOptions) {
    this.#options = options
    this.workload = options.workload
    this.nodes = options.nodes
    this.#draw = drawFrom(options.seed)
    this.#clients = options.firstClient
  }

  get nowMs(): number {
    return this.#options.nowMs()
  }

  sleep(ms: number): Promise<void> {
    return delay(systemEnv, Math.max(0, ms))
  }

  async clients(
    count: number,
    run: (client: WorkloadClient) => void | Promise<void>,
  ): Promise<void> {
    const all = Array.from({ length: count }, async () => {
      const name = `client-${this.#clients++}`
      await run(new RealClient(name, this.#draw.fork(name), this))
    })
    await Promise.all(all)
  }

  check(property: string, holds: boolean, message = ''): void {
    this.counts.checks++
    if (!holds) this.violated(property, message)
  }

  examine(part: Case): void {
    this.#options.onCase(part)
    this.take(judge(part))
  }

  /** Takes over what a checker said. */
  take({ checks, unknown, violations }: Verdict): void {
    this.counts.checks += checks
    this.counts.unknown += unknown
    for (const { property, message, timeline } of violations) {
      this.violated(property, timeline === '' ? message : `${message}\n${timeline}`)
    }
  }

  violated(property: string, message: string): void {
    const { name } = this.workload
    const times = this.found.filter((one) => one.property === property).length
    if (times < TOLD_MAX) this.found.push({ workload: name, property, message })
  }

  sometimes(name: string): void {
    this.seen.add(name)
  }
}

class RealClient implements WorkloadClient {
  readonly name: string
  readonly #draw: Draw
  readonly #host: RealHost

  constructor(name: string, draw: Draw, host: RealHost) {
    this.name = name
    this.#draw = draw
    this.#host = host
  }

  sleep(ms: number): Promise<void> {
    return delay(systemEnv, Math.max(0, ms))
  }

  drawOf(label: string): Draw {
    return this.#draw.fork(label)
  }

  async operation<T>(
    text: string,
    node: WorkloadNode,
    work: (on: { readonly db: WorkloadDatabase }) => T | Promise<T>,
    { deadlineMs = OPERATION_MS }: OperationOptions = {},
  ): Promise<Outcome<T>> {
    const outcome = await settled(limited(node.call(work), deadlineMs))
    const { counts, overdue } = this.#host
    if (outcome.kind === 'ok') counts.acked++
    else if (outcome.kind === 'failed') counts.refused++
    else {
      counts.unanswered++
      if (deadlineMs === OPERATION_MS)
        overdue.push(`${this.name}: ${text} at ${node.name}: ${String(outcome.error)}`)
    }
    return outcome
  }
}

function limited<T>(work: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void =>
      reject(new HoldfastError('OutcomeUnknown', `no answer in ${ms} ms`, { applied: 'unknown' }))
    const cancel = systemEnv.timers.after(ms, late)
    work.finally(cancel).then(resolve, reject)
  })
}
