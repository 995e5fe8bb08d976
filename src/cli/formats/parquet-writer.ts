/**
 * Writes Parquet that parquet-reader.ts gives back as the same rows, and that other tools read:
 *
 *   string   BYTE_ARRAY, STRING        boolean   BOOLEAN
 *   number   DOUBLE                    date      INT64, TIMESTAMP in milliseconds, UTC
 *   bigint   INT64                     bytes     BYTE_ARRAY
 *   json     BYTE_ARRAY, JSON: the wire form; null in it is the JSON `null`
 *
 * All columns are optional. What these types cannot say is in the footer (parquet-file.ts), and in
 * a column `<name>:null` beside each one that has both nulls and missing fields.
 */
import { Buffer } from 'node:buffer'
import type { SchemaElement } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { unreachable } from '../../core/assert.ts'
import type { Value } from '../../core/wire.ts'
import { stringifyWire } from '../../core/wire.ts'
import { countFields, isWellFormed } from './column-plan.ts'
import type { ColumnKind, PlannedColumn, Row, RowWriter, WriteSummary } from './format.ts'
import { FormatError, reasonOf } from './format.ts'
import type { HoldfastColumn, HoldfastFooter } from './parquet-file.ts'
import { FOOTER_KEY } from './parquet-file.ts'
import type { Sink } from './sink.ts'

/** A row group is written at either; both are held in memory some three times over. */
const GROUP_ROWS = 50_000
const GROUP_BYTES = 8 * 1024 * 1024

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n

/** What a cell of the file's column is written from; undefined is Parquet's null. */
type Cell = string | number | bigint | boolean | Uint8Array | undefined

interface WriteColumn extends HoldfastColumn {
  cells: Cell[]
  /** The cells of the column that says where this one is null. */
  nullCells: Cell[]
}

export class ParquetRowWriter implements RowWriter {
  readonly #sink: Sink
  readonly #columns: readonly WriteColumn[]
  readonly #buffer = new ByteWriter(GROUP_BYTES)
  readonly #writer: ParquetWriter
  #rows = 0
  #groupRows = 0
  #groupBytes = 0

  /** Throws FormatError for a field name that is no Unicode text, or starts with U+FEFF. */
  constructor(sink: Sink, columns: readonly PlannedColumn[]) {
    this.#sink = sink
    this.#columns = writeColumns(columns)
    const footer: HoldfastFooter = {
      version: 1,
      columns: this.#columns.map(({ name, kind, absent, nulls }) => ({
        name,
        kind,
        absent,
        nulls,
      })),
    }
    this.#writer = new ParquetWriter({
      writer: this.#buffer,
      schema: schemaOf(this.#columns),
      kvMetadata: [{ key: FOOTER_KEY, value: JSON.stringify(footer) }],
      createdBy: 'holdfast',
    })
  }

  async write(rows: readonly Row[]): Promise<void> {
    for (const row of rows) {
      this.#add(row)
      this.#rows++
      this.#groupRows++
      const isFull = this.#groupRows === GROUP_ROWS || this.#groupBytes >= GROUP_BYTES
      if (isFull) await this.#writeGroup()
    }
  }

  async close(): Promise<WriteSummary> {
    await this.#writeGroup()
    await this.#writer.finish()
    await this.#flush()
    await this.#sink.commit()
    return { rows: this.#rows, bytes: this.#sink.bytes }
  }

  abort(): Promise<void> {
    return this.#sink.abort()
  }

  #add(row: Row): void {
    let found = 0
    for (const column of this.#columns) {
      const value = Object.hasOwn(row, column.name) ? row[column.name] : undefined
      if (value !== undefined) found++
      const isNull = value === null && column.kind !== 'json'
      const cell = value === undefined || isNull ? undefined : this.#cell(column, value)
      column.cells.push(cell)
      if (column.nulls !== undefined) column.nullCells.push(isNull ? true : undefined)
      this.#groupBytes += sizeOf(cell)
    }
    const number = this.#rows + 1
    if (countFields(row) !== found) {
      throw new FormatError(`row ${number} has a field that the columns of the file do not have`)
    }
    if (this.#columns.length === 0) {
      throw new FormatError(`row ${number} has no field: Parquet without columns has no rows`)
    }
  }

  #cell({ name, kind }: WriteColumn, value: Value): Cell {
    let cell: Cell
    let reason = `not a ${kind} that Parquet holds`
    try {
      cell = cellOf(kind, value)
    } catch (error) {
      reason = reasonOf(error)
    }
    if (cell !== undefined) return cell
    throw new FormatError(`row ${this.#rows + 1}: field "${name}": ${reason}`)
  }

  async #writeGroup(): Promise<void> {
    if (this.#groupRows === 0) return
    const columnData = this.#columns.flatMap(({ name, nulls, cells, nullCells }) => {
      const own = { name, data: cells }
      return nulls === undefined ? [own] : [own, { name: nulls, data: nullCells }]
    })
    await this.#writer.write({ columnData, rowGroupSize: this.#groupRows })
    for (const column of this.#columns) {
      column.cells = []
      column.nullCells = []
    }
    this.#groupRows = 0
    this.#groupBytes = 0
    await this.#flush()
  }

  /** Hands the encoded bytes on; the writer's `offset` goes on counting. */
  async #flush(): Promise<void> {
    await this.#sink.write(this.#buffer.getBytes())
    this.#buffer.index = 0
  }
}

