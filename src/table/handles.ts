/** The handles that users hold: what a table, a transaction and a query can do, and their types. */
import type { ErrorCode } from '../core/errors.ts'
import type { Key } from '../core/key-codec.ts'
import type { Value } from '../core/value-codec.ts'
import type { Position } from '../log/log.ts'
import type { Durability } from '../shard/durability.ts'

export type { Durability }

/** Says that a write is in the database, where in its log, and how durable it is. */
export interface Ack {
  readonly position: Position
  readonly durability: Durability
  /** For `after` of later reads and feeds: they then see this write. */
  readonly token: string
}

export interface Written<Row> extends Ack {
  /** The row as it is stored. */
  readonly row: Row
}

export interface Deleted extends Ack {
  /** Whether there was a row. */
  readonly existed: boolean
}

export interface CallOptions {
  /** Milliseconds until the call gives up. Default 15,000. */
  readonly deadlineMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface WriteOptions extends CallOptions {
  /**
   * Makes the call exactly once however often it is made: the same key with the same request gives
   * the first outcome again, with another request `IdempotencyMismatch`. Kept for at least 24 hours.
   */
  readonly idempotencyKey?: string | undefined
}

/**
 * How fresh a read is. `linearizable` (default) sees every write acked before it began. Embedded,
 * all of them do, at the same price.
 */
export type ReadLevel = 'linearizable' | 'session' | 'local' | { readonly maxStalenessMs: number }

export interface ReadOptions extends CallOptions {
  readonly level?: ReadLevel | undefined
  /** A token of this database: the read sees at least what it stands for. */
  readonly after?: string | undefined
}

/** A result of one row of a bulk call; the others are not affected. */
export type RowResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: Error }

/** Bounds on a key or on an index's value. Give `eq`, or `prefix`, or any of the others. */
export interface Bounds<T> {
  readonly eq?: T
  readonly gt?: T
  readonly gte?: T
  readonly lt?: T
  readonly lte?: T
  /** The leading parts of a tuple, or the beginning of a string. */
  readonly prefix?: T extends readonly unknown[] ? Leading<T> : T extends string ? string : never
}

type Leading<T extends readonly unknown[]> = T extends readonly [...infer Head, unknown]
  ? Head extends readonly []
    ? never
    : Head | Leading<Head>
  : readonly unknown[]

export interface Paging extends ReadOptions {
  /** From the end to the start. Default false. */
  readonly reverse?: boolean
  /** Rows at the most. */
  readonly limit?: number
}

type IndexValue<Row, Spec> = Spec extends { readonly unique: infer Fields }
  ? FieldsValue<Row, Fields>
  : FieldsValue<Row, Spec>

type FieldsValue<Row, Fields> = Fields extends readonly (keyof Row)[]
  ? {
      readonly [P in keyof Fields]: Fields[P] extends keyof Row
        ? NonNullable<Row[Fields[P]]>
        : never
    }
  : Fields extends keyof Row
    ? NonNullable<Row[Fields]>
    : never

/** A query over the key, or over one index. */
export type Query<Row, KeyType, Indexes> =
  | (Bounds<KeyType> & Paging & { readonly index?: undefined })
  | {
      [Name in keyof Indexes & string]: Bounds<IndexValue<Row, Indexes[Name]>> &
        Paging & { readonly index: Name }
    }[keyof Indexes & string]

export interface Page<Row> {
  readonly rows: Row[]
  /** Goes on after these rows on the same snapshot; undefined when there are no more. */
  readonly cursor: string | undefined
}

/**
 * Rows in order, all as of one moment. Iterate it, or take it whole with `toArray`. The snapshot is
 * held while it is iterated, for five minutes at the most.
 */
