/** `holdfast/client`: a database at the other end of HTTP, for browsers, Node and fetch runtimes. */
import { connectOver } from './client/database.ts'
import type { ConnectOptions, RemoteDatabase } from './client/handles.ts'
import { systemClientEnv } from './client/system-client-env.ts'
import type { TableDefinitions } from './table/schema.ts'

export type {
  ConnectOptions,
  RemoteDatabase,
  RemoteOptions,
  RetryOptions,
} from './client/handles.ts'
export { HoldfastError, isHoldfastError } from './core/holdfast-error.ts'
export type { Applied, ErrorCode, ErrorKind } from './core/holdfast-error.ts'
export type { Key, KeyPart } from './core/key-codec.ts'
export type { Value } from './core/wire.ts'
export type { Transaction } from './table/database.ts'
export type { AnyTableLike, DatabaseLike, TableLike } from './table/database-like.ts'
export type {
  Ack,
  CallOptions,
  Change,
  DatabaseStats,
  Deleted,
  ModifyOptions,
  Page,
  Query,
  ReadLevel,
  ReadOptions,
  RowResult,
  Rows,
  TableStats,
  TransactOptions,
  TransactionTable,
  WatchOptions,
  WriteOptions,
  Written,
} from './table/handles.ts'
export type { TableDefinitions } from './table/schema.ts'

/**
 * Connects to a server (`holdfast start`, or `serve` of `holdfast/server`). Nothing is sent before
 * the first call, and the tables are types alone:
 *
 *   import type { tables } from './tables.ts'
 *   const db = connect<typeof tables>({ url: 'http://127.0.0.1:4653' })
 *
 * @throws HoldfastError `InvalidArgument`
 */
export function connect<T extends TableDefinitions = Record<never, never>>(
  options: ConnectOptions,
): RemoteDatabase<T> {
  const fetch = options?.fetch ?? ((request: Request) => globalThis.fetch(request))
  return connectOver<T>({ env: systemClientEnv, fetch }, options)
}