function writeColumns(columns: readonly PlannedColumn[]): WriteColumn[] {
  const names = new Set(columns.map(({ name }) => name))
  return columns.map(({ name, kind, hasNull, hasMissing }) => {
    // The reading library drops a byte order mark at the start of a name.
    if (!isWellFormed(name) || name.startsWith('\ufeff')) {
      throw new FormatError(`Parquet cannot hold the field name ${JSON.stringify(name)}`)
    }
    const base = { name, kind, cells: [], nullCells: [] }
    if (kind === 'json' || !hasNull) return { ...base, absent: 'missing' }
    if (!hasMissing) return { ...base, absent: 'null' }
    let nulls = `${name}:null`
    while (names.has(nulls)) nulls += ':null'
    names.add(nulls)
    return { ...base, absent: 'missing', nulls }
  })
}

function schemaOf(columns: readonly WriteColumn[]): SchemaElement[] {
  const elements = columns.flatMap(({ name, kind, nulls }): SchemaElement[] => {
    const own: SchemaElement = { name, repetition_type: 'OPTIONAL', ...TYPES[kind] }
    if (nulls === undefined) return [own]
    return [own, { name: nulls, repetition_type: 'OPTIONAL', ...TYPES.boolean }]
  })
  return [{ name: 'root', num_children: elements.length }, ...elements]
}

/** JSON has its logical type alone: with the older annotation the library would encode it itself. */
const TYPES: Readonly<Record<ColumnKind, Omit<SchemaElement, 'name'>>> = {
  string: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  number: { type: 'DOUBLE' },
  bigint: { type: 'INT64' },
  boolean: { type: 'BOOLEAN' },
  date: {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MILLIS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' },
  },
  bytes: { type: 'BYTE_ARRAY' },
  json: { type: 'BYTE_ARRAY', logical_type: { type: 'JSON' } },
}

/** Undefined when the value is none of its kind, or such that the column cannot hold it. */
function cellOf(kind: ColumnKind, value: Value): Cell {
  switch (kind) {
    case 'string':
      return typeof value === 'string' && isWellFormed(value) ? value : undefined
    case 'number':
      if (typeof value !== 'number' || !Number.isFinite(value)) return undefined
      return value === 0 ? 0 : value
    case 'bigint':
      if (typeof value !== 'bigint') return undefined
      return value >= INT64_MIN && value <= INT64_MAX ? value : undefined
    case 'boolean':
      return typeof value === 'boolean' ? value : undefined
    case 'date':
      if (!(value instanceof Date) || Number.isNaN(value.getTime())) return undefined
      return BigInt(value.getTime())
    case 'bytes':
      return value instanceof Uint8Array ? value : undefined
    case 'json':
      return Buffer.from(stringifyWire(value), 'utf8')
    default:
      return unreachable(kind)
  }
}

function sizeOf(cell: Cell): number {
  if (typeof cell === 'string' || cell instanceof Uint8Array) return 16 + cell.length
  return 8
}
