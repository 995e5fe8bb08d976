/** `holdfast query`: rows in the order of the key or of an index, or groups of them. */
import { HoldfastError } from '../../core/errors.ts'
import { systemEnv } from '../../open.ts'
import type { AnyRow, ShellQuery } from '../../server/any-rows.ts'
import type { Filter } from '../../server/filter.ts'
import { EXIT, UsageError } from '../exit-codes.ts'
import { count, took } from '../progress.ts'
import { withSession } from '../open-session.ts'
import type { Session } from '../session.ts'
import type { Shell } from '../shell.ts'
import { tableLines } from '../text-table.ts'
import { parseCondition, prefixReadings, readings } from '../typed-text.ts'

export interface QueryOptions {
  readonly index?: string | undefined
  readonly eq?: string | undefined
  readonly gt?: string | undefined
  readonly gte?: string | undefined
  readonly lt?: string | undefined
  readonly lte?: string | undefined
  readonly prefix?: string | undefined
  readonly reverse?: boolean | undefined
  readonly limit?: number | undefined
  readonly where?: readonly string[] | undefined
  readonly fields?: readonly string[] | undefined
  readonly cursor?: string | undefined
  readonly count?: boolean | undefined
  readonly group?: string | undefined
  readonly avg?: string | undefined
  readonly minRows?: number | undefined
  readonly join?: string | undefined
}

const BOUNDS = ['eq', 'gt', 'gte', 'lt', 'lte', 'prefix'] as const
/** Rows shown to people who do not say how many. */
const PEOPLE_LIMIT = 20
/** Rows of one page, at the most, when a cursor is used. */
const PAGE_MAX = 1_000

export async function queryCommand(
  shell: Shell,
  table: string,
  options: QueryOptions,
): Promise<number> {
  const where = (options.where ?? []).map(parseCondition)
  checkCombination(options, where)
  return withSession(shell, async (session) => {
    const startMs = systemEnv.clock.monotonicMs()
    const asked = { session, table, options, where, startMs, queries: queriesOf(options) }
    if (options.group !== undefined) await showGroups(shell, asked)
    else if (options.count === true) await showCount(shell, asked)
    else if (options.cursor !== undefined) await showPage(shell, asked)
    else await showRows(shell, asked)
    return EXIT.ok
  })
}

interface Asked {
  readonly session: Session
  readonly table: string
  readonly options: QueryOptions
  readonly where: readonly Filter[]
  readonly startMs: number
  /** What was typed, in each of its readings: the first that finds anything counts. */
  readonly queries: readonly ShellQuery[]
}

function checkCombination(options: QueryOptions, where: readonly Filter[]): void {
  if (options.cursor !== undefined && where.length > 0) {
    throw new UsageError('--cursor goes on with a query without --where')
  }
  const { group, avg, join, minRows } = options
  if (group === undefined && [avg, join, minRows].some((given) => given !== undefined)) {
    throw new UsageError('--avg, --join and --min-rows need --group FIELD')
  }
}

/** One query for each reading of the bounds. */
function queriesOf(options: QueryOptions): ShellQuery[] {
  const { index, reverse } = options
  const bounds = BOUNDS.flatMap((name) => {
    const text = options[name]
    if (text === undefined) return []
    const values = name === 'prefix' ? prefixReadings(text) : readings(text)
    return [{ name, values }]
  })
  const variants = Math.max(1, ...bounds.map(({ values }) => values.length))
  return Array.from({ length: variants }, (_, i) => {
    const query: Record<string, unknown> = { index, reverse }
    for (const { name, values } of bounds) query[name] = values[i] ?? values[0]
    return query
  })
}

async function showRows(shell: Shell, asked: Asked): Promise<void> {
  const { session, table, options, where, queries } = asked
  const limit = options.limit ?? (shell.json ? undefined : PEOPLE_LIMIT)
  // One more than asked, to know whether there are more.
  const probe = limit === undefined || shell.json ? limit : limit + 1
  const rows: AnyRow[] = []
  let found = 0
  for (const query of queries) {
    for await (const chunk of session.stream('rows', { table, query, where, limit: probe })) {
      found += chunk.length
      if (shell.json) await printJson(shell, chunk, options.fields)
      else rows.push(...chunk)
    }
    if (found > 0) break
  }
  if (shell.json || limit === undefined) return
  await printTable(shell, asked, rows.slice(0, limit))
  if (rows.length > limit) shell.say('there are more: raise --limit, or use --json for all')
}

