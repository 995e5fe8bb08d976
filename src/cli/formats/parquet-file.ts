/** A Parquet file's bytes and footer, and what Holdfast itself writes into footers. */
import { open } from 'node:fs/promises'
import type { AsyncBuffer, FileMetaData } from 'hyparquet'
import { parquetMetadataAsync } from 'hyparquet'
import type { ColumnKind } from './format.ts'
import { COLUMN_KINDS, FormatError, reasonOf } from './format.ts'

export interface ParquetFile {
  readonly bytes: AsyncBuffer
  readonly metadata: FileMetaData
  close(): Promise<void>
}

/**
 * What Parquet itself does not say, as JSON under the footer's key `holdfast`: a number from a
 * bigint, and null from missing. Where a column has both, the nulls are `true` in another, boolean
 * column.
 */
export interface HoldfastFooter {
  readonly version: 1
  readonly columns: readonly HoldfastColumn[]
}

export interface HoldfastColumn {
  readonly name: string
  readonly kind: ColumnKind
  /** What Parquet's null means in this column. */
  readonly absent: 'null' | 'missing'
  /** The column that is true where this one is null; `absent` is then `missing`. */
  readonly nulls?: string | undefined
}

export const FOOTER_KEY = 'holdfast'

/** Opens the file and reads its footer. Throws FormatError when it is no Parquet file. */
export async function openParquetFile(path: string): Promise<ParquetFile> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const bytes: AsyncBuffer = {
      byteLength: size,
      async slice(start, end = size) {
        const buffer = new ArrayBuffer(end - start)
        const view = new Uint8Array(buffer)
        for (let at = 0; at < view.length;) {
          const { bytesRead } = await file.read(view, at, view.length - at, start + at)
          if (bytesRead === 0) throw new FormatError('the file ends before its data does')
          at += bytesRead
        }
        return buffer
      },
    }
    const metadata = await readFooter(bytes)
    return { bytes, metadata, close: () => file.close() }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** The footer of a file that Holdfast wrote, or undefined. Throws FormatError for a newer one. */
export function holdfastFooter({ key_value_metadata }: FileMetaData): HoldfastFooter | undefined {
  const text = key_value_metadata?.find(({ key }) => key === FOOTER_KEY)?.value
  if (text === undefined) return undefined
  let footer: unknown
  try {
    footer = JSON.parse(text)
  } catch (error) {
    throw new FormatError(`the footer's ${FOOTER_KEY} entry is not JSON`, undefined, error)
  }
  if (isFooter(footer)) return footer
  throw new FormatError(
    `the footer's ${FOOTER_KEY} entry is of a version that this one cannot read`,
  )
}

async function readFooter(bytes: AsyncBuffer): Promise<FileMetaData> {
  try {
    return await parquetMetadataAsync(bytes)
  } catch (error) {
    const message = `not a whole Parquet file: ${reasonOf(error)}`
    throw new FormatError(message, undefined, error)
  }
}

function isFooter(footer: unknown): footer is HoldfastFooter {
  const { version, columns } = (footer ?? {}) as { version?: unknown; columns?: unknown }
  return version === 1 && Array.isArray(columns) && columns.every(isColumn)
}

function isColumn(column: unknown): boolean {
  const { name, kind, absent, nulls } = (column ?? {}) as Record<keyof HoldfastColumn, unknown>
  return (
    typeof name === 'string' &&
    COLUMN_KINDS.includes(kind as ColumnKind) &&
    (absent === 'null' || absent === 'missing') &&
    (nulls === undefined || typeof nulls === 'string')
  )
}
