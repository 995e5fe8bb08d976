/** What an embedded database and a remote one have alike: code written against it runs over both. */
import type { Key } from '../core/key-codec.ts'
import type { Value } from '../core/value-codec.ts'
import type { Transaction } from './database.ts'
import type { DatabaseStats, StrongTable, TransactOptions } from './handles.ts'
import type { StrongDefinition, TableDefinitions } from './schema.ts'

/** A table's handle, wherever its rows are. */
export type TableLike<In, Row, KeyType, Indexes> = Omit<
  StrongTable<In, Row, KeyType, Indexes>,
  'validated'
>

export type TableLikeOf<D> =
  D extends StrongDefinition<infer In, infer Row, infer KeyType, infer Indexes>
    ? TableLike<In, Row, KeyType, Indexes>
    : never

/** A table whose definition is known only at run time. */
export type AnyTableLike = TableLike<
  Record<string, Value | undefined>,
  Record<string, Value | undefined>,
  Key,
  Record<string, never>
>

export interface DatabaseLikeCalls<T extends TableDefinitions> {
  /** A token for what was acked or seen by now; undefined before a remote one has answered. */
  readonly token: string | undefined
  /** A table by name, declared or not: rows are plain objects. */
  table(name: string): AnyTableLike
  /** @see DatabaseCalls.transact */
  transact<R>(run: (tx: Transaction<T>) => Promise<R> | R, options?: TransactOptions): Promise<R>
  /** Drops a table and its rows. */
  drop(name: string): Promise<void>
  /** Drops an index of a table. */
  dropIndex(table: string, index: string): Promise<void>
  /** At once of an embedded database, by a request of a remote one: await it. */
  stats(): DatabaseStats | Promise<DatabaseStats>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A database with the tables of `T`: what `open` and what `connect` give. */
export type DatabaseLike<T extends TableDefinitions> = DatabaseLikeCalls<T> & {
  readonly [Name in keyof T]: TableLikeOf<T[Name]>
}
