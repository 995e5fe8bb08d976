/** Groups of rows with the average of a field, joined with the rows that their names lead to. */
import { binaryString } from '../core/bytes.ts'
import { turn, type Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Key } from '../core/key-codec.ts'
import { ownField } from '../core/own-field.ts'
import { encodeValue, type Value } from '../core/value-codec.ts'
import { matches, type Filter } from './filter.ts'
import { roughBytes, rowsOf, type AnyDatabase, type AnyRow, type ShellQuery } from './any-rows.ts'

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
/** What a group takes beside its value. */
const GROUP_BYTES = 128
/** Begins the names of values that are objects; a string that begins so has it twice. */
const NESTED = '\0'

export async function aggregate(
  db: AnyDatabase,
  env: Env,
  spec: AggregateSpec,
  signal: AbortSignal,
  /** Bytes that all groups together may take. Throws `InvalidRequest` beyond. */
  mostBytes = Number.POSITIVE_INFINITY,
): Promise<AggregateRow[]> {
  const groups = await collect(db, env, spec, signal, mostBytes)
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
  mostBytes: number,
): Promise<Map<unknown, Group>> {
  const groups = new Map<unknown, Group>()
  let [seen, bytes] = [0, 0]
  for await (const row of rowsOf(db, table, query)) {
    if (++seen % ROWS_A_TURN === 0) await turn(env)
    signal.throwIfAborted()
    const value = ownField(row, field)
    if (value === undefined || !matches(row, where)) continue
    const name = nameOf(value)
    let group = groups.get(name)
    if (group === undefined) {
      bytes += GROUP_BYTES + roughBytes(value)
      if (bytes > mostBytes) throw tooMany(groups.size, field)
      groups.set(name, (group = { value, rows: 0, numbers: 0, sum: 0 }))
    }
    group.rows++
    const number = average === undefined ? undefined : ownField(row, average)
    if (typeof number !== 'number' && typeof number !== 'bigint') continue
    group.numbers++
    group.sum += Number(number)
  }
  return groups
}

/** Equal values have the same name, and others another one. */
function nameOf(value: Value): unknown {
  if (typeof value === 'string') return value.startsWith(NESTED) ? NESTED + value : value
  if (typeof value !== 'object' || value === null) return value
  return `${NESTED}.${binaryString(encodeValue(value))}`
}

function tooMany(groups: number, field: string): HoldfastError {
  return new HoldfastError(
    'InvalidRequest',
    `${field} has more than ${groups} values, too many groups at once; narrow them by bounds`,
  )
}
