/** The command line of `holdfast simulate`. */
import { parseArgs } from 'node:util'
import {
  FAULT_KINDS,
  happensIn,
  type FaultChoice,
  type FaultKind,
  type Setup,
} from './fault-plan.ts'
import type { Workload } from './workload.ts'
import { WORKLOADS } from './workloads/all.ts'
import { ZOO_BUDGET } from './zoo.ts'

export const HELP = `Usage: holdfast simulate [options]

Runs whole nodes under virtual time and injected faults, and judges what their clients saw.

  --seeds N          how many seeds (default 20)
  --seed S           the first seed (default 1); alone: that seed only
  --workload NAMES   some of: ${WORKLOADS.map(({ name }) => name).join(', ')} (default: all)
  --faults CHOICE    none, survivable (default), hostile, or kinds with commas between them
  --setup NAME       embedded or shared (default: drawn for each seed)
  --nodes N          nodes over a shared log (default: drawn for each seed)
  --jobs N           processes that share the seeds (default: one for each core)
  --replay PLAN      runs a plan file again, and shows its timeline
  --shrink           makes the first failing plan, or that of --replay, small, and writes it to a file
  --twice            runs each seed twice; names the first event that differs
  --until-violation  ends with the first seed that violates a property
  --minutes M        goes on with new seeds for so long, and writes failing plans to files
  --out FOLDER       where failing plans are written (default: simulations)
  --json             one JSON object on stdout
  --list             shows workloads and kinds of faults
  --zoo              plants bugs in a copy of the source, and counts the seeds that find each;
                     --seeds is then the budget of each (default ${ZOO_BUDGET})
  --patch FILE       with --zoo: this patch alone; may be given again (default: all of test/zoo)

Exit codes: 0 clean; 1 a property was violated, or a state that must be reached was not, or a planted
bug was not found; 2 wrong usage; 130 interrupted.
`

const DEFAULT_SEEDS = 20
/** More than any soak comes to. */
const SOAK_SEEDS = 1e9

/** The command line is wrong. */
export class Usage extends Error {}

export interface Options {
  readonly help: boolean
  readonly list: boolean
  readonly json: boolean
  readonly isTwice: boolean
  readonly isShrinking: boolean
  readonly isUntilViolation: boolean
  readonly isZoo: boolean
  readonly patches: readonly string[] | undefined
  readonly replay: string | undefined
  readonly firstSeed: number
  readonly seedCount: number
  readonly minutes: number | undefined
  readonly jobs: number
  /** Whether this process runs seeds for another one. */
  readonly isChild: boolean
  readonly workloads: readonly Workload[]
  readonly faults: FaultChoice
  readonly setup: Setup | undefined
  readonly nodes: number | undefined
  readonly out: string
  /** What a campaign of the zoo is told besides its seeds. */
  readonly forZoo: readonly string[]
}

/**
 * `cores`: the default of --jobs. `soakSeed`: where a campaign of some minutes begins, so that each
 * looks at other seeds. Throws `Usage`.
 */
export function readArguments(
  args: readonly string[],
  { cores, soakSeed }: { readonly cores: number; readonly soakSeed: number },
): Options {
  const values = parsed(args)
  if (values.patch !== undefined && !values.zoo) throw new Usage('--patch goes with --zoo')
  const isAlone = values.seed !== undefined && values.seeds === undefined
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
  if (minutes !== undefined && !(minutes > 0)) throw new Usage('--minutes takes a number above 0')
  const first = minutes === undefined ? 1 : soakSeed
  const many = values.zoo ? ZOO_BUDGET : isAlone ? 1 : DEFAULT_SEEDS
  const count = minutes === undefined ? many : SOAK_SEEDS
  const seedCount = numberOf('seeds', values.seeds ?? String(count))
  return {
    help: values.help,
    list: values.list,
    json: values.json,
    isTwice: values.twice,
    isShrinking: values.shrink,
    isUntilViolation: values['until-violation'],
    isZoo: values.zoo,
    patches: values.patch,
    replay: values.replay,
    firstSeed: numberOf('seed', values.seed ?? String(first)),
    seedCount,
    minutes,
    jobs: Math.min(numberOf('jobs', values.jobs ?? String(cores)), seedCount),
    isChild: values.child,
    workloads: workloadsOf(values.workload),
    faults: faultsOf(values.faults ?? 'survivable', setupOf(values.setup)),
    setup: setupOf(values.setup),
    nodes: values.nodes === undefined ? undefined : numberOf('nodes', values.nodes),
    out: values.out,
    forZoo: ['--jobs', '1', ...passedOn(values)],
  }
}

function passedOn(values: ReturnType<typeof parsed>): string[] {
  const names = ['seed', 'workload', 'faults', 'setup', 'nodes'] as const
  return names.flatMap((name) => {
    const value = values[name]
    return value === undefined ? [] : [`--${name}`, value]
  })
}

/** The seeds of a campaign, in order. */
export function* seedsOf({ firstSeed, seedCount }: Options): Generator<number> {
  for (let i = 0; i < seedCount; i++) yield firstSeed + i
}

function parsed(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        twice: { type: 'boolean', default: false },
        shrink: { type: 'boolean', default: false },
        'until-violation': { type: 'boolean', default: false },
        zoo: { type: 'boolean', default: false },
        patch: { type: 'string', multiple: true },
        replay: { type: 'string' },
        seed: { type: 'string' },
        seeds: { type: 'string' },
        minutes: { type: 'string' },
        jobs: { type: 'string' },
        child: { type: 'boolean', default: false },
        workload: { type: 'string' },
        faults: { type: 'string' },
        setup: { type: 'string' },
        nodes: { type: 'string' },
        out: { type: 'string', default: 'simulations' },
      },
    })
    return values
  } catch (cause) {
    throw new Usage((cause as Error).message)
  }
}

function numberOf(name: string, text: string): number {
  const value = Number(text.replaceAll('_', ''))
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new Usage(`--${name} takes a whole number above 0`)
}

function workloadsOf(text: string | undefined): readonly Workload[] {
  if (text === undefined) return WORKLOADS
  return text.split(',').map((name) => workloadNamed(name))
}

/** Throws `Usage`. */
export function workloadNamed(name: string): Workload {
  const found = WORKLOADS.find((workload) => workload.name === name)
  if (found !== undefined) return found
  const known = WORKLOADS.map((workload) => workload.name).join(', ')
  throw new Usage(`no such workload: ${name}; there are ${known}`)
}

function faultsOf(text: string, setup: Setup | undefined): FaultChoice {
  if (text === 'none' || text === 'survivable' || text === 'hostile') return text
  const kinds = text.split(',')
  const unknown = kinds.filter((kind) => !(FAULT_KINDS as readonly string[]).includes(kind))
  const alien =
    setup === undefined ? [] : kinds.filter((kind) => !happensIn(setup, kind as FaultKind))
  if (unknown.length === 0 && alien.length > 0) {
    throw new Usage(`--setup ${setup} has no ${alien.join(', ')}`)
  }
  if (unknown.length === 0) return kinds as FaultKind[]
  throw new Usage(`no such fault: ${unknown.join(', ')}; there are ${FAULT_KINDS.join(', ')}`)
}

function setupOf(text: string | undefined): Setup | undefined {
  if (text === undefined || text === 'embedded' || text === 'shared') return text
  throw new Usage('--setup takes embedded or shared')
}
