/** `simulate`: the user's own service, on simulated nodes, under faults, from an ordinary test. */
import type { ApiOf } from './app/app.ts'
import { bundleApp } from './app/bundle.ts'
import type { Plan } from './plan.ts'
import { runDriver, type RunResult } from './run.ts'
import { shrink } from './shrink.ts'
import { checkOptions, plansOf, type SimulateOptions } from './simulate-options.ts'
import { commandOfCaller, SimulationFailed, story } from './simulation-failed.ts'
import type { Simulation } from './simulation.ts'
import { realMs, setting, tell } from './test-process.ts'

export interface SimulateReport {
  /** Seeds that ran. */
  readonly seeds: number
  readonly simulatedMs: number
  readonly events: number
  readonly acked: number
  readonly failed: number
  readonly unknown: number
  readonly faults: Readonly<Record<string, number>>
  /** What `sometimes` was called with, by the number of seeds. */
  readonly reached: Readonly<Record<string, number>>
  /** Of the last seed: equal for equal code, seed and Node version. */
  readonly hash: string
}

const BUDGET_MS = 4_000
const LIMIT_MS = 600_000

/**
 * Runs `drive` once for each seed, each time in a world of its own. Its clients use the nodes while
 * faults come and go; after `sim.heal()`, which is called at the end if not before, there are none.
 *
 * `App` is the app's module, `typeof import('./shop.ts')`: what it exports is `node.api`.
 *
 * @throws SimulationFailed at the first seed in which a property does not hold, or `drive` throws
 * @throws HoldfastError `InvalidArgument` for options that make no sense, `AppNotBundled`
 */
export async function simulate<App = unknown>(
  options: SimulateOptions<ApiOf<App>>,
  drive: (sim: Simulation<ApiOf<App>>) => void | Promise<void>,
): Promise<SimulateReport> {
  // Now, while the stack has whoever called.
  const command = commandOfCaller()
  checkOptions(options, drive)
  const untilMs = realMs() + (options.budgetMs ?? BUDGET_MS)
  const run = await runner(options, drive)
  const { plans, isWhole } = plansOf(options)
  const results: RunResult[] = []
  let longestMs = 0
  for (const plan of plans) {
    const fromMs = realMs()
    if (results.length > 0 && fromMs + longestMs > untilMs) break
    const result = await run(plan)
    if (result.violations.length > 0) throw await failure(result, run, command)
    results.push(result)
    longestMs = Math.max(longestMs, realMs() - fromMs)
  }
  const report = reportOf(results)
  const missing = (options.sometimes ?? []).filter((name) => !Object.hasOwn(report.reached, name))
  if (results.length < plans.length) warn(results.length, plans.length, missing)
  else if (isWhole && missing.length > 0) throw neverReached(missing, plans, command)
  return report
}

type Run = (plan: Plan) => Promise<RunResult>

async function runner<Api>(
  options: SimulateOptions<Api>,
  drive: (sim: Simulation<Api>) => void | Promise<void>,
): Promise<Run> {
  const { app, env = {}, hosts = {}, tables, setUp, limitMs = LIMIT_MS } = options
  const bundle = app === undefined ? undefined : await bundleApp(app)
  const hosted = bundle === undefined ? undefined : { bundle, env, hosts }
  const driver = async (sim: Simulation<Api>): Promise<void> => {
    await drive(sim)
    sim.allAwaited()
  }
  return (plan) => runDriver<Api>(plan, { tables, app: hosted, setUp, limitMs }, driver)
}

async function failure(result: RunResult, run: Run, command: string): Promise<SimulationFailed> {
  const [first] = result.violations
  const property = first?.property ?? 'unknown'
  const isToShrink = setting('HOLDFAST_SHRINK') !== undefined
  const shown = isToShrink ? await shrunk(result, run, property) : result
  const { plan } = shown
  return new SimulationFailed(story(shown, { command, isShrunk: isToShrink }), {
    property,
    plan,
    cause: shown.violations[0]?.cause,
  })
}

/** The run of the smallest plan found in which the same property does not hold (D7). */
async function shrunk(result: RunResult, run: Run, property: string): Promise<RunResult> {
  let best = result
  await shrink(result.plan, {
    fails: async (plan) => {
      const tried = await run(plan)
      const isSame = tried.violations[0]?.property === property
      if (isSame) best = tried
      return isSame
    },
  })
  return best
}

function neverReached(
  missing: readonly string[],
  plans: readonly Plan[],
  command: string,
): SimulationFailed {
  const names = missing.map((name) => `'${name}'`).join(', ')
  const [plan] = plans
  return new SimulationFailed(
    `VIOLATED sometimes: none of ${plans.length} seeds reached ${names}\n\nreplay: ${command}`,
    { property: 'sometimes', plan: plan as Plan, cause: undefined },
  )
}

function reportOf(results: readonly RunResult[]): SimulateReport {
  const sum = (of: (result: RunResult) => number): number =>
    results.reduce((all, result) => all + of(result), 0)
  const faults: Record<string, number> = {}
  const reached: Record<string, number> = {}
  for (const result of results) {
    for (const [kind, count] of Object.entries(result.faults)) {
      faults[kind] = (faults[kind] ?? 0) + count
    }
    for (const name of result.seen) reached[name] = (reached[name] ?? 0) + 1
  }
  return {
    seeds: results.length,
    simulatedMs: sum(({ simulatedMs }) => simulatedMs),
    events: sum(({ events }) => events),
    acked: sum(({ counts }) => counts.acked),
    failed: sum(({ counts }) => counts.failed),
    unknown: sum(({ counts }) => counts.unknown),
    faults,
    reached,
    hash: results.at(-1)?.hash ?? '',
  }
}

function warn(ran: number, asked: number, missing: readonly string[]): void {
  const names = missing.map((name) => `'${name}'`).join(', ')
  const also = missing.length === 0 ? '' : `; not reached so far: ${names}`
  tell(`holdfast/testing: ran ${ran} of ${asked} seeds in the time there was (budgetMs)${also}`)
}
