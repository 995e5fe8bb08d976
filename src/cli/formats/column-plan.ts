/**
 * What columns a file needs: a first pass over the rows, before CSV or Parquet is written. A field
 * gets the kind that all its values share, and `json` when they differ, are nested, or are such
 * that the format has no cell for them.
 */
import type { Value } from '../../core/wire.ts'
import type { ColumnKind, PlannedColumn, Row } from './format.ts'

interface Field {
  kind: ColumnKind | undefined
  /** Rows that have it, null included. */
  rows: number
  hasNull: boolean
  /** A bigint that 64 bits do not hold. */
  isWide: boolean
}

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n

export class ColumnPlan {
  /** In the order in which the fields are first seen. */
  readonly #fields = new Map<string, Field>()
  #rows = 0

  add(rows: readonly Row[]): void {
    for (const row of rows) {
      this.#rows++
      for (const name of Object.keys(row)) {
        const value = row[name]
        if (value !== undefined) this.#addValue(name, value)
      }
    }
  }

  /** The columns for the rows so far. A field that is always null is a string column. */
  columns(format: 'csv' | 'parquet'): PlannedColumn[] {
    return Array.from(this.#fields, ([name, { kind = 'string', rows, hasNull, isWide }]) => ({
      name,
      kind: isWide && format === 'parquet' ? 'json' : kind,
      hasNull,
      hasMissing: rows < this.#rows,
    }))
  }

  #addValue(name: string, value: Value): void {
    let field = this.#fields.get(name)
    if (field === undefined) {
      field = { kind: undefined, rows: 0, hasNull: false, isWide: false }
      this.#fields.set(name, field)
    }
    field.rows++
    if (value === null) {
      field.hasNull = true
      return
    }
    const kind = kindOf(value)
    if (field.kind !== kind) field.kind = field.kind === undefined ? kind : 'json'
    if (typeof value === 'bigint' && (value < INT64_MIN || value > INT64_MAX)) field.isWide = true
  }
}

function kindOf(value: Exclude<Value, null>): ColumnKind {
  switch (typeof value) {
    case 'string':
      // Half a surrogate pair has no UTF-8; JSON escapes it.
      return isWellFormed(value) ? 'string' : 'json'
    case 'number':
      return 'number'
    case 'bigint':
      return 'bigint'
    case 'boolean':
      return 'boolean'
    default:
      if (value instanceof Date) return 'date'
      return value instanceof Uint8Array ? 'bytes' : 'json'
  }
}

/** How many fields a row has. */
export function countFields(row: Row): number {
  let count = 0
  for (const name of Object.keys(row)) if (row[name] !== undefined) count++
  return count
}

/** Whether UTF-8 can hold the string: no half of a surrogate pair stands alone. */
export function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed()
}
