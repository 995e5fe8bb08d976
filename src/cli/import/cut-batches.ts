/** Cuts a file's records into batches: ranges of positions that are imported whole. */
import { roughBytes } from '../../server/any-rows.ts'
import type { ReadRecord, RowReader } from '../formats/format.ts'

export interface Range {
  readonly start: number
  readonly end: number
}

export interface Batch extends Range {
  readonly records: readonly ReadRecord[]
  /** Bytes of the file read so far. */
  readonly bytesRead: number
}

export interface Cut {
  /** Ranges that are done, in order, none overlapping. */
  readonly done: readonly Range[]
  /** First position looked at. */
  readonly from: number
  /** Positions from here on are left out. */
  readonly limit: number
  /** Told of each record in a range that is done. */
  readonly onDone: (record: ReadRecord) => void
}

const BATCH_ROWS = 500
/** Well below what a transaction takes, indexes included. */
const BATCH_BYTES = 96 * 1024

export async function* cutBatches(reader: RowReader, cut: Cut): AsyncGenerator<Batch> {
  const { done, from, limit } = cut
  let next = 0
  let records: ReadRecord[] = []
  let [start, bytes] = [from, 0]
  let bytesRead = 0
  const take = (end: number): Batch => {
    const batch = { start, end, records, bytesRead }
    records = []
    start = end
    bytes = 0
    return batch
  }
  for await (const block of reader.rows(from)) {
    bytesRead = block.bytesRead
    for (const record of block.records) {
      const { position } = record
      if (position >= limit) {
        if (records.length > 0) yield take(position)
        return
      }
      while ((done[next]?.end ?? Infinity) <= position) next++
      if ((done[next]?.start ?? Infinity) <= position) {
        if (records.length > 0) yield take(position)
        start = position + 1
        cut.onDone(record)
        continue
      }
      records.push(record)
      bytes += record.error === undefined ? roughBytes(record.row) : record.raw.length
      if (records.length >= BATCH_ROWS || bytes >= BATCH_BYTES) yield take(position + 1)
    }
  }
  const last = records.at(-1)
  if (last !== undefined) yield take(last.position + 1)
}

/** `range` in two, for a batch that does not fit a transaction. */
export function halves(batch: Batch): [Batch, Batch] {
  const middle = batch.start + Math.floor((batch.end - batch.start) / 2)
  const { start, end, records, bytesRead } = batch
  return [
    { start, end: middle, bytesRead, records: records.filter(({ position }) => position < middle) },
    {
      start: middle,
      end,
      bytesRead,
      records: records.filter(({ position }) => position >= middle),
    },
  ]
}

/** The first position that is in no range. `ranges` are in order. */
export function firstGap(ranges: readonly Range[]): number {
  let position = 0
  for (const { start, end } of ranges) {
    if (start > position) break
    position = Math.max(position, end)
  }
  return position
}