export interface Rows<Row> extends AsyncIterable<Row> {
  toArray(): Promise<Row[]>
  /** The first row, or undefined. */
  first(): Promise<Row | undefined>
  /**
   * `limit` rows and a cursor to go on with, on one snapshot, kept for 30 seconds between pages.
   * @throws HoldfastError `SnapshotExpired`, `InvalidCursor`
   */
  page(options: {
    readonly limit: number
    readonly cursor?: string | undefined
  }): Promise<Page<Row>>
}

/** Fields of a row that hold numbers, and what may be added to each. */
export type Amounts<Row> = {
  readonly [
    F in keyof Row as NonNullable<Row[F]> extends number | bigint ? F : never
  ]?: NonNullable<Row[F]>
}
export type Extremes<Row> = {
  readonly [
    F in keyof Row as NonNullable<Row[F]> extends number | bigint | string | Date ? F : never
  ]?: NonNullable<Row[F]>
}
export type Elements<Row> = {
  readonly [
    F in keyof Row as NonNullable<Row[F]> extends readonly unknown[] ? F : never
  ]?: NonNullable<Row[F]>
}
export type Patch<Row> = { readonly [F in keyof Row]?: Row[F] | undefined }

export interface ModifyOptions<Row> extends WriteOptions {
  /** The row to start from when there is none; without it a missing row is `NotFound`. */
  readonly create?: Row
}

export interface WatchOptions extends CallOptions {
  /** Changes after this token, without a gap. */
  readonly after?: string | undefined
  /**
   * `now` (default): changes from now on. `snapshot`: first each row there is, as one moment, then
   * every change after it. `start`: from the oldest change that is kept.
   */
  readonly from?: 'now' | 'snapshot' | 'start' | undefined
}

/** One change of a row, in the order of the log. */
export interface Change<Row, KeyType> {
  /** `row`: it is in the snapshot; the others happened. */
  readonly kind: 'row' | 'insert' | 'update' | 'delete'
  readonly key: KeyType
  /** The row after the change; undefined for a delete. */
  readonly row: Row | undefined
  readonly position: Position
  /** Watching `after` it goes on with the next change. */
  readonly token: string
}

/** Reads that tables have both outside and inside a transaction. */
export interface TableReads<Row, KeyType, Indexes> {
  /** The row, or undefined. */
  get(key: KeyType, options?: ReadOptions): Promise<Row | undefined>
  /** One result for each key, in their order, all as of one moment. */
  getMany(keys: readonly KeyType[], options?: ReadOptions): Promise<(Row | undefined)[]>
  has(key: KeyType, options?: ReadOptions): Promise<boolean>
  query(query?: Query<Row, KeyType, Indexes>): Rows<Row>
  /** How many rows there are, or match. The whole table is counted without reading it. */
  count(query?: Query<Row, KeyType, Indexes>): Promise<number>
}

export interface StrongTable<In, Row, KeyType, Indexes> extends TableReads<Row, KeyType, Indexes> {
  readonly name: string
  /** Whether a schema checks its rows. */
  readonly validated: boolean

  /** @throws HoldfastError `AlreadyExists`, `UniqueViolation`, `InvalidRow` and those of all writes */
  insert(row: In, options?: WriteOptions): Promise<Written<Row>>
  /** Inserts the row, or overwrites the one that is there. */
  put(row: In, options?: WriteOptions): Promise<Written<Row>>
  /**
   * Replaces the row by what `change` makes of it, whatever others do meanwhile: it is called again
   * when they came first, so it must be pure. Returning undefined leaves the row as it is.
   * @throws HoldfastError `NotFound`, `Conflict`; and whatever `change` throws
   */
  update(
    key: KeyType,
    change: (row: Row) => In | undefined,
    options?: WriteOptions,
  ): Promise<Written<Row>>
  delete(key: KeyType, options?: WriteOptions): Promise<Deleted>

