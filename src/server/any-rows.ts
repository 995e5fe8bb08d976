/** Tables and rows whose types are known at run time alone, as the shell has them. */
import { compareBytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { encodeKey, type Key } from '../core/key-codec.ts'
import type { Value } from '../core/value-codec.ts'
import type { Database } from '../table/database.ts'
import { keyOfRow } from '../shard/definitions.ts'
import type { AnyTable, Query, ReadOptions } from '../table/handles.ts'
import type { LooseQuery } from '../table/strong/query.ts'
import type { StrongTableHandle } from '../table/strong/strong-table.ts'
import type { TableCore } from '../table/strong/table-core.ts'

export type AnyDatabase = Database<Record<never, never>>
export type AnyRow = Readonly<Record<string, Value | undefined>>

/** A query whose types are known at run time alone. */
export type ShellQuery = Omit<LooseQuery, keyof ReadOptions>

export function rowsOf(
  db: AnyDatabase,
  table: string,
  query: ShellQuery,
): ReturnType<AnyTable['query']> {
  return db.table(table).query(query as Query<never, never, never>)
}

/** Names of tables that are the database's own begin so. */
const HIDDEN = '_'

/** Whether a table is the database's own: nothing of it is seen, or written, from outside. */
export function isHidden(table: string): boolean {
  return table.startsWith(HIDDEN)
}

/** The error for a table that is not there, or is not shown; it tells of none that is not. */
export function unknownTable(db: AnyDatabase, table: string): HoldfastError {
  const names = db.stats().tables.map(({ name }) => name)
  const shown = names.filter((name) => !isHidden(name))
  return new HoldfastError(
    'UnknownTable',
    `there is no table ${table}; there are: ${shown.join(', ') || 'none'}`,
    { details: { table, tables: shown } },
  )
}

/** Throws `InvalidSchema` for a table whose definition is its program's. */
export function assertLoose(db: AnyDatabase, table: string): void {
  const known = db.stats().tables.find(({ name }) => name === table)
  if (known?.validated !== true) return
  throw new HoldfastError(
    'InvalidSchema',
    `table ${table} has a schema, which only the program that declares it can change`,
  )
}

/** What only the handle of a database in this process has. */
interface OwnHandle {
  readonly core: TableCore
}

/** The key of a row that is yet to be stored. Throws what storing it would. */
export function keyOf(db: AnyDatabase, table: string, row: AnyRow): Key {
  const { core } = db.table(table) as unknown as OwnHandle
  return keyOfRow(core.definition, core.validate(row))
}

export function storedKeyOf(table: AnyTable, row: AnyRow): Key {
  return keyOfRow((table as unknown as OwnHandle).core.definition, row)
}

export function isSameKey(a: Key, b: Key): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object') return false
  return compareBytes(encodeKey(a), encodeKey(b)) === 0
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

/** As `table.get`, but at once where nothing has to be waited for. */
export function getNow(
  table: AnyTable,
  key: Key,
  options: ReadOptions,
): AnyRow | undefined | Promise<AnyRow | undefined> {
  const { getNow: get } = table as unknown as Pick<StrongTableHandle, 'getNow'>
  return get.call(table, key, options) as ReturnType<typeof getNow>
}
