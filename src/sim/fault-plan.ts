/**
 * Fault plans (D3): a list of faults with their times, drawn from a seed, written out so that it can
 * be read, replayed and shrunk. Kinds are drawn for each seed (swarm testing), quiet phases lie
 * between, and nothing is drawn that the configuration does not promise to survive, unless asked.
 */
import type { Draw } from './draw.ts'

export type FaultKind =
  | 'power-loss'
  | 'process-kill'
  | 'restart'
  | 'pause'
  | 'clock-jump'
  | 'clock-drift'
  | 'slow-disk'
  | 'full-disk'
  | 'lying-fsync'
  | 'old-backup'
  | 'cloned-disk'
  | 'damaged-disk'
  | 'bit-flip'
  | 'partition'
  | 'lossy-network'
  | 'slow-network'
  | 'log-election'
  | 'log-no-quorum'
  | 'log-lost-acks'
  | 'log-duplicates'
  | 'log-lag'
  | 'log-slow'
  | 'log-full'
  | 'log-lazy-fsync'
  | 'log-reset'

export interface Fault {
  readonly atMs: number
  readonly kind: FaultKind
  /** A node's number, for kinds that meet one node. */
  readonly node?: number | undefined
  /** How long it lasts; until healing when it is left out. */
  readonly forMs?: number | undefined
  /** What else was drawn for it: shapes, factors, amounts. */
  readonly with?: Readonly<Record<string, number | string | boolean>> | undefined
}

/** Which configuration runs. `embedded`: one node with its own log. `shared`: nodes over one log. */
export type Setup = 'embedded' | 'shared'

/**
 * - `none`: a calm world
 * - `survivable`: all that the setup promises to survive
 * - `hostile`: what it does not, too
 * - a list of kinds
 */
export type FaultChoice = 'none' | 'survivable' | 'hostile' | readonly FaultKind[]

interface Kind {
  readonly setups: readonly Setup[]
  /** Of `setups`, those that promise to survive it. */
  readonly survivors: readonly Setup[]
  /** Draws one fault of this kind. */
  readonly draw: (draw: Draw, nodes: number) => Omit<Fault, 'atMs' | 'kind'>
}

const both: readonly Setup[] = ['embedded', 'shared']
const shared: readonly Setup[] = ['shared']
const onNode = (draw: Draw, nodes: number): { node: number } => ({ node: draw.int(0, nodes - 1) })
const span = (draw: Draw, fromMs: number, toMs: number): { forMs: number } => ({
  forMs: draw.int(fromMs, toMs),
})

/** How often it comes, one after the other. */
const again = (draw: Draw): Pick<Fault, 'with'> => ({ with: { times: draw.int(1, 3) } })

const KINDS: Readonly<Record<FaultKind, Kind>> = {
  'power-loss': kind(both, true, (d, n) => ({
    ...onNode(d, n),
    ...span(d, 50, 2_000),
    ...again(d),
  })),
  'process-kill': kind(both, true, (d, n) => ({
    ...onNode(d, n),
    ...span(d, 20, 1_000),
    ...again(d),
  })),
  restart: kind(both, true, (d, n) => ({ ...onNode(d, n), ...span(d, 20, 1_000) })),
  pause: kind(both, true, (d, n) => ({ ...onNode(d, n), ...span(d, 100, 20_000) })),
  'clock-jump': kind(both, true, (d, n) => ({
    ...onNode(d, n),
    with: { byMs: d.pick([-1, 1]) * Math.round(d.exponential(60_000)) },
  })),
  'clock-drift': kind(both, true, (d, n) => ({
    ...onNode(d, n),
    ...span(d, 2_000, 20_000),
    with: { rate: Number(((d.float() - 0.5) / 5).toFixed(4)) },
  })),
  'slow-disk': kind(both, true, (d, n) => ({
    ...onNode(d, n),
    ...span(d, 500, 5_000),
    with: { factor: d.pick([5, 20, 100]) },
  })),
  'full-disk': kind(both, true, (d, n) => ({ ...onNode(d, n), ...span(d, 200, 3_000) })),
  'lying-fsync': kind(both, false, (d, n) => ({ ...onNode(d, n), ...span(d, 1_000, 10_000) })),
  // Of a node over a shared log nothing is lost with its disk: the log has it all.
  'old-backup': kind(both, shared, (d, n) => ({ ...onNode(d, n), ...span(d, 50, 2_000) })),
  'cloned-disk': kind(shared, true, (d, n) => ({
    ...onNode(d, n),
    ...span(d, 50, 2_000),
    with: { of: d.int(0, n - 1) },
  })),
  'damaged-disk': kind(both, shared, (d, n) => ({ ...onNode(d, n), ...span(d, 200, 3_000) })),
  // What is hit cannot be read until it is mended, and is refused by name.
  'bit-flip': kind(both, true, (d, n) => ({
    ...onNode(d, n),
    ...span(d, 1_000, 6_000),
    with: { rows: d.int(1, 4) },
  })),
  partition: kind(shared, true, (d, n) => ({
    ...onNode(d, n),
    ...span(d, 500, 12_000),
    with: { shape: d.pick(['isolate', 'to-log', 'from-log', 'halves', 'bridge', 'one-way']) },
  })),
  'lossy-network': kind(shared, true, (d) => ({
    ...span(d, 500, 8_000),
    with: { loss: d.pick([0.01, 0.1, 0.3]), duplication: d.pick([0, 0.1]) },
  })),
  'slow-network': kind(shared, true, (d) => ({
    ...span(d, 500, 8_000),
    with: { factor: d.pick([5, 30]) },
  })),
  'log-election': kind(shared, true, (d) => span(d, 1_000, 6_500)),
  'log-no-quorum': kind(shared, true, (d) => span(d, 2_000, 14_000)),
  'log-lost-acks': kind(shared, true, (d) => ({
    ...span(d, 500, 6_000),
    with: { chance: d.pick([0.1, 0.5, 1]) },
  })),
  'log-duplicates': kind(shared, true, (d) => ({
    ...span(d, 500, 6_000),
    with: { chance: d.pick([0.1, 0.5]) },
  })),
  'log-lag': kind(shared, true, (d, n) => ({
    ...onNode(d, n),
    ...span(d, 500, 6_000),
    with: { byMs: d.int(50, 2_000) },
  })),
  'log-slow': kind(shared, true, (d) => ({
    ...span(d, 500, 6_000),
    with: { factor: d.pick([5, 30]) },
  })),
  'log-full': kind(shared, true, (d) => span(d, 300, 4_000)),
  'log-lazy-fsync': kind(shared, false, (d) => ({ with: { lose: d.int(1, 20) } })),
  'log-reset': kind(shared, false, () => ({})),
}

