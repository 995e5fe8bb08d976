/**
 * Linearizability (Herlihy and Wing, 1990), key by key: there is an order of the operations that
 * agrees with real time and with what each of them was told. Keys are independent of each other, as
 * linearizability is local.
 */
import { certainty, type Operation } from './history.ts'
import type { Model } from './models.ts'
import { Findings, type Verdict } from './verdict.ts'
import { search, type SearchResult } from './wing-gong-lowe.ts'

export interface LinearizabilityOptions {
  /** Steps of the model to spend on one key before its verdict is `unknown`. Default 1,000,000. */
  readonly stepsMax?: number
}

type Keyed = { readonly key?: string }

const STEPS_MAX = 1_000_000
/** How many operations before the one that fits nowhere are shown. */
const SHOWN_BEFORE = 6
/** And how many of those under way with it. */
const SHOWN_BESIDES = 12

/**
 * Where every reply carries its log position, the order of positions is tried first, which takes
 * O(n log n). Where that order does not explain it, registers with unique values are judged in as
 * much, and for all others every order is searched.
 */
export function checkLinearizable<State, Input extends Keyed, Output>(
  history: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
  { stepsMax = STEPS_MAX }: LinearizabilityOptions = {},
): Verdict {
  const findings = new Findings()
  const keys = new Map<string, Operation<Input, Output>[]>()
  for (const operation of history) {
    const key = operation.input.key ?? ''
    const list = keys.get(key)
    if (list === undefined) keys.set(key, [operation])
    else list.push(operation)
  }
  for (const [key, operations] of keys) {
    findings.checked()
    const known = operations.filter((operation) => certainty(operation) === 'ok')
    // A read that nobody was answered has neither effect nor witness.
    const unknown = operations.filter(
      (operation) => certainty(operation) === 'unknown' && !model.reads(operation.input),
    )
    if (explainedByPositions(model, known, unknown)) continue
    const conflict = model.conflict?.(known, unknown)
    if (conflict !== undefined) {
      if (conflict.length > 0) reportConflict(findings, key, conflict)
      continue
    }
    const found = search(model, known, unknown, stepsMax)
    if (found.result === 'unknown') findings.outOfBudget()
    if (found.result === 'violation') report(findings, key, operations, found)
  }
  return findings.verdict()
}

/**
 * Whether the order of positions is a witness: true is proof, false says nothing. An operation
 * without an outcome is put in where the next reply cannot be explained without it.
 */
export function explainedByPositions<State, Input, Output>(
  model: Model<State, Input, Output>,
  known: readonly Operation<Input, Output>[],
  unknown: readonly Operation<Input, Output>[],
): boolean {
  if (known.some(({ position }) => position === undefined)) return false
  const order = known.toSorted(
    (a, b) =>
      (a.position ?? 0) - (b.position ?? 0) ||
      Number(model.reads(a.input)) - Number(model.reads(b.input)) ||
      a.call - b.call,
  )
  const pending = new Set(unknown)
  let state = model.init
  let latestCall = Number.NEGATIVE_INFINITY
  for (const operation of order) {
    const reply = { known: true, output: operation.output as Output } as const
    let next = model.step(state, operation.input, reply)
    if (next === undefined) {
      for (const missing of pending) {
        if (missing.call > operation.return) continue
        const between = model.step(state, missing.input, { known: false })
        next = between && model.step(between.state, operation.input, reply)
        if (next === undefined) continue
        pending.delete(missing)
        latestCall = Math.max(latestCall, missing.call)
        break
      }
    }
    // One that returned before an earlier one in this order was called is out of place.
    if (next === undefined || operation.return < latestCall) return false
    latestCall = Math.max(latestCall, operation.call)
    state = next.state
  }
  return true
}

function reportConflict(findings: Findings, key: string, conflict: readonly Operation[]): void {
  const message = `key ${key}: these cannot be put in order, whatever else there was`
  findings.found('linearizability', message, conflict)
}

function report<Input, Output>(
  findings: Findings,
  key: string,
  operations: readonly Operation<Input, Output>[],
  { stuck, explained = [] }: SearchResult<Input, Output>,
): void {
  if (stuck === undefined) return
  const before = explained.slice(-SHOWN_BEFORE)
  const besides = operations.filter(
    (other) =>
      certainty(other) !== 'failed' &&
      other.call <= stuck.return &&
      (certainty(other) === 'unknown' || other.return >= stuck.call),
  )
  const shown = [...new Set([...before, ...besides.slice(-SHOWN_BESIDES), stuck])]
  findings.found(
    'linearizability',
    `key ${key}: no order explains what had returned when the marked operation did; ` +
      'without its return there is one',
    shown,
    stuck,
  )
}
