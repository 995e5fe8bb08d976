/**
 * Writes CSV that csv-reader.ts gives back as the same rows: a header with types, LF line ends,
 * null as an unquoted `\N`, a missing field as an empty cell, and "" for the empty string.
 */
import type { Value } from '../../core/wire.ts'
import { WireError } from '../../core/wire.ts'
import { formatCell } from './cell.ts'
import { countFields, isWellFormed } from './column-plan.ts'
import { headerCells, NULL_CELL } from './csv-columns.ts'
import type { PlannedColumn, Row } from './format.ts'
import { FormatError } from './format.ts'
import type { TextForm } from './text-writer.ts'

export interface CsvWriteOptions {
  /** One character between cells. Default a comma. */
  readonly delimiter?: string | undefined
}

/**
 * How rows with these columns become CSV. Throws FormatError for a delimiter that cannot be one;
 * its `row` throws it for a row with another field or kind of value than the columns have.
 */
export function csvForm(columns: readonly PlannedColumn[], options: CsvWriteOptions): TextForm {
  const { delimiter = ',' } = options
  if (delimiter.length !== 1 || /["\r\n]/.test(delimiter)) {
    throw new FormatError(`a delimiter is one character, and not ${JSON.stringify(delimiter)}`)
  }
  const unfit = columns.find(({ name }) => !isWellFormed(name))
  if (unfit !== undefined) {
    throw new FormatError(`the field name ${JSON.stringify(unfit.name)} is not valid Unicode text`)
  }
  const special = new RegExp(`["\\r\\n\\ufeff${delimiter.replace(/[\]\\^-]/, '\\$&')}]`)
  const header = headerCells(columns).map((cell) => quoteCell(cell, special))
  return {
    head: columns.length === 0 ? '' : `${header.join(delimiter)}\n`,
    row: (row, index) => `${cellsOf(row, index, columns, special).join(delimiter)}\n`,
    tail: '',
  }
}

function cellsOf(
  row: Row,
  index: number,
  columns: readonly PlannedColumn[],
  special: RegExp,
): string[] {
  let found = 0
  const cells = columns.map((column) => {
    const value = Object.hasOwn(row, column.name) ? row[column.name] : undefined
    if (value === undefined) return ''
    found++
    return value === null ? NULL_CELL : quoteCell(textOf(value, column, index), special)
  })
  if (countFields(row) !== found) {
    throw new FormatError(`row ${index + 1} has a field that the columns of the file do not have`)
  }
  if (columns.length <= 1 && found === 0) {
    throw new FormatError(`row ${index + 1} has no field: CSV with one column cannot say so`)
  }
  return cells
}

function textOf(value: Value, { name, kind }: PlannedColumn, index: number): string {
  let text: string | undefined
  try {
    text = formatCell(kind, value)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new FormatError(`row ${index + 1}, field "${name}": ${error.message}`, undefined, error)
  }
  if (text !== undefined && isWellFormed(text)) return text
  const reason = text === undefined ? `not a ${kind}` : 'not valid Unicode text'
  throw new FormatError(`row ${index + 1}: field "${name}" is ${reason}`)
}

/** Quotes also what would read as missing or as null. */
function quoteCell(text: string, special: RegExp): string {
  if (text !== '' && text !== NULL_CELL && !special.test(text)) return text
  return `"${text.replaceAll('"', '""')}"`
}
