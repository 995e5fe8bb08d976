/** What each table has, by the statistics that are kept with its rows: what backups are compared by. */
import { copied } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import type { StoreReader } from '../../store/store.ts'
import { DEFINITIONS_KEY, STATE_KEY } from '../apply-loop.ts'
import { liveTables } from '../check.ts'
import { statsKey } from '../layout.ts'
import { decodeState, type LogState } from '../log-state.ts'
import { decodeStat, emptyStat, type ShardStat } from '../shard-stats.ts'
import type { TableDigest } from './manifest.ts'

/** Throws `StoreCorrupt` when the records are not there. */
export function readState(reader: StoreReader): LogState {
  const record = copied(reader.get(STATE_KEY))
  const definitions = copied(reader.get(DEFINITIONS_KEY))
  if (record === undefined || definitions === undefined) {
    throw new HoldfastError(
      'StoreCorrupt',
      'the record of log-wide state, or of definitions, is missing',
    )
  }
  return decodeState(record, definitions)
}

/** By the table's id; hidden tables are among them. */
export function tableDigests(reader: StoreReader, state: LogState): TableDigest[] {
  const found: TableDigest[] = []
  for (const [id, { definition }] of liveTables(state)) {
    const sum = emptyStat()
    for (let shard = 0; shard < state.shards; shard++) {
      const key = statsKey(shard, id)
      const value = reader.get(key)
      if (value !== undefined) add(sum, decodeStat(key, value))
    }
    const { rows, bytes } = sum
    found.push({ id, name: definition.name, rows, bytes, digest: digestOf(sum) })
  }
  return found.toSorted((a, b) => a.id - b.id)
}

/** Where two lists differ, in words; undefined when they are alike. */
export function digestsDiffer(
  found: readonly TableDigest[],
  said: readonly TableDigest[],
): string | undefined {
  for (const table of said) {
    const other = found.find(({ id }) => id === table.id)
    if (other === undefined) return `table ${table.name} is missing`
    if (other.name !== table.name) return `table ${table.name} is called ${other.name}`
    if (other.rows !== table.rows)
      return `table ${table.name} has ${other.rows} rows; the manifest says ${table.rows}`
    if (other.digest !== table.digest || other.bytes !== table.bytes)
      return `the rows of table ${table.name} do not have the digest that the manifest says`
  }
  return found.length === said.length ? undefined : 'there are tables that the manifest lacks'
}

function add(sum: ShardStat, stat: ShardStat): void {
  sum.rows += stat.rows
  sum.bytes += stat.bytes
  sum.sumA = (sum.sumA + stat.sumA) >>> 0
  sum.sumB = (sum.sumB + stat.sumB) >>> 0
}

function digestOf({ sumA, sumB }: ShardStat): string {
  return sumA.toString(16).padStart(8, '0') + sumB.toString(16).padStart(8, '0')
}
