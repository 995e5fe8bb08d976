/** The command line of `holdfast verify`. */
import { parseArgs } from 'node:util'
import type { Workload } from '../sim/workload.ts'
import { WORKLOADS } from '../sim/workloads/all.ts'
import { NEMESES, type Nemesis } from './nemesis.ts'

export const HELP = `Usage: holdfast verify [options]

Runs the simulator's workloads against a cluster of real processes on this machine, injects faults,
and judges what the workloads' clients saw by the simulator's checkers. Its history is kept.

  --minutes M        how long (default 1)
  --workload NAMES   some of: ${WORKLOADS.map(({ name }) => name).join(', ')} (default: all)
  --nemesis NAMES    all (default), none, or some of:
                     ${NEMESES.slice(0, 5).join(', ')},
                     ${NEMESES.slice(5).join(', ')}
  --nodes N          Holdfast nodes, 3 to 5 (default 3)
  --servers N        NATS servers (default 3)
  --round S          seconds of faults in each round (default 20)
  --at-once N        workloads that share a round (default 5)
  --clients N        clients of each workload (default 3)
  --seed S           of operations and faults (default: the time)
  --out DIR          a new folder for the history (default holdfast-verify-SEED)
  --nats-server PATH the program (default: of the PATH, or what npm run cluster obtained)
  --json             { minutes, operations, faults, unknown, violations, ... } on stdout
  --check PATH       judges a history again: a file, or a folder of them

Exit code: 0 nothing was violated, 1 something was, 2 wrong usage.
`

export class Usage extends Error {}

export interface Options {
  readonly minutes: number
  readonly workloads: readonly Workload[]
  readonly nemeses: readonly Nemesis[]
  readonly nodes: number
  readonly servers: number
  readonly roundMs: number
  readonly atOnce: number
  readonly clients: number
  readonly seed: number
  readonly out: string
  readonly natsServer: string | undefined
  readonly json: boolean
  readonly check: string | undefined
  readonly help: boolean
}

/** @throws Usage */
export function readArguments(args: readonly string[], anySeed: number): Options {
  const values = parsed(args)
  const number = (name: keyof typeof values, otherwise: number, least: number): number => {
    const text = values[name]
    if (text === undefined) return otherwise
    const value = Number(text)
    if (Number.isFinite(value) && value >= least) return value
    throw new Usage(`--${name} takes a number from ${least} on, not ${String(text)}`)
  }
  const seed = number('seed', anySeed, 0)
  return {
    minutes: number('minutes', 1, 0),
    workloads: workloadsOf(values.workload),
    nemeses: nemesesOf(values.nemesis),
    nodes: number('nodes', 3, 1),
    servers: number('servers', 3, 1),
    roundMs: number('round', 20, 1) * 1_000,
    atOnce: number('at-once', 5, 1),
    clients: number('clients', 3, 1),
    seed,
    out: values.out ?? `holdfast-verify-${seed}`,
    natsServer: values['nats-server'],
    json: values.json === true,
    check: values.check,
    help: values.help === true,
  }
}

function parsed(args: readonly string[]) {
  const text = { type: 'string' } as const
  try {
    return parseArgs({
      args: [...args],
      options: {
        ...{ minutes: text, workload: text, nemesis: text, nodes: text, servers: text },
        ...{ round: text, 'at-once': text, clients: text, seed: text, out: text, check: text },
        'nats-server': text,
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (cause) {
    throw new Usage((cause as Error).message)
  }
}

function workloadsOf(text: string | undefined): readonly Workload[] {
  if (text === undefined || text === 'all') return WORKLOADS
  return text.split(',').map((name) => {
    const found = WORKLOADS.find((workload) => workload.name === name)
    if (found !== undefined) return found
    const known = WORKLOADS.map((workload) => workload.name).join(', ')
    throw new Usage(`no such workload: ${name}; there are ${known}`)
  })
}

function nemesesOf(text: string | undefined): readonly Nemesis[] {
  if (text === undefined || text === 'all') return NEMESES
  if (text === 'none') return []
  return text.split(',').map((name) => {
    const found = NEMESES.find((nemesis) => nemesis === name)
    if (found !== undefined) return found
    throw new Usage(`no such nemesis: ${name}; there are ${NEMESES.join(', ')}`)
  })
}
