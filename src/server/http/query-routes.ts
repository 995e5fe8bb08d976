/** Many rows at once: queries with pages, counts, groups, and rows by their keys. */
import { turn } from '../../core/env.ts'
import type { Key } from '../../core/key-codec.ts'
import { parseKeySegment } from '../../core/key-segment.ts'
import { stringifyWire, type Value } from '../../core/wire.ts'
import type { Query } from '../../table/handles.ts'
import { aggregate } from '../aggregate.ts'
import { roughBytes, rowsOf, type AnyRow, type ShellQuery } from '../any-rows.ts'
import { matches, type Filter } from '../filter.ts'
import { listOf, membersOf } from '../members.ts'
import { conditionOf } from '../readings.ts'
import { readAnswer } from './answer.ts'
import type { HttpApp, HttpContext, HttpParts } from './parts.ts'
import {
  bodyOf,
  invalid,
  noParameters,
  numberOf,
  onlyOf,
  parametersOf,
  readOptionsOf,
  readWire,
  tableIn,
  tableOf,
  within,
} from './request.ts'
import { scoped } from './route.ts'

const BOUNDS = ['eq', 'gt', 'gte', 'lt', 'lte', 'prefix'] as const
const RANGE = ['index', ...BOUNDS] as const
const QUERY = [...RANGE, 'reverse', 'limit', 'cursor', 'where'] as const
const GROUPS = [...RANGE, 'where', 'by', 'avg', 'minRows', 'join', 'limit'] as const

const PAGE_ROWS = 100
const GROUPS_SHOWN = 100
/** A page ends early at about this many bytes; an answer without a cursor is refused beyond it. */
const PAGE_BYTES = 16 * 1024 * 1024
/** What all groups may take while they are made, those that are not answered too. */
const GROUPS_BYTES = 32 * 1024 * 1024
/** Rows of a page that are read before others have a turn. */
const ROWS_A_TURN = 64
/** A page is answered, with the cursor to go on with, once so many rows were looked at for it. */
const PAGE_LOOKS = 10_000
/** Asks for a page with a cursor. */
const START = 'start'

type Given = Map<string, string[]>

export function queryRoutes(app: HttpApp, parts: HttpParts): void {
  const table = '/v1/tables/:table'
  app.get(
    `${table}/query`,
    scoped(parts, 'read', (c) => query(c, parts)),
  )
  app.get(
    `${table}/count`,
    scoped(parts, 'read', (c) => count(c, parts)),
  )
  app.get(
    `${table}/groups`,
    scoped(parts, 'read', (c) => groups(c, parts)),
  )
  app.post(
    `${table}/get-many`,
    scoped(parts, 'read', (c) => getMany(c, parts)),
  )
}

interface Page {
  readonly rows: readonly AnyRow[]
  readonly cursor?: string | undefined
}

async function query(c: HttpContext, parts: HttpParts): Promise<Response> {
  const { name } = tableIn(c, parts)
  const given = parametersOf(c, QUERY)
  const { pageRows } = parts.limits
  const limit = numberOf(given, 'limit', 1) ?? Math.min(PAGE_ROWS, pageRows)
  if (limit > pageRows) throw invalid(`limit is at most ${pageRows}; go on by a cursor`)
  const cursor = onlyOf(given, 'cursor')
  const range = { ...rangeOf(given), reverse: flagOf(given, 'reverse') }
  const where = filtersOf(given)
  const page = await within(c, parts, (signal) => {
    const search = { ...range, ...readOptionsOf(c, parts), signal }
    return cursor === undefined
      ? rowsAtOnce(parts, name, search, where, limit, signal)
      : pageOf(parts, name, search, where, limit, cursor, signal)
  })
  return readAnswer(parts, stringifyWire(page as unknown as Value))
}

/** Rows up to the limit: no snapshot is kept for more. */
async function rowsAtOnce(
  parts: HttpParts,
  table: string,
  search: ShellQuery,
  where: readonly Filter[],
  limit: number,
  signal: AbortSignal,
): Promise<Page> {
  const rows: AnyRow[] = []
  // A bounded walk is read in one step; what is filtered may have to walk far.
  const query = where.length === 0 ? { ...search, limit } : search
  const chunks = parts.operations.streams.rows({ table, query, where, limit }, { signal })
  let bytes = 0
  for await (const chunk of chunks) {
    for (const row of chunk) {
      bytes += roughBytes(row)
      if (bytes > PAGE_BYTES) {
        throw invalid(
          `these rows have more than ${PAGE_BYTES} bytes; ask for fewer, or by a cursor`,
        )
      }
      rows.push(row)
    }
  }
  return { rows }
}

