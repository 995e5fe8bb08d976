/** How a failed simulation is told: the property, the story, and how to have it again (D7). */
import type { Plan } from './plan.ts'
import type { RunResult } from './run.ts'
import { commandFor } from './test-process.ts'

export interface FailureParts {
  readonly property: string
  readonly plan: Plan
  /** What the test threw, if it did. */
  readonly cause: unknown
}

/** A property did not hold. Its message has the timeline and the line that replays it. */
export class SimulationFailed extends Error {
  override readonly name = 'SimulationFailed'
  /** The name that `sim.check` was given, that of a checker's, or one of docs/TESTING.md. */
  readonly property: string
  readonly seed: number
  readonly #plan: Plan

  constructor(message: string, { property, plan, cause }: FailureParts) {
    super(message, cause === undefined ? {} : { cause })
    this.property = property
    this.seed = plan.seed
    this.#plan = plan
  }

  /** Runs again by `simulate({ ..., plan })`. Not a field: runners print all that an error has. */
  get plan(): Plan {
    return this.#plan
  }
}

const VIOLATIONS_SHOWN = 3

export interface Telling {
  /** What runs the test again. */
  readonly command: string
  /** Whether the plan is one to keep. */
  readonly isShrunk: boolean
}

export function story({ plan, violations, timeline }: RunResult, telling: Telling): string {
  const { command, isShrunk } = telling
  const lines = violations
    .slice(0, VIOLATIONS_SHOWN)
    .map(({ property, message }) =>
      [`VIOLATED ${property}`, message].filter((part) => part !== '').join(': '),
    )
  if (violations.length > VIOLATIONS_SHOWN) {
    lines.push(`and ${violations.length - VIOLATIONS_SHOWN} more`)
  }
  const seed = `HOLDFAST_SEED=${plan.seed}`
  // Shrinking takes many runs: longer than a runner would wait.
  const patient = command.replace('vitest run', 'vitest run --testTimeout=0')
  const again = isShrunk
    ? `plan: ${JSON.stringify(plan)}`
    : `shrink: ${seed} HOLDFAST_SHRINK=1 ${patient}`
  return [...lines, '', timeline ?? '', '', `replay: ${seed} ${command}`, again].join('\n')
}

const TEST_FILE = /[.](test|spec)[.][cm]?[jt]sx?$/
const FRAMES_MAX = 30

/** The command that runs the file which called `simulate`; called in the same turn. */
export function commandOfCaller(): string {
  const files = callerFiles()
  const file = files.find((path) => TEST_FILE.test(path)) ?? files[0]
  if (file === undefined) return 'and the command of this test'
  return commandFor(file)
}

/** Files on the stack, the nearest first, without our own and Node's. */
function callerFiles(): string[] {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = FRAMES_MAX
  const { stack = '' } = new Error('for its stack')
  Error.stackTraceLimit = stackTraceLimit
  return stack
    .split('\n')
    .map((line) => /((?:file:\/\/)?\/[^()]*):\d+:\d+\)?$/.exec(line)?.[1]?.replace('file://', ''))
    .filter((path) => path !== undefined)
    .filter((path) => !OURS.test(path) && !path.includes('/node_modules/'))
}

const OURS = /[/]sim[/]simulat[a-z-]+[.][jt]s$/
