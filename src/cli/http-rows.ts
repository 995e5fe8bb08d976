/** Rows of a table over HTTP, page by page of one snapshot, and what a query is in a URL. */
import { keySegment } from '../core/key-segment.ts'
import { stringifyWire, type Value } from '../core/wire.ts'
import type { AnyRow, ShellQuery } from '../server/any-rows.ts'
import type { Filter } from '../server/filter.ts'
import type { StreamTypes } from '../server/operations.ts'
import { readings } from '../server/readings.ts'
import type { Door } from './http-door.ts'

const BOUNDS = ['eq', 'gt', 'gte', 'lt', 'lte', 'prefix'] as const
const PAGE_ROWS = 500

interface Page {
  readonly rows: readonly AnyRow[]
  readonly cursor?: string
}

/** Few rows come at once; of more the server keeps a snapshot while they are fetched. */
export async function* httpRows(
  { ask }: Door,
  { table, query, where, limit = Number.POSITIVE_INFINITY }: StreamTypes['rows']['params'],
): AsyncGenerator<readonly AnyRow[]> {
  const parameters = rangeParameters(query)
  for (const filter of where) parameters.append('where', conditionText(filter))
  let cursor = limit <= PAGE_ROWS ? undefined : 'start'
  for (let left = limit; left > 0;) {
    parameters.set('limit', String(Math.min(left, PAGE_ROWS)))
    if (cursor !== undefined) parameters.set('cursor', cursor)
    const path = `/v1/tables/${encodeURIComponent(table)}/query?${parameters.toString()}`
    const page = (await ask({ method: 'GET', path })) as unknown as Page
    if (page.rows.length > 0) yield page.rows
    left -= page.rows.length
    cursor = page.cursor
    if (cursor === undefined) return
  }
}

/** Index, bounds and direction as parameters. */
export function rangeParameters(query: ShellQuery): URLSearchParams {
  const parameters = new URLSearchParams()
  if (query.index !== undefined) parameters.set('index', query.index)
  if (query.reverse === true) parameters.set('reverse', 'true')
  for (const bound of BOUNDS) {
    const key = query[bound]
    // URLSearchParams encodes by itself, and differently.
    if (key !== undefined) parameters.set(bound, decodeURIComponent(keySegment(key)))
  }
  return parameters
}

/** A condition as it was typed: the server finds the same readings in it. */
export function conditionText({ field, comparison, values }: Filter): string {
  return `${field}${comparison}${valueText(values)}`
}

function valueText(values: readonly Value[]): string {
  const text = values.find((value) => typeof value === 'string')
  const isTyped = text !== undefined && (values.length > 1 || isPlain(text))
  return isTyped ? text : stringifyWire(values[0] ?? null)
}

/** Whether the text stands for itself and nothing else. */
function isPlain(text: string): boolean {
  if (/^\s*[[{"]/.test(text)) return false
  return readings(text).length === 1
}
