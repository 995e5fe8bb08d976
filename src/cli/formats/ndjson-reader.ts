/** Reads NDJSON: one JSON object a line, in wire form (core/wire.ts). Blank lines are no records. */
import type { ReadBatch, ReadRecord, RowReader } from './format.ts'
import { BATCH_ROWS } from './format.ts'
import { readJsonRow } from './json-row.ts'
import { hasDamage, readText, RECORD_BYTES_MAX, sizeOfFile } from './text-source.ts'

export interface JsonReadOptions {
  /** Longest record in bytes; a longer one throws FormatError. Default 16 MiB. */
  readonly recordBytesMax?: number | undefined
}

const NOT_BLANK = /[^ \t\r]/

/** Opens the NDJSON file at `path`. */
export async function openNdjson(path: string, options: JsonReadOptions = {}): Promise<RowReader> {
  const bytesTotal = await sizeOfFile(path)
  return {
    format: 'ndjson',
    bytesTotal,
    rowsTotal: undefined,
    columns: undefined,
    rows: (from = 0) => readRows(path, options, from),
  }
}

async function* readRows(
  path: string,
  options: JsonReadOptions,
  from: number,
): AsyncGenerator<ReadBatch> {
  const lineBytesMax = options.recordBytesMax ?? RECORD_BYTES_MAX
  let position = 0
  let line = 0
  for await (const { text, bytesRead, damaged } of readText(path, { cut: 'line', lineBytesMax })) {
    let batch: ReadRecord[] = []
    for (let at = 0; at < text.length;) {
      const feed = text.indexOf('\n', at)
      const stop = feed < 0 ? text.length : feed
      const source = text.slice(at, stop)
      at = stop + 1
      line++
      if (!NOT_BLANK.test(source)) continue
      const isSkipped = position++ < from
      if (isSkipped) continue
      batch.push(readJsonRow(source, position - 1, line, damaged && hasDamage(source)))
      if (batch.length === BATCH_ROWS) {
        yield { records: batch, bytesRead }
        batch = []
      }
    }
    if (batch.length > 0) yield { records: batch, bytesRead }
  }
}
