/** Chooses the reader and the writer for a format. */
import type { Writable } from 'node:stream'
import { unreachable } from '../../core/assert.ts'
import type { CsvReadOptions } from './csv-reader.ts'
import { openCsv } from './csv-reader.ts'
import { csvForm } from './csv-writer.ts'
import type { Format, PlannedColumn, RowReader, RowWriter } from './format.ts'
import { detectDelimiter, detectFormat, FormatError } from './format.ts'
import { openJson } from './json-reader.ts'
import { JSON_FORM } from './json-writer.ts'
import { openNdjson } from './ndjson-reader.ts'
import { NDJSON_FORM } from './ndjson-writer.ts'
import type { ParquetReadOptions } from './parquet-reader.ts'
import { openParquet } from './parquet-reader.ts'
import { ParquetRowWriter } from './parquet-writer.ts'
import type { Sink } from './sink.ts'
import { openSink } from './sink.ts'
import { TextWriter } from './text-writer.ts'

/** Those that a format has no use for are ignored. */
export interface ReadOptions extends CsvReadOptions, ParquetReadOptions {
  /** Default: what the extension says. */
  readonly format?: Format | undefined
}

export interface WriteOptions {
  /** Default: what the extension says; required for a stream. */
  readonly format?: Format | undefined
  /** CSV and Parquet need them: ColumnPlan makes them in a first pass over the rows. */
  readonly columns?: readonly PlannedColumn[] | undefined
  /** CSV: one character between cells. Default a comma, for `.tsv` a tab. */
  readonly delimiter?: string | undefined
}

/**
 * Opens the file at `path` for reading. Throws FormatError for an extension that says nothing when
 * no format is given, and for a file whose header or footer cannot be read.
 */
export function openReader(path: string, options: ReadOptions = {}): Promise<RowReader> {
  const format = formatOf(path, options.format)
  switch (format) {
    case 'csv':
      return openCsv(path, { ...options, delimiter: options.delimiter ?? detectDelimiter(path) })
    case 'ndjson':
      return openNdjson(path, options)
    case 'json':
      return openJson(path, options)
    case 'parquet':
      return openParquet(path, options)
    default:
      return unreachable(format)
  }
}

/**
 * Opens a writer to a path, where the file appears when `close` resolves and replaces any other, or
 * to a stream, which is not ended. Throws FormatError as `openReader` does, for columns that are
 * needed and not given, and for a field name that the format cannot hold.
 */
export async function openWriter(
  target: string | Writable,
  options: WriteOptions = {},
): Promise<RowWriter> {
  const format = formatOf(typeof target === 'string' ? target : '', options.format)
  const { columns } = options
  const needsColumns = format === 'csv' || format === 'parquet'
  if (needsColumns && columns === undefined) {
    throw new FormatError(`to write ${format}, the columns are needed`)
  }
  const sink = await openSink(target)
  try {
    return writerOf(format, sink, target, { ...options, columns: columns ?? [] })
  } catch (error) {
    await sink.abort()
    throw error
  }
}

function writerOf(
  format: Format,
  sink: Sink,
  target: string | Writable,
  { columns, delimiter }: WriteOptions & { readonly columns: readonly PlannedColumn[] },
): RowWriter {
  switch (format) {
    case 'csv': {
      const implied = typeof target === 'string' ? detectDelimiter(target) : undefined
      return new TextWriter(sink, csvForm(columns, { delimiter: delimiter ?? implied }))
    }
    case 'ndjson':
      return new TextWriter(sink, NDJSON_FORM)
    case 'json':
      return new TextWriter(sink, JSON_FORM)
    case 'parquet':
      return new ParquetRowWriter(sink, columns)
    default:
      return unreachable(format)
  }
}

function formatOf(path: string, given: Format | undefined): Format {
  const format = given ?? detectFormat(path)
  if (format !== undefined) return format
  const known = '.csv, .tsv, .ndjson, .jsonl, .json or .parquet'
  throw new FormatError(`the name "${path}" does not end in ${known}; name the format`)
}
