/** Rows for people: aligned columns, numbers to the right, cut to the terminal's width. */
import type { Value } from '../core/value-codec.ts'
import { stringifyWire } from '../core/wire.ts'
import { columnsIn, cutTo, printable } from './printable.ts'
import type { Shell } from './shell.ts'

type Cells = Readonly<Record<string, Value | undefined>>

const CELL_COLUMNS = 60
const GAP = '  '

/** A value as people read it. */
export function showValue(value: Value | undefined): string {
  switch (typeof value) {
    case 'undefined':
      return ''
    case 'string':
      return printable(value)
    case 'number':
    case 'boolean':
      return String(value)
    case 'bigint':
      return `${value}n`
    default:
      if (value instanceof Date) return value.toISOString()
      if (value instanceof Uint8Array) return `0x${Buffer.from(value).toString('hex')}`
      return printable(stringifyWire(value))
  }
}

export interface Column {
  readonly field: string
  /** Of its widest cell. */
  readonly width: number
  readonly isNumeric: boolean
}

/** Columns that fit the rows. They are `fields`, or those of the rows as they come. */
export function columnsOf(rows: readonly Cells[], given?: readonly string[]): readonly Column[] {
  const fields = given ?? [...new Set(rows.flatMap((row) => Object.keys(row)))]
  return fields.map((field) => {
    const isNumeric = rows.some((row) => row[field] !== undefined) && rows.every(hasNumber(field))
    let width = columnsIn(printable(field))
    for (const row of rows) width = Math.max(width, columnsIn(showValue(row[field])))
    return { field, isNumeric, width: Math.min(width, CELL_COLUMNS) }
  })
}

/** One line of the table; `width` is the terminal's. */
export function rowLine(row: Cells, columns: readonly Column[], width?: number): string {
  return lineOf((field) => showValue(row[field]), columns, width)
}

export function headerLine(columns: readonly Column[], width?: number): string {
  return lineOf(printable, columns, width)
}

/** The table's lines, the header first. */
export function tableLines(
  rows: readonly Cells[],
  options: { readonly fields?: readonly string[] | undefined; readonly width?: number | undefined },
): string[] {
  const columns = columnsOf(rows, options.fields)
  return [
    headerLine(columns, options.width),
    ...rows.map((row) => rowLine(row, columns, options.width)),
  ]
}

function lineOf(
  cellOf: (field: string) => string,
  columns: readonly Column[],
  width: number | undefined,
): string {
  const line = columns
    .map(({ field, isNumeric, width }) => {
      const cell = cutTo(cellOf(field), CELL_COLUMNS)
      const space = ' '.repeat(Math.max(0, width - columnsIn(cell)))
      return isNumeric ? space + cell : cell + space
    })
    .join(GAP)
    .trimEnd()
  return width === undefined ? line : cutTo(line, width)
}

/** Prints rows to people: the header in bold, fitted to the terminal's width. */
export async function printTable(
  shell: Shell,
  rows: readonly Cells[],
  fields?: readonly string[],
): Promise<void> {
  if (rows.length === 0) return
  const [header = '', ...lines] = tableLines(rows, { fields, width: shell.columns })
  await shell.out(shell.paint.bold(header))
  for (const line of lines) await shell.out(line)
}

function hasNumber(field: string): (row: Cells) => boolean {
  return (row) => {
    const value = row[field]
    return value === undefined || typeof value === 'number' || typeof value === 'bigint'
  }
}
