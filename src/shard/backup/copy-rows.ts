/**
 * The base of a backup: every live key of one moment. Rows are checked against their checksums and
 * their tables' statistics while they are copied: damage is found here, not when it is too late.
 */
import { afterPrefix, copied, copyBytes, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { entryKey } from '../../log/entry-store.ts'
import type { Position } from '../../log/log.ts'
import type { StoreReader } from '../../store/store.ts'
import { DEFINITIONS_KEY, STATE_KEY } from '../apply-loop.ts'
import { liveTables } from '../check.ts'
import { changeKey, INDEX_SPACE, ROW_SPACE, statsKey, tablePrefix } from '../layout.ts'
import type { LogState } from '../log-state.ts'
import { corruptRow, rowCheck, rowIsIntact, rowShard } from '../row-codec.ts'
import { addRow, decodeStat, emptyStat, type ShardStat } from '../shard-stats.ts'
import type { PartWriter } from './part-codec.ts'
import type { Pace } from './progress.ts'

/** Keys that are copied before the clock is looked at. */
const SLICE = 256
const NEXT = Uint8Array.of(0)

/** Takes records as they are read; what is full is flushed before more comes. */
export type RecordWriter = Pick<PartWriter, 'add' | 'isFull' | 'flush'>

export interface CopyOptions {
  readonly reader: StoreReader
  readonly state: LogState
  readonly writer: RecordWriter
  readonly pace: Pace
}

/** Throws `StoreCorrupt` for a row, or a table, that is not what was written. */
export async function copyRows(options: CopyOptions): Promise<void> {
  const { reader, state, writer, pace } = options
  for (const key of [STATE_KEY, DEFINITIONS_KEY]) writer.add('rows', key, bytesAt(reader, key))
  const tables = liveTables(state)
  const stats = copyStats(options, tables.keys())
  const total = stats.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  for (const [id, { definition }] of tables) {
    const found = new Map<number, ShardStat>()
    await copyRange(
      options,
      under(tablePrefix(ROW_SPACE, id)),
      async (bytes) => {
        done += bytes
        await pace.step('rows', Math.min(done, total), total)
      },
      (key, value) => {
        if (!rowIsIntact(key, value)) throw corruptRow(copyBytes(key))
        const shard = rowShard(value)
        let stat = found.get(shard)
        if (stat === undefined) found.set(shard, (stat = emptyStat()))
        addRow(stat, rowCheck(value), value.length)
      },
    )
    for (let shard = 0; shard < state.shards; shard++) {
      const said = stats.find((stat) => stat.table === id && stat.shard === shard)
      compare(definition.name, shard, said ?? emptyStat(), found.get(shard) ?? emptyStat())
    }
    for (const index of definition.indexes) {
      const range = under(tablePrefix(INDEX_SPACE, id, index.id))
      await copyRange(options, range, () => pace.step('rows', Math.min(done, total), total))
    }
  }
  pace.end('rows', total)
}

/** Copies raw entries and their records from `from` on, as they lie in the store. */
export async function copyLog(options: CopyOptions, from: Position): Promise<void> {
  const { state, pace } = options
  const sliced = (): Promise<void> => pace.step('entries', 0, state.position + 1 - from)
  const end = state.position + 1
  await copyRange(options, { gte: entryKey(from, 0), lt: entryKey(end, 0) }, sliced)
  await copyRange(options, { gte: changeKey(from), lt: changeKey(end) }, sliced)
}

type StatOf = ShardStat & { readonly table: number; readonly shard: number }

function copyStats({ reader, state, writer }: CopyOptions, tables: Iterable<number>): StatOf[] {
  const stats: StatOf[] = []
  for (const table of tables) {
    for (let shard = 0; shard < state.shards; shard++) {
      const key = statsKey(shard, table)
      const value = copied(reader.get(key))
      if (value === undefined) continue
      stats.push({ table, shard, ...decodeStat(key, value) })
      writer.add('rows', key, value)
    }
  }
  return stats
}

function compare(table: string, shard: number, said: ShardStat, found: ShardStat): void {
  const alike =
    said.rows === found.rows &&
    said.bytes === found.bytes &&
    said.sumA === found.sumA &&
    said.sumB === found.sumB
  if (alike) return
  throw new HoldfastError(
    'StoreCorrupt',
    `shard ${shard} of table ${table} does not have the rows that were written: ` +
      `${found.rows} are there, of ${said.rows}`,
    { details: { table, shard } },
  )
}

/** Every key that begins with `prefix`. */
function under(prefix: Bytes): KeyRange {
  return { gte: prefix, lt: afterPrefix(prefix) }
}

interface KeyRange {
  readonly gte: Bytes
  readonly lt: Bytes | undefined
}

/** Copies a range of keys; `sliced` is told the bytes of values of each slice. */
async function copyRange(
  { reader, writer }: CopyOptions,
  range: KeyRange,
  sliced: (bytes: number) => Promise<void>,
  look: (key: Bytes, value: Bytes) => void = () => undefined,
): Promise<void> {
  const { lt } = range
  for (let { gte } = range; ;) {
    let [bytes, last]: [number, Bytes | undefined] = [0, undefined]
    let full = false
    const seen = reader.scan({ gte, lt, limit: SLICE }, (key, value) => {
      look(key, value)
      writer.add('rows', key, value)
      bytes += value.length
      last = copyBytes(key)
      full = writer.isFull
      return !full
    })
    if (full) await writer.flush()
    await sliced(bytes)
    if (last === undefined || (seen < SLICE && !full)) return
    gte = Buffer.concat([last, NEXT])
  }
}

function bytesAt(reader: StoreReader, key: Bytes): Bytes {
  const value = copied(reader.get(key))
  if (value !== undefined) return value
  throw new HoldfastError('StoreCorrupt', 'a record of this database is missing')
}
