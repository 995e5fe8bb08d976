/**
 * Histories that are right by construction, for the tests of checkers: operations overlap at random,
 * each takes effect at one moment between its call and its return, and what it says is true then.
 */
import fc from 'fast-check'
import type { Operation, Outcome } from './history.ts'

/** What is drawn of one operation. */
export interface Plan {
  readonly process: number
  readonly key: number
  readonly kind: number
  readonly value: number
  /** Before the call, until it takes effect, until it returns. */
  readonly waits: readonly [number, number, number]
  readonly outcome: Outcome
  /** Of an unknown one: whether it did take effect. */
  readonly applied: boolean
}

const OUTCOMES: readonly Outcome[] = ['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'failed', 'unknown']

const wait = fc.nat({ max: 5 })
const plan: fc.Arbitrary<Plan> = fc.record({
  process: fc.nat({ max: 3 }),
  key: fc.nat({ max: 1 }),
  kind: fc.nat({ max: 5 }),
  value: fc.nat({ max: 3 }),
  waits: fc.tuple(wait, wait, wait),
  outcome: fc.constantFrom(...OUTCOMES),
  applied: fc.boolean(),
})

export function plansOf(maxLength: number, minLength = 0): fc.Arbitrary<Plan[]> {
  return fc.array(plan, { minLength, maxLength, size: 'max' })
}

export interface Behaviour<Input, Output> {
  readonly ask: (plan: Plan, index: number) => Input
  /** Takes effect, unless it only pretends to; in the order of effects. */
  readonly act: (input: Input, takesEffect: boolean) => Output
  /** Of failed and unknown ones, what is known of them. */
  readonly rest?: (output: Output) => Output | undefined
}

/** In the order of effects. Positions count them, on answered operations. */
export function happen<Input, Output>(
  plans: readonly Plan[],
  { ask, act, rest }: Behaviour<Input, Output>,
): Operation<Input, Output>[] {
  const clocks = new Map<number, number>()
  const timed = plans.map((plan, index) => {
    const { process, waits, outcome } = plan
    const call = (clocks.get(process) ?? 0) + waits[0]
    const end = call + waits[1] + waits[2]
    clocks.set(process, end + 1)
    // What is not answered may take effect long after.
    const at = outcome === 'unknown' ? call + waits[1] * UNKNOWN_DELAY : call + waits[1]
    return { plan, index, call, end, at }
  })
  timed.sort((a, b) => a.at - b.at || a.index - b.index)
  return timed.map(({ plan, index, call, end }, order) => {
    const { process, outcome, applied } = plan
    const input = ask(plan, index)
    const output = act(input, outcome === 'ok' || (outcome === 'unknown' && applied))
    const base = { process: `c${process}`, call, return: end, outcome, input }
    if (outcome === 'ok') return { ...base, output, position: order + 1 }
    return { ...base, output: rest?.(output) }
  })
}

const UNKNOWN_DELAY = 4

/** What a mutation makes of a history; undefined when there is nothing to do it to. */
export type Mutation<T> = (
  history: readonly T[],
  random: (below: number) => number,
) => T[] | undefined

/** A seeded draw for mutations, so that a failing one can be told. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Replaces one of those that `wanted` takes, chosen at random. */
export function changeOne<T>(
  history: readonly T[],
  random: (below: number) => number,
  wanted: (one: T) => boolean,
  change: (one: T) => T | undefined,
): T[] | undefined {
  const places = [...history.keys()].filter((i) => wanted(history[i] as T))
  const place = places[random(Math.max(1, places.length))]
  if (place === undefined) return undefined
  const changed = change(history[place] as T)
  return changed === undefined
    ? history.filter((_, i) => i !== place)
    : history.map((one, i) => (i === place ? changed : one))
}
