/**
 * Reads Parquet, a batch of rows at a time; parquet-values.ts says what values become. Parquet's
 * null is read as null, or as a missing field where the caller asks for it or our own footer says so.
 */
import type { SchemaTree } from 'hyparquet'
import { parquetSchema } from 'hyparquet'
import { must } from '../../core/assert.ts'
import { setOwn } from '../../core/wire.ts'
import type { ColumnKind, ReadBatch, ReadRecord, Row, RowReader } from './format.ts'
import { BATCH_ROWS, badRow, FormatError, reasonOf } from './format.ts'
import type { ColumnReader, ColumnValues } from './parquet-column.ts'
import { readColumn } from './parquet-column.ts'
import type { HoldfastColumn, ParquetFile } from './parquet-file.ts'
import { holdfastFooter, openParquetFile } from './parquet-file.ts'
import { kindOfColumn } from './parquet-values.ts'

export interface ParquetReadOptions {
  /** Kinds by column name, above those that the columns' types imply. */
  readonly types?: Readonly<Record<string, ColumnKind>> | undefined
  /** What Parquet's null becomes in a file that is not Holdfast's own. Default `null`. */
  readonly nulls?: 'null' | 'missing' | undefined
}

/** A column of the rows, and the columns of the file it is read from. */
interface PlannedRead extends HoldfastColumn {
  readonly tree: SchemaTree
  readonly nullsTree: SchemaTree | undefined
}

/**
 * Opens the Parquet file at `path`: reads its footer. Throws FormatError when it is no Parquet
 * file, has two columns of one name, or has no column that `types` names.
 */
export async function openParquet(
  path: string,
  options: ParquetReadOptions = {},
): Promise<RowReader> {
  const file = await openParquetFile(path)
  await file.close()
  const plan = planRead(file, options)
  return {
    format: 'parquet',
    bytesTotal: file.bytes.byteLength,
    rowsTotal: Number(file.metadata.num_rows),
    columns: plan.map(({ name, kind }) => ({ name, kind })),
    rows: (from = 0) => readRows(path, plan, from),
  }
}

async function* readRows(
  path: string,
  plan: readonly PlannedRead[],
  from: number,
): AsyncGenerator<ReadBatch> {
  const file = await openParquetFile(path)
  try {
    const total = Math.max(1, Number(file.metadata.num_rows))
    let groupStart = 0
    for (const group of file.metadata.row_groups) {
      const groupRows = Number(group.num_rows)
      const skip = Math.max(0, Math.min(groupRows, from - groupStart))
      if (skip < groupRows) {
        const columns = plan.map(({ tree, nullsTree, kind }) => ({
          values: readColumn({ file, group, groupStart, tree, kind }),
          nulls:
            nullsTree && readColumn({ file, group, groupStart, tree: nullsTree, kind: 'boolean' }),
        }))
        await skipRows(columns, skip)
        for (let at = skip; at < groupRows; at += BATCH_ROWS) {
          const position = groupStart + at
          const count = Math.min(BATCH_ROWS, groupRows - at)
          const records = await readBatch(plan, columns, position, count)
          const share = (position + count) / total
          yield { records, bytesRead: Math.floor(file.bytes.byteLength * share) }
        }
      }
      groupStart += groupRows
    }
  } catch (error) {
    throw error instanceof FormatError ? error : unreadable(error)
  } finally {
    await file.close()
  }
}

interface OpenColumn {
  readonly values: ColumnReader
  readonly nulls: ColumnReader | undefined
}

async function skipRows(columns: readonly OpenColumn[], count: number): Promise<void> {
  if (count === 0) return
  for (const { values, nulls } of columns) {
    await values.skip(count)
    await nulls?.skip(count)
  }
}

async function readBatch(
  plan: readonly PlannedRead[],
  columns: readonly OpenColumn[],
  position: number,
  count: number,
): Promise<ReadRecord[]> {
  const rows: Row[] = Array.from({ length: count }, () => ({}))
  const errors = new Map<number, string>()
  for (let i = 0; i < plan.length; i++) {
    const column = must(plan[i], 'a planned column is there')
    const open = must(columns[i], 'each planned column is open')
    const found = await open.values.read(count)
    for (const row of found.misfits) {
      errors.set(row, `column "${column.name}" holds no valid ${column.kind}`)
    }
    fill(rows, column, found)
    if (open.nulls !== undefined) fillNulls(rows, column.name, await open.nulls.read(count))
  }
  return rows.map((row, i) => {
    const error = errors.get(i)
    const at = position + i
    return error === undefined ? { position: at, line: at + 1, row } : badRow(at, at + 1, error, '')
  })
}

function fill(rows: Row[], { name, absent }: PlannedRead, { values }: ColumnValues): void {
  const instead = absent === 'null' ? null : undefined
  for (let i = 0; i < rows.length; i++) {
    const found = values[i]
    const value = found === undefined ? instead : found
    const row = rows[i]
    if (value === undefined || row === undefined) continue
    if (name === '__proto__') setOwn(row, name, value)
    else row[name] = value
  }
}

function fillNulls(rows: Row[], name: string, { values }: ColumnValues): void {
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]
    if (values[i] === true && row !== undefined) setOwn(row, name, null)
  }
}

function planRead(
  { metadata }: ParquetFile,
  { types = {}, nulls = 'null' }: ParquetReadOptions,
): PlannedRead[] {
  const trees = new Map<string, SchemaTree>()
  for (const tree of parquetSchema(metadata).children) {
    const { name } = tree.element
    if (trees.has(name)) throw new FormatError(`the file has the column "${name}" twice`)
    trees.set(name, tree)
  }
  const columns: readonly HoldfastColumn[] =
    holdfastFooter(metadata)?.columns ??
    Array.from(trees, ([name, tree]) => ({
      name,
      kind: kindOfColumn(tree, metadata),
      absent: nulls,
    }))
  for (const name of Object.keys(types)) {
    const isThere = columns.some((column) => column.name === name)
    if (!isThere) throw new FormatError(`the file has no column "${name}" to give a type`)
  }
  return columns.map((column) => {
    const given = Object.hasOwn(types, column.name) ? types[column.name] : undefined
    return {
      ...column,
      kind: given ?? column.kind,
      tree: treeOf(trees, column.name),
      nullsTree: column.nulls === undefined ? undefined : treeOf(trees, column.nulls),
    }
  })
}

function treeOf(trees: ReadonlyMap<string, SchemaTree>, name: string): SchemaTree {
  const tree = trees.get(name)
  if (tree !== undefined) return tree
  throw new FormatError(`the footer names a column "${name}" that the file does not have`)
}

function unreadable(error: unknown): FormatError {
  return new FormatError(`the file cannot be read: ${reasonOf(error)}`, undefined, error)
}