/** A page, and the cursor of the next: all of them are of one moment. */
async function pageOf(
  parts: HttpParts,
  table: string,
  search: ShellQuery,
  where: readonly Filter[],
  limit: number,
  cursor: string,
  signal: AbortSignal,
): Promise<Page> {
  const found = rowsOf(parts.db, table, search)
  const rows: AnyRow[] = []
  let next = cursor === START ? undefined : cursor
  let [bytes, looks] = [0, 0]
  do {
    signal.throwIfAborted()
    const most = Math.min(limit - rows.length, ROWS_A_TURN)
    const page = await found.page({ limit: most, cursor: next })
    next = page.cursor
    looks += Math.max(page.rows.length, ROWS_A_TURN)
    for (const row of page.rows) {
      if (!matches(row, where)) continue
      rows.push(row)
      bytes += roughBytes(row)
    }
    await turn(parts.env)
  } while (next !== undefined && rows.length < limit && bytes < PAGE_BYTES && looks < PAGE_LOOKS)
  return { rows, cursor: next }
}

async function count(c: HttpContext, parts: HttpParts): Promise<Response> {
  const table = tableIn(c, parts)
  const given = parametersOf(c, RANGE)
  const found = await within(c, parts, (signal) => {
    const search = { ...rangeOf(given), ...readOptionsOf(c, parts), signal }
    return table.count(search as unknown as Query<never, never, never>)
  })
  return readAnswer(parts, stringifyWire({ count: found }))
}

async function groups(c: HttpContext, parts: HttpParts): Promise<Response> {
  const table = tableIn(c, parts)
  const given = parametersOf(c, GROUPS)
  const by = onlyOf(given, 'by')
  if (by === undefined) throw invalid('groups need by: the field whose values make them')
  const join = onlyOf(given, 'join')
  const spec = {
    table: table.name,
    group: by,
    average: onlyOf(given, 'avg'),
    minRows: numberOf(given, 'minRows', 0) ?? 1,
    limit: Math.min(numberOf(given, 'limit', 1) ?? GROUPS_SHOWN, parts.limits.pageRows),
    join: join === undefined ? undefined : tableOf(parts, join).name,
    where: filtersOf(given),
  }
  const found = await within(c, parts, (signal) => {
    const search = { ...rangeOf(given), ...readOptionsOf(c, parts), signal }
    return aggregate(parts.db, parts.env, { ...spec, query: search }, signal, GROUPS_BYTES)
  })
  // A sum may be beyond every number, and then has no JSON form.
  const shown = found.map((group) =>
    Number.isFinite(group.average ?? 0) ? group : { ...group, average: null },
  )
  return readAnswer(parts, stringifyWire({ groups: shown as unknown as Value }))
}

async function getMany(c: HttpContext, parts: HttpParts): Promise<Response> {
  const table = tableIn(c, parts)
  noParameters(c)
  const body = membersOf('the body', await bodyOf(c, parts.limits.bodyBytes), ['keys'])
  const keys = listOf('keys', body['keys'])
  const { pageRows } = parts.limits
  if (keys.length > pageRows) throw invalid(`keys are at most ${pageRows} at once`)
  const rows = await table.getMany(keys as readonly Key[], readOptionsOf(c, parts))
  return readAnswer(parts, stringifyWire({ rows: rows.map((row) => row ?? null) }))
}

function rangeOf(given: Given): ShellQuery {
  const range: Record<string, unknown> = {}
  const index = onlyOf(given, 'index')
  if (index !== undefined) range['index'] = index
  for (const bound of BOUNDS) {
    const text = onlyOf(given, bound)
    if (text !== undefined) range[bound] = readWire(bound, () => parseKeySegment(text))
  }
  return range
}

function filtersOf(given: Given): Filter[] {
  return (given.get('where') ?? []).map((text) => {
    const filter = readWire('where', () => conditionOf(text))
    if (filter !== undefined) return filter
    throw invalid(`where is field=value (also != < <= > >=), not ${text.slice(0, 100)}`)
  })
}

function flagOf(given: Given, name: string): boolean {
  const text = onlyOf(given, name) ?? 'false'
  if (text !== 'true' && text !== 'false') throw invalid(`${name} is true or false`)
  return text === 'true'
}