async function showPage(shell: Shell, asked: Asked): Promise<void> {
  const { session, table, options, queries } = asked
  const limit = Math.min(options.limit ?? PEOPLE_LIMIT, PAGE_MAX)
  const given = options.cursor === 'start' ? undefined : options.cursor
  const isShared = session.holder !== undefined || shell.target.kind === 'url'
  if (!isShared && shell.session === undefined) {
    throw new HoldfastError(
      'SnapshotExpired',
      'a cursor lives in the process that has the folder open, and there is none',
      { details: { next: 'holdfast start   (in another terminal), then --cursor start' } },
    )
  }
  let page: Awaited<ReturnType<typeof session.call<'page'>>> = { rows: [] }
  for (const query of queries) {
    try {
      page = await session.call('page', { table, query, limit, cursor: given })
      if (page.rows.length > 0) break
    } catch (error) {
      const isOfOther = error instanceof HoldfastError && error.code === 'InvalidCursor'
      if (!isOfOther || query === queries.at(-1)) throw error
    }
  }
  const { rows, cursor } = page
  if (shell.json) await printJson(shell, rows, options.fields)
  else await printTable(shell, asked, rows)
  if (cursor === undefined) return
  shell.say(shell.json ? JSON.stringify({ cursor }) : `next page: --cursor ${cursor}`)
}

async function showCount(shell: Shell, asked: Asked): Promise<void> {
  const { session, table, where, queries } = asked
  let found = 0
  for (const query of queries) {
    if (where.length === 0) found = await session.call('count', { table, query: bare(query) })
    else {
      for await (const rows of session.stream('rows', { table, query, where })) found += rows.length
    }
    if (found > 0) break
  }
  await shell.out(shell.json ? JSON.stringify({ count: found }) : count(found))
}

/** A query over the whole table is counted without being read: it has no options then. */
function bare(query: ShellQuery): ShellQuery {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined))
}

async function showGroups(shell: Shell, asked: Asked): Promise<void> {
  const { session, table, options, where, queries } = asked
  const [query = {}] = queries
  const { group = '', avg, join, minRows = 1, limit = PEOPLE_LIMIT } = options
  const spec = { table, query, where, group, average: avg, minRows, limit, join }
  const groups = await session.call('aggregate', spec)
  const rows = groups.map(({ value, rows, average, joined }) => {
    // The joined row's key is the group itself: once is enough.
    const others = Object.fromEntries(
      Object.entries(joined ?? {}).filter(([name, other]) => name !== group && other !== value),
    )
    const shown = average === undefined ? undefined : Math.round(average * 100) / 100
    return { [group]: value, rows, ...(avg && { [`avg_${avg}`]: shown }), ...others }
  })
  if (shell.json) await printJson(shell, rows, options.fields)
  else await printTable(shell, asked, rows)
}

export async function printJson(
  shell: Shell,
  rows: readonly AnyRow[],
  fields: readonly string[] | undefined,
): Promise<void> {
  for (const row of rows) await shell.outJson(fields === undefined ? row : pick(row, fields))
}

export function pick(row: AnyRow, fields: readonly string[]): AnyRow {
  return Object.fromEntries(fields.map((field) => [field, row[field]]))
}

async function printTable(shell: Shell, asked: Asked, rows: readonly AnyRow[]): Promise<void> {
  const { fields } = asked.options
  const [header, ...lines] = tableLines(rows, { fields, width: shell.columns })
  if (rows.length > 0 && header !== undefined) {
    await shell.out(shell.paint.bold(header))
    for (const line of lines) await shell.out(line)
  }
  const ms = systemEnv.clock.monotonicMs() - asked.startMs
  shell.say(`${count(rows.length)} ${rows.length === 1 ? 'row' : 'rows'} in ${took(ms)}`)
}
