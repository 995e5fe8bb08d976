/**
 * What the readers and writers of files have in common. One folder, one format a pair of files:
 * `<format>-reader.ts` and `<format>-writer.ts`; `open.ts` chooses between them.
 *
 * Reading: a file is a sequence of records, numbered from 0 by their position. The numbers depend
 * on the file alone, so an import that stopped goes on at a position and misses or repeats nothing.
 * A record that cannot be read is a record too: it has a position, a line, and a reason.
 *
 * Writing: rows go in batches, memory stays bounded, and a file appears under its name only when it
 * is whole and flushed.
 */
import type { Value } from '../../core/wire.ts'

export type Format = 'csv' | 'ndjson' | 'json' | 'parquet'

export type Row = Record<string, Value>

/** What one column holds; `json` is for mixed and nested values, in wire form (core/wire.ts). */
export type ColumnKind = 'string' | 'number' | 'bigint' | 'boolean' | 'date' | 'bytes' | 'json'

export const COLUMN_KINDS: readonly ColumnKind[] = [
  'string',
  'number',
  'bigint',
  'boolean',
  'date',
  'bytes',
  'json',
]

/** A column of a file to be read. */
export interface Column {
  readonly name: string
  readonly kind: ColumnKind
}

/** A column of a file to be written; ColumnPlan makes these from the rows. */
export interface PlannedColumn extends Column {
  /** Some row holds null. */
  readonly hasNull: boolean
  /** Some row has no such field. */
  readonly hasMissing: boolean
}

export interface ReadRow {
  /** 0-based number of the record in its file, bad ones counted. */
  readonly position: number
  /** 1-based line where the record starts; in Parquet the position + 1. */
  readonly line: number
  /** The caller's own, but its objects, dates and bytes may be shared with other rows. */
  readonly row: Row
  readonly error?: undefined
}

export interface BadRow {
  readonly position: number
  readonly line: number
  /** Why the record could not be read. */
  readonly error: string
  /** The record's text, or the start of it: at most 400 characters. Empty in Parquet. */
  readonly raw: string
}

export type ReadRecord = ReadRow | BadRow

export interface ReadBatch {
  /** In order of position, 1 to 1,000 of them. */
  readonly records: readonly ReadRecord[]
  /** Bytes of the file consumed up to here; in Parquet an estimate by rows. */
  readonly bytesRead: number
}

export interface RowReader {
  readonly format: Format
  /** Size of the file. */
  readonly bytesTotal: number
  /** Records in the file where the format says so (Parquet), bad ones counted. */
  readonly rowsTotal: number | undefined
  /** The columns and what they are read as; undefined where rows name their own fields. */
  readonly columns: readonly Column[] | undefined
  /**
   * The records from position `from` on (default 0); what comes before is not converted, and in
   * Parquet mostly not read. May be called again, for a new pass. Opens the file, and closes it
   * when the iteration ends or is left. Throws FormatError where the file cannot be read on.
   */
  rows(from?: number): AsyncIterable<ReadBatch>
}

export interface WriteSummary {
  readonly rows: number
  readonly bytes: number
}

/** Await each call before the next. After an error only `abort` remains. */
export interface RowWriter {
  /** Throws FormatError for a row that this file could not give back as it is. */
  write(rows: readonly Row[]): Promise<void>
  /** Ends the file; at a path it is flushed to the disk and appears under its name. */
  close(): Promise<WriteSummary>
  /** Drops what was written to a path; a stream keeps what it got. Does nothing after `close`. */
  abort(): Promise<void>
}

/** A file, not one record of it, is at fault, or cannot hold what it should. */
export class FormatError extends Error {
  override readonly name = 'FormatError'
  /** 1-based line of the text file, where there is one. */
  readonly line: number | undefined

  constructor(message: string, line?: number, cause?: unknown) {
    const text = line === undefined ? message : `line ${line}: ${message}`
    super(text, cause === undefined ? undefined : { cause })
    this.line = line
  }
}

/** Most records in a batch. */
export const BATCH_ROWS = 1_000

/** Characters of a bad record that are kept. */
const RAW_CHARS = 400

const BY_EXTENSION: Readonly<Record<string, Format>> = {
  csv: 'csv',
  tsv: 'csv',
  ndjson: 'ndjson',
  jsonl: 'ndjson',
  json: 'json',
  parquet: 'parquet',
}

/** The format that the extension of `path` names, or undefined. `.tsv` is CSV with tabs. */
export function detectFormat(path: string): Format | undefined {
  const extension = extensionOf(path)
  return Object.hasOwn(BY_EXTENSION, extension) ? BY_EXTENSION[extension] : undefined
}

/** The cell separator that the extension of `path` implies: a tab for `.tsv`, else a comma. */
export function detectDelimiter(path: string): string {
  return extensionOf(path) === 'tsv' ? '\t' : ','
}

export function badRow(position: number, line: number, error: string, raw: string): BadRow {
  return { position, line, error, raw: raw.length > RAW_CHARS ? raw.slice(0, RAW_CHARS) : raw }
}

/** The message of whatever was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function extensionOf(path: string): string {
  return /\.([^./\\]+)$/.exec(path)?.[1]?.toLowerCase() ?? ''
}
