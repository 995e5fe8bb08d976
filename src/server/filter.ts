/** Conditions on single fields, checked row by row while a query scans. */
import type { Value } from '../core/value-codec.ts'

export type Comparison = '=' | '!=' | '<' | '<=' | '>' | '>='

export interface Filter {
  readonly field: string
  readonly comparison: Comparison
  /** What was typed, in each form that it may mean: one of the field's own type decides. */
  readonly values: readonly Value[]
}

export function matches(
  row: Readonly<Record<string, Value | undefined>>,
  filters: readonly Filter[],
): boolean {
  return filters.every((filter) => {
    const value = row[filter.field]
    if (value === undefined) return filter.comparison === '!='
    const isNot = filter.comparison === '!='
    const found = filter.values.some((other) =>
      holds(value, isNot ? '=' : filter.comparison, other),
    )
    return isNot ? !found : found
  })
}

/** Values of different types are neither equal nor in any order. */
function holds(value: Value, comparison: Comparison, other: Value): boolean {
  const [a, b] = [comparable(value), comparable(other)]
  if (a === undefined || b === undefined || typeof a !== typeof b) {
    return comparison === '=' && value === null && other === null
  }
  switch (comparison) {
    case '=':
      return a === b
    case '!=':
      return a !== b
    case '<':
      return a < b
    case '<=':
      return a <= b
    case '>':
      return a > b
    case '>=':
      return a >= b
    default:
      return false
  }
}

function comparable(value: Value): string | number | boolean | undefined {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
      return value
    case 'bigint':
      return Number(value)
    default:
      return value instanceof Date ? value.getTime() : undefined
  }
}
