/** Conditions on single fields, checked row by row while a query scans. */
import { equalBytes } from '../core/bytes.ts'
import { ownField } from '../core/own-field.ts'
import { encodeValue, type Value } from '../core/value-codec.ts'

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
    const value = ownField(row, filter.field)
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
  if (comparison === '=' && isNested(value) && isNested(other)) return isSame(value, other)
  const [a, b] = [comparable(value), comparable(other)]
  if (a === undefined || b === undefined || kindOf(value) !== kindOf(other)) {
    return comparison === '=' && value === null && other === null
  }
  switch (comparison) {
    case '=':
      // Not by `===`: a number may equal a bigint, and each order of the two is exact.
      return !(a < b) && !(a > b)
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

function comparable(value: Value): string | number | bigint | boolean | undefined {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'bigint':
    case 'boolean':
      return value
    default:
      return value instanceof Date ? value.getTime() : undefined
  }
}

function kindOf(value: Value): string {
  return typeof value === 'bigint' ? 'number' : typeof value
}

/** Bytes, a list or an object: they have no order. */
function isNested(value: Value): boolean {
  return typeof value === 'object' && value !== null && !(value instanceof Date)
}

function isSame(a: Value, b: Value): boolean {
  return equalBytes(encodeValue(a), encodeValue(b))
}
