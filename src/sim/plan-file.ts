/** Plans as files (D7). */
/* oxlint-disable eslint/no-restricted-imports -- files around simulations, not part of a run */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { kindsOf, type Fault } from './fault-plan.ts'
import { PLAN_VERSION, type Plan } from './plan.ts'

/** Writes the plan into `folder`, which is made; returns the file. */
export function writePlan(folder: string, plan: Plan): string {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${plan.workload}-${plan.seed}.json`)
  writeFileSync(file, `${JSON.stringify(plan, undefined, 2)}\n`)
  return file
}

/** Throws an Error that says what is wrong with the file. */
export function readPlan(file: string): Plan {
  let plan: Plan | { readonly version: unknown }
  try {
    plan = JSON.parse(readFileSync(file, 'utf8')) as typeof plan
  } catch (cause) {
    throw new Error(`${file} is no plan: ${(cause as Error).message}`, { cause })
  }
  if (plan.version !== PLAN_VERSION) {
    const version = String(plan.version)
    throw new Error(`${file} is a plan of version ${version}; this reads ${PLAN_VERSION}`)
  }
  const wrong = whatIsWrong(plan as Plan)
  if (wrong !== undefined) throw new Error(`${file} is no plan: ${wrong}`)
  return plan as Plan
}

function whatIsWrong(plan: Plan): string | undefined {
  for (const field of ['seed', 'nodes', 'clients', 'operations', 'durationMs'] as const) {
    if (!(typeof plan[field] === 'number' && plan[field] > 0))
      return `${field} is no number above 0`
  }
  if (plan.setup !== 'embedded' && plan.setup !== 'shared') return 'setup is embedded or shared'
  if (!Array.isArray(plan.faults) || !Array.isArray(plan.skip)) return 'faults and skip are lists'
  const known: readonly string[] = kindsOf('hostile', plan.setup)
  const faults: readonly Fault[] = plan.faults
  const strange = faults.find(({ kind, atMs }) => !known.includes(kind) || !(atMs >= 0))
  if (strange === undefined) return undefined
  return `a fault ${JSON.stringify(strange)} cannot happen in the setup ${plan.setup}`
}
