/**
 * The columns of a CSV file: what its header, the caller and a sample say each one holds.
 *
 * A header cell may end in a type: `balance:bigint`, `born:date`, `n:number`, `ok:boolean`,
 * `raw:bytes`, `tags:json`, `name:string`. In order of precedence, a column is
 * - of the kind that the caller gives for its name,
 * - of the kind in its header cell,
 * - `string` when any header cell has a type (so a file of ours is never guessed at), or when
 *   inference is off,
 * - `number` when each cell of the sample that is neither empty nor `\N` is a plain number (see
 *   cell.ts), `boolean` when each is `true` or `false`,
 * - `string`.
 * An unquoted cell that is empty means the row has no such field; an unquoted `\N` means null.
 */
import type { CellParser } from './cell.ts'
import { CELL_PARSERS, parseBoolean, parsePlainNumber } from './cell.ts'
import type { CsvRecord } from './csv-splitter.ts'
import type { Column, ColumnKind } from './format.ts'
import { COLUMN_KINDS, FormatError } from './format.ts'

export const NULL_CELL = '\\N'

/** Records looked at to infer kinds. */
export const SAMPLE_ROWS = 1_000

export interface CsvColumn extends Column {
  readonly parse: CellParser
  /** Its kind comes from the sample: a later cell may well not fit. */
  readonly isInferred: boolean
}

const TYPED = new RegExp(`^(.*):(${COLUMN_KINDS.join('|')})$`, 's')

/** A header cell's name and type. */
function readHeaderCell(cell: string): { name: string; kind: ColumnKind | undefined } {
  const [, name, kind] = TYPED.exec(cell) ?? []
  return { name: name ?? cell, kind: kind as ColumnKind | undefined }
}

/**
 * The header cells of columns to be written. A string column needs no type beside a typed one, nor
 * unless its own name ends in one; a file always has a type, so that nothing in it is guessed at.
 */
export function headerCells(columns: readonly Column[]): string[] {
  const hasTypes = columns.some(({ kind }) => kind !== 'string')
  return columns.map(({ name, kind }, i) => {
    const isBare = kind === 'string' && !TYPED.test(name) && (hasTypes || i > 0)
    return isBare ? name : `${name}:${kind}`
  })
}

/**
 * The columns for a header. `sample` is undefined when inference is off. Throws FormatError for a
 * name that is there twice, and for a type given for a column that is not there. An empty header,
 * that of an empty file, has no columns.
 */
export function csvColumns(
  header: readonly string[],
  types: Readonly<Record<string, ColumnKind>>,
  sample: readonly CsvRecord[] | undefined,
): CsvColumn[] {
  const cells = header.map(readHeaderCell)
  const names = new Set<string>()
  for (const { name } of cells) {
    if (names.has(name)) throw new FormatError(`the header has the column "${name}" twice`)
    names.add(name)
  }
  for (const name of Object.keys(types)) {
    if (header.length > 0 && !names.has(name))
      throw new FormatError(`the file has no column "${name}" to give a type`)
  }
  const isTyped = cells.some(({ kind }) => kind !== undefined)
  return cells.map(({ name, kind }, index) => {
    const given = Object.hasOwn(types, name) ? types[name] : kind
    if (given !== undefined) {
      return { name, kind: given, parse: CELL_PARSERS[given], isInferred: false }
    }
    const inferred = isTyped || sample === undefined ? undefined : inferKind(sample, index)
    if (inferred === 'number')
      return { name, kind: inferred, parse: parsePlainNumber, isInferred: true }
    if (inferred === 'boolean')
      return { name, kind: inferred, parse: parseBoolean, isInferred: true }
    return { name, kind: 'string', parse: CELL_PARSERS.string, isInferred: false }
  })
}

function inferKind(sample: readonly CsvRecord[], index: number): 'number' | 'boolean' | undefined {
  let kind: 'number' | 'boolean' | undefined
  for (const { cells, quoted, error } of sample) {
    const cell = cells[index]
    if (error !== undefined || cell === undefined) continue
    if ((cell === '' || cell === NULL_CELL) && quoted?.[index] !== true) continue
    if (kind !== 'boolean' && parsePlainNumber(cell) !== undefined) kind = 'number'
    else if (kind !== 'number' && parseBoolean(cell) !== undefined) kind = 'boolean'
    else return undefined
  }
  return kind
}
