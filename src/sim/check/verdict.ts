/** What checkers say, and how they show it. */
import { canonical } from './canonical.ts'
import type { Operation } from './history.ts'

export interface Violation {
  /** A stable name, such as `strict-serializability:G-single`. */
  readonly property: string
  /** One line. */
  readonly message: string
  /** Those that show it, in the order of their calls; as few as will do. */
  readonly operations: readonly Operation[]
  /** The same as text, a line each; empty when there is nothing to tell. */
  readonly timeline: string
}

export interface Verdict {
  /** `unknown`: nothing wrong was found, but a part was out of budget. It is never a pass. */
  readonly result: 'ok' | 'violation' | 'unknown'
  /** How many things were looked at: keys, operations, events. */
  readonly checks: number
  /** How many of them were out of budget. */
  readonly unknown: number
  /** At most `VIOLATIONS_KEPT` of each property. */
  readonly violations: readonly Violation[]
  /** How many there were of each property. */
  readonly counts: Readonly<Record<string, number>>
}

export const VIOLATIONS_KEPT = 10
const TEXT_MAX = 160

/** Gathers what one check finds. */
export class Findings {
  readonly #kept: Violation[] = []
  readonly #counts = new Map<string, number>()
  #checks = 0
  #unknown = 0

  checked(count = 1): void {
    this.#checks += count
  }

  outOfBudget(): void {
    this.#unknown++
  }

  /** `marked`: the operation that a timeline points at. */
  found(
    property: string,
    message: string,
    operations: readonly Operation[] = [],
    marked?: Operation,
  ): void {
    const count = (this.#counts.get(property) ?? 0) + 1
    this.#counts.set(property, count)
    if (count > VIOLATIONS_KEPT) return
    const inOrder = operations.toSorted((a, b) => a.call - b.call)
    this.#kept.push({ property, message, operations: inOrder, timeline: timeline(inOrder, marked) })
  }

  verdict(): Verdict {
    return conclude(this.#checks, this.#unknown, this.#kept, this.#counts)
  }
}

/** One verdict from many. */
export function combineVerdicts(verdicts: readonly Verdict[]): Verdict {
  const counts = new Map<string, number>()
  for (const verdict of verdicts) {
    for (const [property, count] of Object.entries(verdict.counts))
      counts.set(property, (counts.get(property) ?? 0) + count)
  }
  const sum = (of: (verdict: Verdict) => number): number =>
    verdicts.reduce((total, verdict) => total + of(verdict), 0)
  const violations = verdicts.flatMap((verdict) => verdict.violations)
  return conclude(
    sum((verdict) => verdict.checks),
    sum((verdict) => verdict.unknown),
    violations,
    counts,
  )
}

function conclude(
  checks: number,
  unknown: number,
  violations: readonly Violation[],
  counts: ReadonlyMap<string, number>,
): Verdict {
  const result = counts.size > 0 ? 'violation' : unknown > 0 ? 'unknown' : 'ok'
  return { result, checks, unknown, violations, counts: Object.fromEntries(counts) }
}

/** One line an operation: who, from when to when, what, what came of it, and where. */
export function timeline(operations: readonly Operation[], marked?: Operation): string {
  const cells = operations.map((operation) => [
    operation === marked ? '>' : ' ',
    operation.process,
    span(operation),
    what(operation),
  ])
  const width = (column: number): number =>
    cells.reduce((most, row) => Math.max(most, row[column]?.length ?? 0), 0)
  const widths = [1, width(1), width(2), 0]
  return cells
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .join('\n')
}

function span({ call, return: end, callMs, returnMs, outcome }: Operation): string {
  if (callMs === undefined) return `${call}..${outcome === 'unknown' ? '' : end}`
  return `${callMs.toFixed(1)}..${returnMs === undefined ? '' : returnMs.toFixed(1)} ms`
}

function what(operation: Operation): string {
  const { input, output, outcome, position, survived } = operation
  const reply = outcome !== 'ok' ? outcome : output === undefined ? 'ok' : short(output)
  const asked = input === undefined ? '' : `${inputText(input)} `
  const known = outcome !== 'ok' && output !== undefined ? ` of ${short(output)}` : ''
  const at = position === undefined ? '' : ` @${position}`
  return `${asked}-> ${reply}${known}${at}${survived === false ? ' (ack lost)' : ''}`
}

function inputText(input: unknown): string {
  if (typeof input !== 'object' || input === null || !('kind' in input)) return short(input)
  const { kind, ...rest } = input
  const fields = Object.entries(rest).map(([name, value]) => `${name}=${canonical(value)}`)
  return cut([String(kind), ...fields].join(' '))
}

/** A value as text of a bearable length. */
export function short(value: unknown): string {
  return cut(canonical(value))
}

function cut(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}...`
}
