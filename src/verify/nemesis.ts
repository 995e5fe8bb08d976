/**
 * What is done to the processes of a round, and when: a function of the seed alone. Two lanes go on
 * side by side, one at the nodes and one at the servers, each with one fault after another, so that
 * a quorum of the servers and one node are always left, but where losing the quorum is the fault.
 */
import type { Draw } from '../sim/draw.ts'

export const NEMESES = [
  'kill-node',
  'pause-node',
  'wipe-node',
  'fork-node',
  'clock-skew',
  'kill-server',
  'pause-server',
  'quorum-loss',
  'partition',
  'slow',
] as const
export type Nemesis = (typeof NEMESES)[number]

export type Lane = 'node' | 'server'
type Direction = 'both' | 'in' | 'out'

/** How a node's clock runs: so much ahead at once, and so many milliseconds in one. */
export interface Skew {
  readonly jumpMs: number
  readonly rate: number
}

export type Harm =
  | { readonly kind: Exclude<Nemesis, 'clock-skew' | 'partition' | 'slow' | 'quorum-loss'> }
  | { readonly kind: 'quorum-loss'; readonly spared: string }
  | { readonly kind: 'clock-skew'; readonly skew: Skew }
  | {
      readonly kind: 'partition'
      readonly direction: Direction
      /** From these alone; undefined: from all others. */
      readonly others: readonly string[] | undefined
    }
  | { readonly kind: 'slow'; readonly ms: number }

export interface Injection {
  readonly lane: Lane
  /** A process, or the server that leads the log by then. */
  readonly target: string | typeof LEADER
  readonly harm: Harm
  /** Milliseconds from the beginning of the round, and how long it lasts. */
  readonly atMs: number
  readonly forMs: number
}

export const LEADER = 'the leader'

/** Milliseconds that each lasts, from and to. */
const LASTS: Readonly<Record<Nemesis, readonly [number, number]>> = {
  'kill-node': [200, 4_000],
  'pause-node': [500, 6_000],
  'wipe-node': [200, 2_000],
  'fork-node': [3_000, 7_000],
  'clock-skew': [2_000, 8_000],
  'kill-server': [500, 5_000],
  'pause-server': [500, 7_000],
  'quorum-loss': [2_000, 9_000],
  partition: [1_000, 8_000],
  slow: [1_500, 6_000],
}
/** Milliseconds without a fault in a lane, in the mean. */
const PAUSE_MS = 1_500
/** The last fault of a round ends so long before the round does. */
const LEAST_MS = 500
const LEADER_SHARE = 0.6
const OF_NODES: readonly Nemesis[] = [
  ...(['kill-node', 'pause-node', 'wipe-node', 'fork-node', 'clock-skew'] as const),
  ...(['partition', 'slow'] as const),
]
const OF_SERVERS: readonly Nemesis[] = [
  ...(['kill-server', 'pause-server', 'quorum-loss', 'partition', 'slow'] as const),
]

export interface Field {
  readonly kinds: readonly Nemesis[]
  readonly nodes: readonly string[]
  readonly servers: readonly string[]
}

/** How many faults each lane has had: what comes next, since every kind comes once in a cycle. */
export type Progress = Readonly<Record<Lane, number>>

export const NO_PROGRESS: Progress = { node: 0, server: 0 }

export interface RoundPlan {
  readonly injections: readonly Injection[]
  readonly progress: Progress
}

/** The faults of one round. `seed` is the run's, `round` this round's. */
export function planRound(
  seed: Draw,
  round: Draw,
  field: Field,
  durationMs: number,
  progress: Progress,
): RoundPlan {
  const node = planLane('node', seed, round, field, durationMs, progress.node)
  const server = planLane('server', seed, round, field, durationMs, progress.server)
  return {
    injections: [...node, ...server].toSorted((a, b) => a.atMs - b.atMs),
    progress: { node: progress.node + node.length, server: progress.server + server.length },
  }
}

function planLane(
  lane: Lane,
  seed: Draw,
  round: Draw,
  field: Field,
  durationMs: number,
  done: number,
): Injection[] {
  const possible = lane === 'node' ? OF_NODES : OF_SERVERS
  const kinds = possible.filter((kind) => field.kinds.includes(kind))
  const injections: Injection[] = []
  if (kinds.length === 0) return injections
  let atMs = 0
  for (;;) {
    const count = done + injections.length
    const cycle = seed.fork(`${lane}-cycle-${Math.floor(count / kinds.length)}`).shuffled(kinds)
    const kind = cycle[count % kinds.length] as Nemesis
    const draw = round.fork(`${lane}-${injections.length}`)
    atMs += Math.round(draw.exponential(PAUSE_MS))
    const [least, most] = LASTS[kind]
    const forMs = Math.min(draw.int(least, most), durationMs - atMs)
    // One that has no time of its own comes first in the next round.
    if (forMs < Math.max(LEAST_MS, least)) return injections
    injections.push({ lane, ...aimed(lane, kind, draw, field), atMs, forMs })
    atMs += forMs
  }
}

function aimed(
  lane: Lane,
  kind: Nemesis,
  draw: Draw,
  { nodes, servers }: Field,
): Pick<Injection, 'target' | 'harm'> {
  const isAtLeader = lane === 'server' && draw.chance(LEADER_SHARE)
  const target = isAtLeader ? LEADER : draw.pick(lane === 'node' ? nodes : servers)
  switch (kind) {
    case 'quorum-loss':
      return { target: 'the quorum', harm: { kind, spared: draw.pick(servers) } }
    case 'clock-skew':
      return { target, harm: { kind, skew: drawSkew(draw) } }
    case 'partition': {
      const direction = draw.pick(['both', 'both', 'in', 'out'] as const)
      const rest = servers.filter((name) => name !== target)
      const others = draw.chance(0.5) ? [draw.pick(rest)] : undefined
      return { target, harm: { kind, direction, others } }
    }
    case 'slow':
      return { target, harm: { kind, ms: draw.int(10, 250) } }
    default:
      return { target, harm: { kind } }
  }
}

function drawSkew(draw: Draw): Skew {
  const jumpMs = draw.pick([0, 1_000, 60_000, 3_600_000]) * draw.pick([-1, 1])
  return { jumpMs, rate: draw.pick([0.5, 0.99, 1, 1.01, 2]) }
}

/** In words: what is done to whom. */
export function injectionText({ target, harm, forMs }: Injection, named = target): string {
  const whom = named === target ? target : `${named} (${target})`
  const seconds = `for ${(forMs / 1_000).toFixed(1)} s`
  switch (harm.kind) {
    case 'quorum-loss':
      return `quorum-loss: all servers but ${harm.spared}, ${seconds}`
    case 'clock-skew':
      return `clock-skew ${whom}: ${harm.skew.jumpMs} ms, rate ${harm.skew.rate}, ${seconds}`
    case 'partition': {
      const from = harm.others === undefined ? 'all' : harm.others.join(', ')
      return `partition ${whom} from ${from}, ${harm.direction}, ${seconds}`
    }
    case 'slow':
      return `slow ${whom}: ${harm.ms} ms each way, ${seconds}`
    default:
      return `${harm.kind} ${whom}, ${seconds}`
  }
}
