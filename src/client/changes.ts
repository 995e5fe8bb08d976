/** Rows and changes of rows, as far as they can be checked without the server. */
import { HoldfastError } from '../core/holdfast-error.ts'
import { refused } from './arguments.ts'
import type { Row } from './query.ts'

/** Throws `InvalidRow` for what is no object; what is in it the server checks. */
export function checkRow(table: string, row: unknown): Row {
  const isObject = typeof row === 'object' && row !== null && !Array.isArray(row)
  if (isObject && !(row instanceof Date) && !(row instanceof Uint8Array)) return row as Row
  throw new HoldfastError('InvalidRow', `${table}: a row is an object`, {
    details: { table, issues: [] },
  })
}

export function checkAmounts(amounts: Row): Row {
  for (const [field, amount] of Object.entries(amounts)) {
    if (typeof amount !== 'bigint' && !Number.isFinite(amount)) {
      throw refused(`the amount for ${field} is not a finite number or a bigint`)
    }
  }
  return amounts
}

export function checkLists(table: string, append: Row): Row {
  for (const [field, elements] of Object.entries(append)) {
    if (!Array.isArray(elements)) throw refused(`${table}: append to ${field} takes an array`)
  }
  return append
}

/** Undefined removes a field: it has no JSON, so such fields are named apart. */
export function patchParts(fields: Row): { set: Row; remove: string[] | undefined } {
  const remove = Object.keys(fields).filter((field) => fields[field] === undefined)
  return { set: fields, remove: remove.length === 0 ? undefined : remove }
}

/** What an update returned, as a row. Throws `InvalidArgument` for a promise. */
export function changedRow(table: string, changed: unknown): Row {
  if (changed instanceof Promise) {
    changed.catch(() => undefined)
    throw refused('update takes a synchronous function; use transact for others')
  }
  return checkRow(table, changed)
}

export function keyChanged(table: string): string {
  return `an update of ${table} cannot change the key; delete and insert instead`
}
