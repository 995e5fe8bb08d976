/** Reads the values of one column of a row group, in order. */
import type { DecodedArray, RowGroup, SchemaTree } from 'hyparquet'
import { parquetRead } from 'hyparquet'
import { convert } from 'hyparquet/src/convert.js'
import type { Value } from '../../core/wire.ts'
import type { ColumnKind } from './format.ts'
import { FormatError } from './format.ts'
import type { ParquetFile } from './parquet-file.ts'
import type { ColumnDecoder, Page } from './parquet-pages.ts'
import { ChunkPages, COMPRESSORS } from './parquet-pages.ts'
import { adapt, decimalOf, isDecimal, isSafeColumn, PARSERS } from './parquet-values.ts'

export interface ColumnValues {
  /** One a row; undefined for Parquet's null. */
  readonly values: (Value | undefined)[]
  /** The rows whose value is none of the column's kind. */
  readonly misfits: readonly number[]
}

export interface ColumnReader {
  /** The next `count` values of the row group. */
  read(count: number): Promise<ColumnValues>
  skip(count: number): Promise<void>
}

export interface ColumnPlace {
  readonly file: ParquetFile
  /** The row group, and the row that it starts with. */
  readonly group: RowGroup
  readonly groupStart: number
  /** The column, one of the schema's top level, and the kind it is read as. */
  readonly tree: SchemaTree
  readonly kind: ColumnKind
}

/** A column of plain values is read page by page; a nested one takes its row group at once. */
export function readColumn(place: ColumnPlace): ColumnReader {
  const { element, children } = place.tree
  const isFlat = children.length === 0 && element.repetition_type !== 'REPEATED'
  return isFlat ? new FlatColumn(place) : new NestedColumn(place)
}

class FlatColumn implements ColumnReader {
  readonly #name: string
  readonly #pages: ChunkPages
  readonly #convert: (raw: DecodedArray) => DecodedArray
  readonly #adapt: (raw: unknown) => Value | undefined
  #dictionary: (Value | undefined)[] = []
  #page: Page | undefined
  #values: ArrayLike<unknown> = []
  /** Rows of the page taken, and values of it. */
  #row = 0
  #value = 0

  constructor({ file, group, tree, kind }: ColumnPlace) {
    const { element } = tree
    this.#name = element.name
    const chunk = group.columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === this.#name)
    if (chunk?.meta_data === undefined || element.type === undefined) {
      throw new FormatError(`a row group has no data of column "${this.#name}"`)
    }
    if (chunk.meta_data.num_values !== group.num_rows) {
      throw new FormatError(`column "${this.#name}" has more or fewer values than there are rows`)
    }
    const root = { ...tree, element: { name: 'root' }, children: [tree], path: [] }
    const decoder: ColumnDecoder = {
      pathInSchema: [element.name],
      type: element.type,
      element,
      schemaPath: [root, tree],
      codec: chunk.meta_data.codec,
      parsers: PARSERS,
      compressors: COMPRESSORS,
      utf8: false,
    }
    const isExact = isDecimal(element)
    this.#convert = (raw) => (isExact ? raw : convert(raw, decoder))
    this.#adapt = (raw) => adapt(isExact ? decimalOf(raw, element) : raw, kind, true)
    this.#pages = new ChunkPages(file.bytes, chunk.meta_data, decoder, (values) => {
      this.#dictionary = Array.from(this.#convert(values) as ArrayLike<unknown>, this.#adapt)
    })
  }

  async read(count: number): Promise<ColumnValues> {
    const values: (Value | undefined)[] = []
    const misfits: number[] = []
    while (values.length < count) {
      const page = await this.#current()
      const stop = Math.min(page.rows, this.#row + count - values.length)
      const { levels, isDictionary } = page
      const raw = this.#values
      for (; this.#row < stop; this.#row++) {
        if (levels !== undefined && levels[this.#row] === 0) {
          values.push(undefined)
          continue
        }
        const item = raw[this.#value++]
        const value = isDictionary ? this.#dictionary[item as number] : this.#adapt(item)
        if (value === undefined) misfits.push(values.length)
        values.push(value)
      }
    }
    return { values, misfits }
  }

  async skip(count: number): Promise<void> {
    let left = count
    while (left > 0) {
      if (this.#page === undefined || this.#row === this.#page.rows) {
        left -= await this.#load(left)
        continue
      }
      const stop = Math.min(this.#page.rows, this.#row + left)
      left -= stop - this.#row
      const { levels } = this.#page
      for (; this.#row < stop; this.#row++) {
        if (levels === undefined || levels[this.#row] !== 0) this.#value++
      }
    }
  }

  /** The page with the next row. */
  async #current(): Promise<Page> {
    while (this.#page === undefined || this.#row === this.#page.rows) await this.#load(0)
    return this.#page
  }

  /** Takes the next page; returns how many rows it skipped instead. */
  async #load(skippable: number): Promise<number> {
    const page = await this.#pages.next(skippable)
    if (page === undefined) {
      throw new FormatError(`column "${this.#name}" has fewer values than its row group has rows`)
    }
    if (typeof page === 'number') return page
    this.#page = page
    this.#row = 0
    this.#value = 0
    this.#values = page.isDictionary ? page.values : this.#convert(page.values)
    return 0
  }
}

class NestedColumn implements ColumnReader {
  readonly #place: ColumnPlace
  readonly #isSafe: boolean
  #rows: readonly (readonly unknown[])[] | undefined
  #at = 0

  constructor(place: ColumnPlace) {
    this.#place = place
    this.#isSafe = isSafeColumn(place.tree, place.file.metadata)
  }

  async read(count: number): Promise<ColumnValues> {
    this.#rows ??= await this.#load()
    const rows = this.#rows.slice(this.#at, this.#at + count)
    this.#at += count
    const misfits: number[] = []
    const values = rows.map(([raw], i) => {
      if (raw === null || raw === undefined) return undefined
      const value = adapt(raw, this.#place.kind, this.#isSafe)
      if (value === undefined) misfits.push(i)
      return value
    })
    return { values, misfits }
  }

  skip(count: number): Promise<void> {
    this.#at += count
    return Promise.resolve()
  }

  async #load(): Promise<readonly (readonly unknown[])[]> {
    const { file, group, groupStart, tree } = this.#place
    let rows: readonly (readonly unknown[])[] = []
    await parquetRead({
      file: file.bytes,
      metadata: file.metadata,
      columns: [tree.element.name],
      rowStart: groupStart,
      rowEnd: groupStart + Number(group.num_rows),
      compressors: COMPRESSORS,
      parsers: PARSERS,
      utf8: false,
      onComplete: (found) => {
        rows = found
      },
    })
    return rows
  }
}
