/** What `simulate` was asked for: refused early, with advice, or written out as plans. */
import { HoldfastError } from '../core/errors.ts'
import type { TableDefinitions } from '../table/schema.ts'
import type { HostHandler } from './app/virtual-fetch.ts'
import { checkKind } from './fault-check.ts'
import type { FaultChoice, Setup } from './fault-plan.ts'
import { PLAN_VERSION, planOf, type Plan } from './plan.ts'
import type { Simulation } from './simulation.ts'
import { setting } from './test-process.ts'

export interface SimulateOptions<Api = unknown> {
  /** Default 3. */
  readonly nodes?: number
  /**
   * The module that each node runs: a `file:` URL or an absolute path. It is bundled once, and
   * evaluated anew whenever a node starts. Without it nodes have the database of `tables` alone.
   */
  readonly app?: URL | string
  /** Of the database that every node opens when there is no `app`. */
  readonly tables?: TableDefinitions
  /** Environment variables of the app. */
  readonly env?: Readonly<Record<string, string>>
  /** Hosts outside of the cluster that the app may `fetch` from, by name. */
  readonly hosts?: Readonly<Record<string, HostHandler>>
  /** Done in each seed before the first fault, with every node up. */
  readonly setUp?: (sim: Simulation<Api>) => void | Promise<void>
  /** Default `survivable`: all that Holdfast promises to survive. */
  readonly faults?: FaultChoice
  /** Default: `shared` for several nodes, `embedded` for one. */
  readonly setup?: Setup
  /** How many seeds. Default 10. */
  readonly seeds?: number
  /** The first seed. Default 1. HOLDFAST_SEED in the environment asks for that one alone. */
  readonly seed?: number
  /** A kept plan, or its JSON: runs it alone, instead of seeds. */
  readonly plan?: Plan | string
  /**
   * Names of states, marked by `sim.sometimes`, that some seed must reach: otherwise the test proves
   * less than it seems to. Not asked of fewer seeds than there should be.
   */
  readonly sometimes?: readonly string[]
  /** Virtual milliseconds in which faults begin. Default 20,000. */
  readonly durationMs?: number
  /** Virtual milliseconds after which a seed that has not ended fails. Default 600,000. */
  readonly limitMs?: number
  /**
   * Real milliseconds for all seeds: none but the first is begun that might take longer than is left,
   * so that a test ends within its runner's time limit. Default 4,000. How many seeds ran is in the
   * answer, and on the console if fewer.
   */
  readonly budgetMs?: number
}

const DEFAULTS = { nodes: 3, seeds: 10, seed: 1, durationMs: 20_000 } as const
/** More find nothing that these do not, and each costs. */
const NODES_MAX = 9

/** @throws HoldfastError `InvalidArgument` that says what to pass instead */
export function checkOptions<Api>(options: SimulateOptions<Api>, drive: unknown): void {
  if (typeof options !== 'object' || options === null) throw refused('simulate takes options')
  const { nodes, seeds, seed, durationMs, limitMs, budgetMs, app, tables, setup, faults } = options
  if (typeof drive !== 'function') {
    throw refused('simulate(options, async (sim) => { ... }) takes a function that drives the test')
  }
  whole('nodes', nodes, 1, NODES_MAX)
  whole('seeds', seeds, 1)
  whole('seed', seed, 1)
  for (const [name, value] of Object.entries({ durationMs, limitMs, budgetMs })) {
    if (value !== undefined && !(value >= 0)) throw refused(`${name} is a number of milliseconds`)
  }
  if (app !== undefined && tables !== undefined) {
    throw refused('with an `app` leave out `tables`: the app opens its own database')
  }
  checkApp(app)
  if (setup !== undefined && setup !== 'embedded' && setup !== 'shared') {
    throw refused(`setup is 'embedded' or 'shared', not ${String(setup)}`)
  }
  checkFaults(faults, setupOf(options))
}

/** The runs to make, and whether they are all that the test asks for. */
export function plansOf<Api>(options: SimulateOptions<Api>): {
  readonly plans: readonly Plan[]
  readonly isWhole: boolean
} {
  const { plan, seeds = DEFAULTS.seeds, seed = DEFAULTS.seed } = options
  if (plan !== undefined) return { plans: [keptPlan(plan)], isWhole: false }
  const asked = setting('HOLDFAST_SEED')
  if (asked !== undefined) {
    whole('HOLDFAST_SEED', Number(asked), 1)
    return { plans: [planFor(Number(asked), options)], isWhole: false }
  }
  const plans = Array.from({ length: seeds }, (_, i) => planFor(seed + i, options))
  return { plans, isWhole: true }
}

function planFor<Api>(seed: number, options: SimulateOptions<Api>): Plan {
  const { nodes = DEFAULTS.nodes, durationMs = DEFAULTS.durationMs } = options
  const { faults = 'survivable' } = options
  // Clients and operations are the driver's.
  const none = { workload: 'test', clients: 0, operations: 0 }
  const plan = planOf({ ...none, seed, setup: setupOf(options), nodes, durationMs, faults })
  return { ...plan, pauseMs: 0 }
}

function setupOf<Api>({ setup, nodes = DEFAULTS.nodes }: SimulateOptions<Api>): Setup {
  return setup ?? (nodes === 1 ? 'embedded' : 'shared')
}

function keptPlan(plan: Plan | string): Plan {
  const kept = typeof plan === 'string' ? parsed(plan) : plan
  if (kept.version === PLAN_VERSION) return kept
  throw refused('plan is what a failed simulation printed behind "plan:", of this version')
}

function parsed(text: string): Plan {
  try {
    return JSON.parse(text) as Plan
  } catch (cause) {
    throw refused('plan is no JSON: pass what stands in the file, not its name', cause)
  }
}

function checkApp(app: URL | string | undefined): void {
  if (app === undefined || app instanceof URL) return
  if (typeof app === 'string' && /^(file:|[/]|[a-z]:\\)/i.test(app)) return
  throw refused(
    `app is ${String(app)}: pass new URL('./shop.ts', import.meta.url), or an absolute path`,
  )
}

const CHOICES = ['none', 'survivable', 'hostile']

function checkFaults(faults: FaultChoice | undefined, setup: Setup): void {
  if (faults === undefined) return
  if (typeof faults === 'string') {
    if (CHOICES.includes(faults)) return
    const known = CHOICES.map((name) => `'${name}'`).join(', ')
    throw refused(`faults is one of ${known} or a list of kinds, not '${String(faults)}'`)
  }
  for (const kind of faults) checkKind(kind, setup)
}

function whole(name: string, value: number | undefined, least: number, most?: number): void {
  if (value === undefined) return
  if (Number.isInteger(value) && value >= least && value <= (most ?? value)) return
  const range = most === undefined ? `from ${least} up` : `from ${least} to ${most}`
  throw refused(`${name} is a whole number ${range}, not ${String(value)}`)
}

function refused(message: string, cause?: unknown): HoldfastError {
  return new HoldfastError('InvalidArgument', message, cause === undefined ? {} : { cause })
}
