/**
 * Stateful ops: evaluated at apply, on the row as it is at the op's own place in the log, so that
 * callers need not read it first and never conflict over it. They change fields that neither the key
 * nor an index covers, and only their own row (S4). Pure.
 */
import type { Value } from '../core/value-codec.ts'
import { ownField } from '../core/own-field.ts'
import type { Row } from './row-codec.ts'

/** Fields with what is done to each. All parts are applied in this order. */
export interface Modification {
  /** Adds to a number or bigint; a missing field counts as 0. Decrement is a negative increment. */
  readonly increment?: { readonly [field: string]: number | bigint }
  /** Keeps the lesser (greater) of the field and this; a missing field takes it. */
  readonly min?: { readonly [field: string]: Value }
  readonly max?: { readonly [field: string]: Value }
  /** Adds elements to the end of an array; a missing field counts as []. */
  readonly append?: { readonly [field: string]: readonly Value[] }
  /** Sets fields; undefined removes one. */
  readonly patch?: { readonly [field: string]: Value | undefined }
  /** Names of fields that `patch` removes: undefined does not survive encoding. */
  readonly remove?: readonly string[]
  /** The row to start from when there is none. */
  readonly create?: { readonly [field: string]: Value }
}

export type Modified =
  | { readonly ok: true; readonly row: Row }
  | {
      readonly ok: false
      readonly code: 'NotFound' | 'NotNumeric' | 'NotAppendable' | 'RowTooLarge'
      readonly field: string
    }

/** The row that `modification` makes of `row`; `row` itself is not changed. */
export function modify(row: Row | undefined, modification: Modification): Modified {
  const start = row ?? modification.create
  if (start === undefined) return { ok: false, code: 'NotFound', field: '' }
  const out: Row = { ...start }
  for (const [field, amount] of Object.entries(modification.increment ?? {})) {
    const sum = add(ownField(out, field), amount)
    if (sum === undefined) return { ok: false, code: 'NotNumeric', field }
    out[field] = sum
  }
  for (const [field, value] of Object.entries(modification.min ?? {})) {
    if (!keepExtreme(out, field, value, -1)) return { ok: false, code: 'NotNumeric', field }
  }
  for (const [field, value] of Object.entries(modification.max ?? {})) {
    if (!keepExtreme(out, field, value, 1)) return { ok: false, code: 'NotNumeric', field }
  }
  for (const [field, values] of Object.entries(modification.append ?? {})) {
    const current = ownField(out, field) ?? []
    // Whoever wrote the entry: what cannot be applied is refused, since a throw would stop every node.
    if (!Array.isArray(current) || !isList(values))
      return { ok: false, code: 'NotAppendable', field }
    out[field] = [...(current as unknown[]), ...values]
  }
  for (const [field, value] of Object.entries(modification.patch ?? {})) out[field] = value
  for (const field of modification.remove ?? []) delete out[field]
  return { ok: true, row: out }
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value)
}

/** Fields that a modification touches. */
export function touchedFields(modification: Modification): string[] {
  const { increment, min, max, append, patch, remove } = modification
  const named = [increment, min, max, append, patch].flatMap((part) => Object.keys(part ?? {}))
  return [...named, ...(remove ?? [])]
}

function add(current: unknown, amount: number | bigint): number | bigint | undefined {
  if (typeof amount === 'bigint') {
    const base = current ?? 0n
    return typeof base === 'bigint' ? base + amount : undefined
  }
  const base = current ?? 0
  if (typeof base !== 'number') return undefined
  const sum = base + amount
  return Number.isFinite(sum) ? sum : undefined
}

/** Whether the field could be compared; keeps the value when it lies further in `direction`. */
function keepExtreme(row: Row, field: string, value: Value, direction: 1 | -1): boolean {
  const current = ownField(row, field)
  if (current === undefined || current === null) {
    row[field] = value
    return true
  }
  const [a, b] = [comparable(current), comparable(value)]
  if (a === undefined || b === undefined || typeof a !== typeof b) return false
  if (direction === 1 ? b > a : b < a) row[field] = value
  return true
}

function comparable(value: unknown): number | bigint | string | undefined {
  if (value instanceof Date) return value.getTime()
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string')
    return value
  return undefined
}
