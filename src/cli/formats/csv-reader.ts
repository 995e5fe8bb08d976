/** Reads CSV; the rules of cells are in csv-splitter.ts, those of columns in csv-columns.ts. */
import type { CsvColumn } from './csv-columns.ts'
import { csvColumns, NULL_CELL, SAMPLE_ROWS } from './csv-columns.ts'
import type { CsvRecord } from './csv-splitter.ts'
import { CsvSplitter } from './csv-splitter.ts'
import type { ColumnKind, ReadBatch, ReadRecord, Row, RowReader } from './format.ts'
import { BATCH_ROWS, badRow, FormatError } from './format.ts'
import { hasDamage, NOT_UTF8, readText, RECORD_BYTES_MAX, sizeOfFile } from './text-source.ts'
import { setOwn } from '../../core/wire.ts'

export interface CsvReadOptions {
  /** One character between cells. Default a comma. */
  readonly delimiter?: string | undefined
  /**
   * `true` (default): the first record names the columns. `false`: no record does, they are
   * `column1`, `column2` and so on. A list: no record does, these are the names (types allowed).
   */
  readonly header?: boolean | readonly string[] | undefined
  /** Infer numbers and booleans in a file without types, from its first 1,000 rows. Default true. */
  readonly infer?: boolean | undefined
  /** Kinds by column name, above those in the header. */
  readonly types?: Readonly<Record<string, ColumnKind>> | undefined
  /** Longest record in bytes, and how far a quote may be from its closing one. Default 16 MiB. */
  readonly recordBytesMax?: number | undefined
}

interface CsvBlock {
  readonly records: readonly CsvRecord[]
  readonly bytesRead: number
  readonly damaged: boolean
}

/**
 * Opens the CSV file at `path`: reads its header and a sample. An empty file has no columns and no
 * rows. Throws FormatError for a header that names no columns, and what opening a file throws.
 */
export async function openCsv(path: string, options: CsvReadOptions = {}): Promise<RowReader> {
  const bytesTotal = await sizeOfFile(path)
  const { header, sample } = await readHead(path, options)
  const columns = csvColumns(
    header,
    options.types ?? {},
    options.infer === false ? undefined : sample,
  )
  return {
    format: 'csv',
    bytesTotal,
    rowsTotal: undefined,
    columns: columns.map(({ name, kind }) => ({ name, kind })),
    rows: (from = 0) => readRows(path, options, columns, from),
  }
}

async function* readRows(
  path: string,
  options: CsvReadOptions,
  columns: readonly CsvColumn[],
  from: number,
): AsyncGenerator<ReadBatch> {
  const toRow = rowMaker(columns)
  let position = options.header === undefined || options.header === true ? -1 : 0
  let isDamaged = false
  for await (const block of readRecords(path, options)) {
    isDamaged ||= block.damaged
    let batch: ReadRecord[] = []
    for (const record of block.records) {
      const at = position++
      if (at < from) continue
      const damage = isDamaged && (hasDamage(record.raw) || record.cells.some(hasDamage))
      const row = record.error ?? (damage ? NOT_UTF8 : toRow(record))
      batch.push(
        typeof row === 'string'
          ? badRow(at, record.line, row, record.raw || rawOf(record, options))
          : { position: at, line: record.line, row },
      )
      if (batch.length === BATCH_ROWS) {
        yield { records: batch, bytesRead: block.bytesRead }
        batch = []
      }
    }
    if (batch.length > 0) yield { records: batch, bytesRead: block.bytesRead }
  }
}

/** Turns a record into a row, or into the reason why it is none. */
function rowMaker(columns: readonly CsvColumn[]): (record: CsvRecord) => Row | string {
  const hasProto = columns.some(({ name }) => name === '__proto__')
  return ({ cells, quoted }) => {
    if (cells.length !== columns.length) {
      return `the record has ${cells.length} cells, the header ${columns.length}`
    }
    const row: Row = {}
    for (let i = 0; i < cells.length; i++) {
      const cell = cells[i] as string
      const column = columns[i] as CsvColumn
      if (cell === '' && quoted?.[i] !== true) continue
      const isNull = cell === NULL_CELL && quoted?.[i] !== true
      const value = isNull ? null : column.parse(cell)
      if (value === undefined) return misfit(column, cell)
      if (hasProto) setOwn(row, column.name, value)
      else row[column.name] = value
    }
    return row
  }
}

function misfit({ name, kind, isInferred }: CsvColumn, cell: string): string {
  const shown = cell.length > 40 ? `${cell.slice(0, 40)}…` : cell
  const reason = `column "${name}": ${JSON.stringify(shown)} is not a ${kind}`
  if (!isInferred) return reason
  return `${reason}, as its first cells were; give the column a type (${name}:string)`
}

/** A good record's text, near enough: only bad rows show it. */
function rawOf({ cells, quoted }: CsvRecord, options: CsvReadOptions): string {
  return cells
    .map((cell, i) => (quoted?.[i] === true ? `"${cell.replaceAll('"', '""')}"` : cell))
    .join(options.delimiter ?? ',')
}

async function readHead(
  path: string,
  options: CsvReadOptions,
): Promise<{ header: readonly string[]; sample: readonly CsvRecord[] }> {
  const head: CsvRecord[] = []
  for await (const { records } of readRecords(path, options)) {
    for (const record of records) head.push(record)
    if (head.length > SAMPLE_ROWS) break
  }
  const first = head[0]
  const sample = head.slice(0, SAMPLE_ROWS + 1)
  if (typeof options.header === 'object') return { header: options.header, sample }
  if (first === undefined) return { header: [], sample }
  if (options.header === false) {
    return { header: first.cells.map((_, i) => `column${i + 1}`), sample }
  }
  const text = first.raw + first.cells.join('')
  const problem =
    first.error ??
    (hasDamage(text) ? NOT_UTF8 : undefined) ??
    (text.includes('\r') && first.quoted === undefined ? 'a line ends in CR alone' : undefined)
  if (problem !== undefined) throw new FormatError(`the header is bad: ${problem}`, first.line)
  return { header: first.cells, sample: sample.slice(1) }
}

async function* readRecords(path: string, options: CsvReadOptions): AsyncGenerator<CsvBlock> {
  const recordBytesMax = options.recordBytesMax ?? RECORD_BYTES_MAX
  const splitter = new CsvSplitter(delimiterOf(options), recordBytesMax)
  let bytesRead = 0
  for await (const block of readText(path, { cut: 'line', lineBytesMax: recordBytesMax })) {
    bytesRead = block.bytesRead
    const records = splitter.push(block.text, false)
    yield { records, bytesRead, damaged: block.damaged }
  }
  yield { records: splitter.push('', true), bytesRead, damaged: false }
}

function delimiterOf({ delimiter = ',' }: CsvReadOptions): string {
  if (delimiter.length === 1 && !/["\r\n]/.test(delimiter)) return delimiter
  throw new FormatError(`a delimiter is one character, and not ${JSON.stringify(delimiter)}`)
}
