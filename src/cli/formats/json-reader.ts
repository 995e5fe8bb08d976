/**
 * Reads a file that is one JSON array of objects, in wire form (core/wire.ts), without holding it.
 * An element that is not JSON, or no object, is a bad record; where the array itself is broken
 * (a comma is missing, the file is cut short) the rows before come first, then FormatError.
 */
import type { ReadBatch, ReadRecord, RowReader } from './format.ts'
import { BATCH_ROWS, FormatError } from './format.ts'
import { readJsonRow } from './json-row.ts'
import type { JsonElement } from './json-splitter.ts'
import { JsonArraySplitter } from './json-splitter.ts'
import type { JsonReadOptions } from './ndjson-reader.ts'
import { hasDamage, readText, RECORD_BYTES_MAX, sizeOfFile } from './text-source.ts'

/** Opens the JSON file at `path`. What is in it shows when it is read. */
export async function openJson(path: string, options: JsonReadOptions = {}): Promise<RowReader> {
  const bytesTotal = await sizeOfFile(path)
  return {
    format: 'json',
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
  const recordBytesMax = options.recordBytesMax ?? RECORD_BYTES_MAX
  const splitter = new JsonArraySplitter(recordBytesMax)
  let position = 0
  let isDamaged = false
  for await (const block of readText(path, { cut: 'char', lineBytesMax: recordBytesMax })) {
    const { bytesRead } = block
    isDamaged ||= block.damaged
    const elements: JsonElement[] = []
    const broken = pushText(splitter, block.text, elements)
    let batch: ReadRecord[] = []
    for (const { line, text } of elements) {
      const isSkipped = position++ < from
      if (isSkipped) continue
      batch.push(readJsonRow(text, position - 1, line, isDamaged && hasDamage(text)))
      if (batch.length === BATCH_ROWS) {
        yield { records: batch, bytesRead }
        batch = []
      }
    }
    if (batch.length > 0) yield { records: batch, bytesRead }
    if (broken !== undefined) throw broken
  }
  splitter.end()
}

/** What is wrong with the array, if anything: the elements before that still count. */
function pushText(
  splitter: JsonArraySplitter,
  text: string,
  elements: JsonElement[],
): FormatError | undefined {
  try {
    splitter.push(text, elements)
    return undefined
  } catch (error) {
    if (error instanceof FormatError) return error
    throw error
  }
}
