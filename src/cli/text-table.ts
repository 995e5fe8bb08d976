/** Rows for people: aligned columns, numbers to the right, cut to the terminal's width. */
import type { Value } from '../core/value-codec.ts'
import { stringifyWire } from '../core/wire.ts'

type Cells = Readonly<Record<string, Value | undefined>>

const CELL_CHARS = 60
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
      return stringifyWire(value)
  }
}

/** The table's lines, the header first. Columns are `fields`, or those of the rows as they come. */
export function tableLines(
  rows: readonly Cells[],
  options: { readonly fields?: readonly string[] | undefined; readonly width?: number | undefined },
): string[] {
  const fields = options.fields ?? [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const columns = fields.map((field) => {
    const cells = rows.map((row) => cut(showValue(row[field]), CELL_CHARS))
    const name = cut(printable(field), CELL_CHARS)
    const isNumeric = rows.some((row) => row[field] !== undefined) && rows.every(hasNumber(field))
    return { cells: [name, ...cells], isNumeric, width: Math.max(...[name, ...cells].map(length)) }
  })
  return Array.from({ length: rows.length + 1 }, (_, i) => {
    const line = columns
      .map(({ cells, isNumeric, width }) => {
        const cell = cells[i] ?? ''
        const space = ' '.repeat(width - length(cell))
        return isNumeric ? space + cell : cell + space
      })
      .join(GAP)
      .trimEnd()
    return options.width === undefined ? line : cut(line, options.width)
  })
}

/** Control characters would move the cursor, or worse. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, (char) =>
    JSON.stringify(char).slice(1, -1),
  )
}

function hasNumber(field: string): (row: Cells) => boolean {
  return (row) => {
    const value = row[field]
    return value === undefined || typeof value === 'number' || typeof value === 'bigint'
  }
}

function length(text: string): number {
  return [...text].length
}

function cut(text: string, width: number): string {
  if (text.length <= width) return text
  const chars = [...text]
  return chars.length <= width ? text : `${chars.slice(0, width - 1).join('')}…`
}