  /** Stateful ops: done where the row is, so that they never conflict. Not for indexed fields. */
  increment(key: KeyType, amounts: Amounts<Row>, options?: ModifyOptions<In>): Promise<Written<Row>>
  decrement(key: KeyType, amounts: Amounts<Row>, options?: ModifyOptions<In>): Promise<Written<Row>>
  /** Keeps the lesser of each field and the value given. */
  min(key: KeyType, values: Extremes<Row>, options?: ModifyOptions<In>): Promise<Written<Row>>
  /** Keeps the greater of each field and the value given. */
  max(key: KeyType, values: Extremes<Row>, options?: ModifyOptions<In>): Promise<Written<Row>>
  append(key: KeyType, elements: Elements<Row>, options?: ModifyOptions<In>): Promise<Written<Row>>
  /** Sets the fields given; undefined removes one. Indexed fields go through `update` by itself. */
  patch(key: KeyType, fields: Patch<Row>, options?: ModifyOptions<In>): Promise<Written<Row>>

  /** Many rows, each on its own: one that is refused does not stop the others. In their order. */
  insertMany(rows: Iterable<In>, options?: CallOptions): Promise<RowResult<Written<Row>>[]>
  putMany(rows: Iterable<In>, options?: CallOptions): Promise<RowResult<Written<Row>>[]>
  deleteMany(keys: Iterable<KeyType>, options?: CallOptions): Promise<RowResult<Deleted>[]>

  /**
   * Changes of this table's rows in the order of the log, without gaps, until the loop is left.
   * @throws HoldfastError `FeedTrimmed`, `TokenMismatch`
   */
  watch(options?: WatchOptions): AsyncIterable<Change<Row, KeyType>>
}

/** A table inside a transaction: it sees the transaction's own writes. */
export interface TransactionTable<In, Row, KeyType, Indexes> extends TableReads<
  Row,
  KeyType,
  Indexes
> {
  insert(row: In): Promise<Row>
  put(row: In): Promise<Row>
  update(key: KeyType, change: (row: Row) => In | undefined): Promise<Row>
  delete(key: KeyType): Promise<boolean>
  /** Stateful ops in a transaction cannot refuse: on a missing or unfit row they do nothing. */
  increment(key: KeyType, amounts: Amounts<Row>, options?: { readonly create?: In }): void
  decrement(key: KeyType, amounts: Amounts<Row>, options?: { readonly create?: In }): void
  min(key: KeyType, values: Extremes<Row>, options?: { readonly create?: In }): void
  max(key: KeyType, values: Extremes<Row>, options?: { readonly create?: In }): void
  append(key: KeyType, elements: Elements<Row>, options?: { readonly create?: In }): void
  patch(key: KeyType, fields: Patch<Row>, options?: { readonly create?: In }): void
}

/** A table whose definition is known only at run time: what the shell works with. */
export type AnyTable = StrongTable<
  Record<string, Value | undefined>,
  Record<string, Value | undefined>,
  Key,
  Record<string, never>
>

export interface TransactOptions extends WriteOptions {
  /** What the call is about, when it has an idempotency key: another request is refused. */
  readonly request?: Value | undefined
}

/** One table, as `stats` gives it. */
export interface TableStats {
  readonly name: string
  readonly rows: number
  /** Bytes of rows, indexes not counted. */
  readonly bytes: number
  readonly validated: boolean
  readonly key: readonly string[]
  readonly indexes: readonly {
    readonly name: string
    readonly fields: readonly string[]
    readonly unique: boolean
    readonly state: string
  }[]
}

export interface DatabaseStats {
  readonly dir: string | undefined
  readonly identity: string
  readonly position: Position
  readonly oldestPosition: Position
  readonly shards: number
  readonly durability: Durability
  /** Bytes of the data file, or of rows for a database in memory. */
  readonly bytes: number
  readonly tables: readonly TableStats[]
  /** Why nothing can be written until the database is opened again; undefined while all is well. */
  readonly halted: ErrorCode | undefined
  /** Background work that failed last time; it is tried again. */
  readonly problems: readonly {
    readonly work: 'expiry' | 'schema'
    readonly table: string | undefined
    readonly reason: string
  }[]
}
