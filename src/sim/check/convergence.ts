/**
 * What copies hold when faults have healed and everything has settled: the same, what was acked and
 * perhaps what was not answered, and nothing that was deleted.
 */
import { canonical, same } from './canonical.ts'
import { certainty, overAt, type Operation } from './history.ts'
import type { Model } from './models.ts'
import { Findings, short, type Verdict } from './verdict.ts'
import type { CasInput } from './zones.ts'

export interface Copy {
  readonly name: string
  /** What exists; a row that is deleted is not in it. */
  readonly rows: Iterable<readonly [key: string, value: unknown]>
}

type Keyed = { readonly key: string }

export interface ConvergenceOptions {
  /** Configurations to try for one key before it is `unknown`. Default 100,000. */
  readonly statesMax?: number
}

const STATES_MAX = 100_000

/** Property: `convergence:diverged`, where two copies differ in a row. */
export function checkConvergence(copies: readonly Copy[]): Verdict {
  const findings = new Findings()
  const states = copies.map(({ name, rows }) => ({ name, rows: new Map(rows) }))
  const [first, ...others] = states
  for (const key of new Set(states.flatMap(({ rows }) => [...rows.keys()]))) {
    for (const other of others) {
      findings.checked()
      if (first === undefined || same(first.rows.get(key), other.rows.get(key))) continue
      const [here, there] = [first, other].map(({ rows }) => short(rows.get(key)))
      const message = `row ${key} is ${here} at ${first.name} and ${there} at ${other.name}`
      findings.found('convergence:diverged', message)
    }
  }
  return findings.verdict()
}

/**
 * Property: `convergence:fold`, where a row of the copy is not what the model makes of all acked
 * operations on it, with any of the unanswered ones anywhere that real time allows. The state of the
 * model is the row, undefined when there is none. Acked operations apply in the order of their
 * positions, or as they stand when one has none; operations that commute may stand anyhow.
 */
export function checkFold<State, Input extends Keyed, Output>(
  { name, rows }: Copy,
  history: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
  { statesMax = STATES_MAX }: ConvergenceOptions = {},
): Verdict {
  const findings = new Findings()
  const values = new Map(rows)
  const keys = new Map<string, Operation<Input, Output>[]>(
    [...values.keys()].map((key) => [key, []]),
  )
  for (const operation of history) {
    if (certainty(operation) === 'failed' || model.reads(operation.input)) continue
    const { key } = operation.input
    const list = keys.get(key)
    if (list === undefined) keys.set(key, [operation])
    else list.push(operation)
  }
  for (const [key, operations] of keys) {
    findings.checked()
    const states = foldsOf(operations, model, statesMax)
    const value = values.get(key)
    if (states === undefined) findings.outOfBudget()
    else if (!states.some((state) => same(state, value))) {
      const message =
        `row ${key} is ${short(value)} at ${name}, ` +
        `where its operations make ${states.slice(0, STATES_SHOWN).map(short).join(' or ')}`
      findings.found('convergence:fold', message, operations.slice(-OPERATIONS_SHOWN))
    }
  }
  return findings.verdict()
}

const STATES_SHOWN = 4
const OPERATIONS_SHOWN = 12

/** A state, and which of the unanswered operations are in it. */
interface Reached<State> {
  readonly state: State
  readonly used: bigint
}

/** Every state that an order may lead to; undefined: out of budget. */
function foldsOf<State, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
  statesMax: number,
): State[] | undefined {
  const acked = operations.filter((operation) => certainty(operation) === 'ok')
  if (acked.every(({ position }) => position !== undefined))
    acked.sort((a, b) => (a.position ?? 0) - (b.position ?? 0))
  const unanswered = operations
    .filter((operation) => certainty(operation) === 'unknown')
    .map((operation) => ({
      operation,
      // Not before anything that had returned when it was called.
      from: acked.findLastIndex((one) => overAt(one) < operation.call) + 1,
    }))
  const apply = (state: State, { input }: Operation<Input, Output>): State => {
    const next = model.step(state, input, { known: false })
    return next === undefined ? state : next.state
  }
  let reached: Reached<State>[] = [{ state: model.init, used: 0n }]
  let budget = statesMax
  for (let at = 0; at <= acked.length; at++) {
    const all = new Frontier<State>(reached)
    for (const one of all.open()) {
      for (const [i, { operation, from }] of unanswered.entries()) {
        const bit = 1n << BigInt(i)
        if (from > at || (one.used & bit) !== 0n) continue
        all.add({ state: apply(one.state, operation), used: one.used | bit })
        if (--budget < 0) return undefined
      }
    }
    const next = acked[at]
    reached = all.least()
    if (next === undefined) break
    reached = reached.map(({ state, used }) => ({ state: apply(state, next), used }))
  }
  return reached.map(({ state }) => state)
}

/**
 * Of two that came to one state, that which used less can do whatever the other can; those that
 * used more are left out.
 */
class Frontier<State> {
  readonly #byState = new Map<string, Reached<State>[]>()
  readonly #queue: Reached<State>[] = []

  constructor(start: readonly Reached<State>[]) {
    for (const one of start) this.add(one)
  }

  add(one: Reached<State>): void {
    const key = canonical(one.state)
    const others = this.#byState.get(key) ?? []
    if (others.some(({ used }) => (used & one.used) === used)) return
    this.#byState.set(key, [...others.filter(({ used }) => (used & one.used) !== one.used), one])
    this.#queue.push(one)
  }

  /** Goes on while more is added. */
  open(): Iterable<Reached<State>> {
    return this.#queue
  }

  least(): Reached<State>[] {
    return [...this.#byState.values()].flat()
  }
}

/** Whether one operation came before another one causally. */
export type Precedes = (a: Operation<CasInput>, b: Operation<CasInput>) => boolean

/** By positions where both have one, else by the order of one process. */
const precedesByPosition: Precedes = (a, b) =>
  a.position !== undefined && b.position !== undefined
    ? a.position < b.position
    : a.process === b.process && overAt(a) < b.call

/**
 * Property: `resurrection`, where a row exists although an acked delete came after every write of its
 * key that may have been applied. A delete is a write of undefined. Copies are looked at as they are when all has settled.
 */
export function checkResurrection(
  copies: readonly Copy[],
  history: readonly Operation<CasInput>[],
  precedes: Precedes = precedesByPosition,
): Verdict {
  const findings = new Findings()
  const writes = new Map<string, Operation<CasInput>[]>()
  const deletes = new Map<string, Operation<CasInput>[]>()
  for (const operation of history) {
    const { input } = operation
    if (certainty(operation) === 'failed' || input.kind === 'read') continue
    const isDelete = input.kind === 'write' && input.value === undefined
    if (isDelete && certainty(operation) !== 'ok') continue
    const lists = isDelete ? deletes : writes
    const list = lists.get(input.key)
    if (list === undefined) lists.set(input.key, [operation])
    else list.push(operation)
  }
  const views = copies.map(({ name, rows }) => ({ name, rows: new Map(rows) }))
  for (const [key, list] of deletes) {
    findings.checked()
    const written = writes.get(key) ?? []
    const final = list.find((one) => written.every((write) => precedes(write, one)))
    for (const { name, rows } of final === undefined ? [] : views) {
      if (final === undefined || !rows.has(key)) continue
      const message = `row ${key} is back at ${name} as ${short(rows.get(key))}`
      findings.found('resurrection', message, [...written.slice(-OPERATIONS_SHOWN), final], final)
    }
  }
  return findings.verdict()
}