/** `survivors`: which of `setups` promise to survive it; true: all of them, false: none. */
function kind(
  setups: readonly Setup[],
  survivors: boolean | readonly Setup[],
  draw: Kind['draw'],
): Kind {
  if (typeof survivors !== 'boolean') return { setups, survivors, draw }
  return { setups, survivors: survivors ? setups : [], draw }
}

export const FAULT_KINDS = Object.keys(KINDS) as readonly FaultKind[]

/** The kinds that `choice` stands for in `setup`. */
export function kindsOf(choice: FaultChoice, setup: Setup): readonly FaultKind[] {
  if (choice === 'none') return []
  if (typeof choice !== 'string') return choice
  return FAULT_KINDS.filter((name) => {
    const { setups, survivors } = KINDS[name]
    return setups.includes(setup) && (survivors.includes(setup) || choice === 'hostile')
  })
}

/** Whether a fault of this kind can happen in `setup`. */
export function happensIn(setup: Setup, kind: FaultKind): boolean {
  return KINDS[kind].setups.includes(setup)
}

/** Whether a plan has a fault that its setup does not promise to survive. */
export function isHostile(faults: readonly Fault[], setup: Setup): boolean {
  return faults.some((fault) => !KINDS[fault.kind].survivors.includes(setup))
}

/** Faults come in phases of this length, a quarter of which is quiet. */
const PHASE_MS = 6_000
const QUIET_SHARE = 0.25
/** Kinds drawn for one seed, at the most. */
const KINDS_PER_SEED = 8

export interface PlanOptions {
  readonly setup: Setup
  readonly nodes: number
  readonly choice: FaultChoice
  /** Faults begin before this time. */
  readonly durationMs: number
}

/** The faults of one seed, in order of time. Each kind drawn for it comes at least once. */
export function drawFaults(draw: Draw, options: PlanOptions): Fault[] {
  const allowed = kindsOf(options.choice, options.setup)
  if (allowed.length === 0) return []
  const kinds = drawKinds(draw, allowed)
  const phases = Math.ceil(options.durationMs / PHASE_MS)
  const faults: Fault[] = []
  const add = (one: Draw, name: FaultKind, phase: number): void => {
    const atMs = Math.round((phase + one.float()) * PHASE_MS)
    if (atMs >= options.durationMs) return
    faults.push({ atMs, kind: name, ...KINDS[name].draw(one, options.nodes) })
  }
  const loud: number[] = []
  for (let phase = 0; phase < phases; phase++) {
    const own = draw.fork(`phase-${phase}`)
    // The first phase is never quiet: a short run has faults too.
    if (phase > 0 && own.chance(QUIET_SHARE)) continue
    loud.push(phase)
    const count = own.int(0, 2)
    for (let i = 0; i < count; i++) {
      const one = own.fork(`fault-${i}`)
      add(one, one.pick(kinds), phase)
    }
  }
  for (const name of kinds) {
    const one = draw.fork(`kind-${name}`)
    add(one, name, one.pick(loud))
  }
  return faults.toSorted((a, b) => a.atMs - b.atMs)
}

/** Some kinds for one seed; one that ends a process is always among them, if any is allowed. */
function drawKinds(draw: Draw, allowed: readonly FaultKind[]): FaultKind[] {
  const count = draw.fork('count').int(MIN_KINDS, KINDS_PER_SEED)
  const shuffled = draw.fork('kinds').shuffled(allowed)
  const crash = shuffled.find((name) => CRASHES.includes(name))
  const others = shuffled.filter((name) => name !== crash)
  return crash === undefined ? others.slice(0, count) : [crash, ...others.slice(0, count - 1)]
}

const CRASHES: readonly FaultKind[] = ['power-loss', 'process-kill']
/** Kinds drawn for one seed at the least: D5 wants three that took place. */
const MIN_KINDS = 5
