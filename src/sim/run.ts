/** Runs one plan of a workload from founding to verdict. */
import type { WindowSize } from '../shard/window.ts'
import { drawFrom } from './draw.ts'
import { Kernel, type KernelOptions } from './kernel.ts'
import type { Plan } from './plan.ts'
import type { Counts, SimClient } from './sim-client.ts'
import { Simulation, type Violation } from './simulation.ts'
import { realTurn } from './test-process.ts'
import type { Trace } from './trace.ts'
import { catchUnhandled } from './unhandled.ts'
import type { Workload } from './workload.ts'
import { World, type WorldOptions } from './world.ts'

/** What a run comes to, as plain data. */
export interface RunFigures {
  /** Of the whole trace: the same plan, code and Node version give the same. */
  readonly hash: string
  readonly events: number
  readonly simulatedMs: number
  /** Of it, jumped over at once because nothing was to be done, and in how many jumps. */
  readonly idleMs: number
  readonly idleJumps: number
  /** CPU time of this process, user and system. */
  readonly cpuMs: number
  readonly counts: Counts
  /** Faults that took place, by kind. */
  readonly faults: Readonly<Record<string, number>>
}

export interface RunResult extends RunFigures {
  readonly plan: Plan
  readonly trace: Trace
  /** What `sometimes` was called with. */
  readonly seen: ReadonlySet<string>
  readonly violations: readonly Violation[]
  /** The part of the timeline that belongs to the first violation. */
  readonly timeline: string | undefined
  /** The liveness phase was gone through, and all in it succeeded. */
  readonly isLive: boolean
}

/** Operations of each client after healing. */
const LIVENESS_OPERATIONS = 4
/** Their numbers lie above all others, and do not move when a plan shrinks. */
const LIVENESS_FROM = 900

export interface RunOptions<Api = unknown> extends Omit<WorldOptions, 'plan'> {
  /** Before the first fault, with every node up. */
  readonly setUp?: ((sim: Simulation<Api>) => void | Promise<void>) | undefined
  /** For the kernel: what it records, and who watches that it goes on. */
  readonly kernel?: KernelOptions | undefined
}

/** What a run costs is real. */
const cpuUsage = (since?: NodeJS.CpuUsage): NodeJS.CpuUsage =>
  // oxlint-disable-next-line eslint/no-restricted-globals -- measured around a run, never seen in it
  process.cpuUsage(since)

/** Runs `driver` in a fresh world; what it throws is a violation of its own. */
export async function runDriver<Api>(
  plan: Plan,
  options: RunOptions<Api>,
  driver: (sim: Simulation<Api>) => void | Promise<void>,
): Promise<RunResult> {
  const cpuFrom = cpuUsage()
  const kernel = new Kernel(plan.seed, options.kernel)
  const seen = new Set<string>()
  const world = new World<Api>(kernel, { ...options, plan }, seen)
  const owner = kernel.owner('driver')
  const sim = new Simulation<Api>(plan, world, owner, seen)
  let isLive = false
  const work = async (): Promise<void> => {
    await world.start()
    await options.setUp?.(sim)
    world.armFaults()
    await driver(sim)
    await sim.heal()
    isLive = true
    await world.stop()
  }
  const tellProblems = (): void => {
    for (const { property, message } of world.problems.splice(0)) sim.violated(property, message)
  }
  let isOver = false
  const release = catchUnhandled(kernel, (cause, whose) => {
    if (!isOver && !world.unhandled(cause, whose)) sim.failed(cause, 'no-unhandled-rejection')
  })
  try {
    await kernel.run(() => kernel.as(owner, work))
  } catch (cause) {
    // A node that halted is why a run did not come to its end, not the other way round.
    tellProblems()
    sim.failed(cause)
  }
  await realTurn()
  isOver = true
  tellProblems()
  world.end()
  await release()
  const cpu = cpuUsage(cpuFrom)
  const first = sim.violations[0]
  return {
    plan,
    hash: kernel.hash,
    trace: kernel.trace,
    events: kernel.events,
    simulatedMs: kernel.nowMs,
    idleMs: kernel.idle.ms,
    idleJumps: kernel.idle.jumps,
    cpuMs: (cpu.user + cpu.system) / 1000,
    counts: sim.counts,
    faults: world.faultCounts,
    seen,
    violations: sim.violations,
    timeline: first === undefined ? undefined : world.timeline.around(first.atMs, first.words),
    isLive: isLive && sim.violations.length === 0,
  }
}

