/** Tables and rows whose types are known at run time alone, as the shell has them. */
import type { Key } from '../core/key-codec.ts'
import type { Value } from '../core/value-codec.ts'
import type { Database } from '../table/database.ts'
import type { AnyTable, Query } from '../table/handles.ts'

export type AnyDatabase = Database<Record<never, never>>
export type AnyRow = Readonly<Record<string, Value | undefined>>

/** A query whose types are known at run time alone. */
export interface ShellQuery {
  readonly index?: string | undefined
  readonly eq?: Key | undefined
  readonly gt?: Key | undefined
  readonly gte?: Key | undefined
  readonly lt?: Key | undefined
  readonly lte?: Key | undefined
  readonly prefix?: Key | undefined
  readonly reverse?: boolean | undefined
  readonly limit?: number | undefined
}

export function rowsOf(
  db: AnyDatabase,
  table: string,
  query: ShellQuery,
): ReturnType<AnyTable['query']> {
  return db.table(table).query(query as Query<never, never, never>)
}

/** What a row takes, to the order of magnitude. */
export function roughBytes(value: Value | undefined): number {
  if (typeof value === 'string') return 8 + value.length
  if (typeof value !== 'object' || value === null || value instanceof Date) return 8
  if (value instanceof Uint8Array) return 8 + value.length
  let bytes = 8
  for (const [name, part] of Object.entries(value)) bytes += name.length + roughBytes(part)
  return bytes
}
