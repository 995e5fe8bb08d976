/** Conditions on the row that a request meets: what it is by its ETag (RFC 9110, 13.1). */
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import type { Key } from '../core/key-codec.ts'
import { stringifyWire } from '../core/wire.ts'
import type { AnyRow } from './any-rows.ts'
import { etagOf } from './digest.ts'

/** `*` is any row. */
export type Tags = '*' | readonly string[]

export interface Condition {
  /** There is a row, and it has one of these tags. */
  readonly match?: Tags | undefined
  /** There is no row, or it has none of these tags. */
  readonly noneMatch?: Tags | undefined
}

/** What HTTP calls a precondition that failed. */
export const PRECONDITION_FAILED = 412

function rowTag(row: AnyRow): string {
  return etagOf(stringifyWire(row))
}

/** Throws `Conflict`, or `AlreadyExists` where there must be no row. */
export function checkCondition(
  table: string,
  key: Key,
  row: AnyRow | undefined,
  { match, noneMatch }: Condition,
): void {
  const tag = row === undefined ? undefined : rowTag(row)
  const details = { table, key, status: PRECONDITION_FAILED, ...(tag !== undefined && { tag }) }
  if (match !== undefined && !isIn(tag, match)) {
    const what = tag === undefined ? 'there is no row with this key' : 'the row is another one now'
    throw new HoldfastError('Conflict', `${table}: ${what}`, { details })
  }
  if (noneMatch === undefined || !isIn(tag, noneMatch)) return
  if (noneMatch === '*') {
    throw new HoldfastError('AlreadyExists', `${table} has a row with this key`, { details })
  }
  throw new HoldfastError('Conflict', `${table}: the row is what it must not be`, { details })
}

export function isIn(tag: string | undefined, tags: Tags): boolean {
  return tag !== undefined && (tags === '*' || tags.includes(tag))
}

/** Whether it is an error of `checkCondition`. */
export function isFailedCondition(error: unknown): boolean {
  return isHoldfastError(error) && error.details['status'] === PRECONDITION_FAILED
}