/** Faults and deadlines are over within minutes: a workload that is not done by then never is. */
const WORKLOAD_MS_MAX = 600_000

/** Runs a workload: clients through the faults, then healing, liveness, and its own judgement. */
export function runWorkload(
  plan: Plan,
  workload: Workload,
  kernel?: KernelOptions,
): Promise<RunResult> {
  const { tables, retention } = workload
  const window = drawFrom(plan.seed, 'window').pick(WINDOWS)
  const short = plan.setup === 'shared' ? drawFrom(plan.seed, 'history').pick(HISTORIES) : {}
  const history = retention === undefined ? short : { ...short, retention }
  const limitMs = WORKLOAD_MS_MAX
  return runDriver(plan, { tables, kernel, window, ...history, limitMs }, async (sim) => {
    const run = workload.begin(sim)
    await run.setUp?.()
    const skip = new Set(plan.skip)
    const pauseMs = plan.pauseMs ?? plan.durationMs / plan.operations
    await sim.clients(plan.clients, async (client) => {
      for (let number = 1; number <= plan.operations; number++) {
        await client.sleep(pauseOf(client, number, pauseMs, sim.nowMs))
        if (!skip.has(`${client.name}/${number}`)) await run.operation(client, number)
      }
    })
    await sim.heal()
    await live(sim, (client, number) => run.operation(client, LIVENESS_FROM + number), plan)
    await run.finish()
    if (plan.setup === 'shared') {
      await sim.eventually('agreement:reached', () => sim.world.agreement.compare())
    }
  })
}

/** As it is, and so small that the log is trimmed, and reads grow too old, within a run. */
const WINDOWS: readonly (WindowSize | undefined)[] = [undefined, { entries: 24, writes: 10_000 }]

/** How much of the past is kept, in the log and by nodes. */
type History = Pick<WorldOptions, 'tail' | 'window' | 'retention' | 'upkeepMs'>

const TAIL = { entries: 32 }
const HISTORIES: readonly History[] = [
  // As it is.
  {},
  // Nodes that were away find entries gone from the log, and take them from others.
  { tail: TAIL },
  // Others have not kept them either: what is left is a snapshot.
  { tail: TAIL, window: WINDOWS[1], retention: { keepMs: 1_000 }, upkeepMs: 700 },
]

/** Half of the operations come alone, half in crowds, at moments that all clients share. */
const CROWD_SHARE = 0.5
const CROWD_EVERY_MS = 250
/** In the mean, from such a moment to the operation. */
const CROWD_SPREAD_MS = 1

function pauseOf(client: SimClient, number: number, meanMs: number, nowMs: number): number {
  const draw = client.drawOf(`pause-${number}`)
  const pauseMs = draw.exponential(meanMs)
  if (!draw.chance(CROWD_SHARE)) return pauseMs
  const crowdMs = Math.ceil((nowMs + pauseMs) / CROWD_EVERY_MS) * CROWD_EVERY_MS
  return crowdMs - nowMs + draw.exponential(CROWD_SPREAD_MS)
}

/** After healing everything succeeds: new clients do some more, and none of it may fail. */
async function live(
  sim: Simulation,
  operation: (client: SimClient, number: number) => Promise<void>,
  plan: Plan,
): Promise<void> {
  const before = { ...sim.counts }
  await sim.clients(plan.clients, async (client) => {
    for (let number = 1; number <= LIVENESS_OPERATIONS; number++) {
      await client.sleep(client.drawOf(`live-${number}`).exponential(20))
      await operation(client, number)
    }
  })
  const unknown = sim.counts.unknown - before.unknown
  sim.check('liveness', unknown === 0, `${unknown} operations after healing had no outcome`)
}
