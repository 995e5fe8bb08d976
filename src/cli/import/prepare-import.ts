/** From what was asked to an import that can run: the file opened, the table there. */
import { resolve } from 'node:path'
import { HoldfastError } from '../../core/errors.ts'
import { FormatError, type Format, type RowReader } from '../formats/format.ts'
import { openReader } from '../formats/open.ts'
import type { Session } from '../session.ts'

export async function openImportFile(
  path: string,
  options: { readonly format?: Format | undefined; readonly delimiter?: string | undefined },
): Promise<RowReader> {
  try {
    return await openReader(path, options)
  } catch (error) {
    throw fileError(path, error)
  }
}

/** A file's own error as a coded one; any other as it is. */
export function fileError(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  const isOfFile = error instanceof FormatError || typeof code === 'string'
  if (!isOfFile || error instanceof HoldfastError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new HoldfastError('FileFormat', `${path}: ${reason}`, { cause: error, details: { path } })
}

export interface TableRequest {
  readonly table: string
  readonly create: boolean
  /** The key's fields, in order; none given: the table has to be there. */
  readonly key: readonly string[]
  readonly indexes: Readonly<Record<string, readonly string[]>>
}

/** Makes the table when that was asked for, else sees that it is there and has the key. */
export async function prepareTable(
  session: Session,
  { table, create, key, indexes }: TableRequest,
): Promise<void> {
  if (create) {
    await session.call('define', { table, key, indexes })
    return
  }
  const { tables } = await session.call('stats', {})
  const known = tables.find(({ name }) => name === table)
  if (known === undefined) {
    throw new HoldfastError('UnknownTable', `there is no table ${table}`, {
      details: {
        table,
        next: `holdfast import ${table} FILE --create --key FIELD   (or --row-number FIELD)`,
      },
    })
  }
  if (key.length > 0 && key.join() !== known.key.join()) {
    throw new HoldfastError(
      'InvalidArgument',
      `the key of table ${table} is ${known.key.join(', ')}, not ${key.join(', ')}`,
    )
  }
}

export function absolute(path: string): string {
  return resolve(path)
}
