/** Groups of rows with the average of a field, joined with the rows that their names lead to. */
import { turn, type Env } from '../core/env.ts'
import type { Key } from '../core/key-codec.ts'
import type { Value } from '../core/value-codec.ts'
import { matches, type Filter } from './filter.ts'
import { rowsOf, type AnyDatabase, type AnyRow, type ShellQuery } from './any-rows.ts'

export interface AggregateSpec {
  readonly table: string
  readonly query: ShellQuery
  readonly where: readonly Filter[]
  /** Rows with the same value of this field make a group. */
  readonly group: string
  /** The field averaged; rows without a number in it are counted, not averaged. */
  readonly average?: string | undefined
  /** Groups with fewer rows are left out. */
  readonly minRows: number
  /** Groups returned, those with the greatest average (or the most rows) first. */
  readonly limit: number
  /** The table whose key is the group's value. */
  readonly join?: string | undefined
}

export interface AggregateRow {
  readonly value: Value
  readonly rows: number
  readonly average?: number | undefined
  readonly joined?: AnyRow | undefined
}

interface Group {
  readonly value: Value
  rows: number
  numbers: number
  sum: number
}

const ROWS_A_TURN = 512

export async function aggregate(
  db: AnyDatabase,
  env: Env,
  spec: AggregateSpec,
  signal: AbortSignal,
): Promise<AggregateRow[]> {
  const groups = await collect(db, env, spec, signal)
  const isAveraged = spec.average !== undefined
  const rank = (group: Group): number => (isAveraged ? group.sum / group.numbers : group.rows)
  const best = [...groups.values()]
    .filter((group) => group.rows >= spec.minRows && (!isAveraged || group.numbers > 0))
    .sort((a, b) => rank(b) - rank(a))
    .slice(0, spec.limit)
  const joined =
    spec.join === undefined
      ? undefined
      : await db.table(spec.join).getMany(best.map(({ value }) => value as Key))
  return best.map((group, i) => ({
    value: group.value,
    rows: group.rows,
    average: isAveraged ? rank(group) : undefined,
    joined: joined?.[i],
  }))
}

async function collect(
  db: AnyDatabase,
  env: Env,
  { table, query, where, group: field, average }: AggregateSpec,
  signal: AbortSignal,
): Promise<Map<unknown, Group>> {
  const groups = new Map<unknown, Group>()
  let seen = 0
  for await (const row of rowsOf(db, table, query)) {
    if (++seen % ROWS_A_TURN === 0) await turn(env)
    signal.throwIfAborted()
    const value = row[field]
    if (value === undefined || !matches(row, where)) continue
    const name = value instanceof Date ? value.getTime() : value
    let group = groups.get(name)
    if (group === undefined) groups.set(name, (group = { value, rows: 0, numbers: 0, sum: 0 }))
    group.rows++
    const number = average === undefined ? undefined : row[average]
    if (typeof number !== 'number' && typeof number !== 'bigint') continue
    group.numbers++
    group.sum += Number(number)
  }
  return groups
}
