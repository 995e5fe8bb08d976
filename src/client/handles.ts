/** The types of `connect`: the embedded database's, but for what only a request can tell. */
import type { Env } from '../core/env.ts'
import type {
  AnyTableLike,
  DatabaseLikeCalls,
  TableLike,
  TableLikeOf,
} from '../table/database-like.ts'
import type { DatabaseStats } from '../table/handles.ts'
import type { IndexField, KeyField, PlainOptions, TableDefinitions } from '../table/schema.ts'

/** How calls are made again that may be: see docs/CLIENT.md. */
export interface RetryOptions {
  /** Times that a call is sent at the most. Default 4; 1 for never again. */
  readonly tries?: number | undefined
  /** The first wait is random up to this, and twice as much each time. Default 50 ms. */
  readonly backoffMs?: number | undefined
  /** No wait is longer, unless the server asks for it. Default 2,000 ms. */
  readonly backoffMaxMs?: number | undefined
  /** How many calls in a row may be made again at once, before others succeed. Default 10. */
  readonly reserve?: number | undefined
  /** What part of the calls may be made again beyond the reserve. Default 0.1. */
  readonly share?: number | undefined
}

export interface ConnectOptions {
  /** Where the server is: `http://127.0.0.1:4653`. A path in it is put before every route. */
  readonly url: string | URL
  /** A server's access token, `hf_...`; or a function that gives the one of now. */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** What requests are made by. Default: the runtime's `fetch`. */
  readonly fetch?: ((request: Request) => Response | Promise<Response>) | undefined
  /** Milliseconds until a call gives up, all its tries together. Default 15,000. */
  readonly deadlineMs?: number | undefined
  readonly retry?: RetryOptions | undefined
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** A token of this database (`db.token`): reads see at least what it stands for. */
  readonly after?: string | undefined
  /** Rows that a query fetches at once. Default 500. */
  readonly pageRows?: number | undefined
}

/** What `define` takes. */
export type RemoteOptions<Row> = Pick<PlainOptions<Row>, 'key' | 'indexes'>

/** Without literal types the key may be any of the fields that can be one, or a tuple of them. */
type PlainKey<Row> = Row[KeyField<Row>] | readonly Row[KeyField<Row>][]

export interface RemoteCalls<T extends TableDefinitions> extends DatabaseLikeCalls<T> {
  /**
   * The newest token that an answer carried: hand it to another client, and its reads see at least
   * what was written and read here. Undefined before the first answer.
   */
  readonly token: string | undefined
  /** A table by name. Whether there is one shows when it is used: `UnknownTable`. */
  table(name: string): AnyTableLike
  /**
   * Makes a table whose rows no schema checks, or adds indexes to one. Needs the scope `operate`.
   * Tables with a schema are declared where the database is opened.
   */
  define<Row extends object>(
    name: string,
    options: RemoteOptions<Row>,
  ): Promise<TableLike<Row, Row, PlainKey<Row>, Record<string, IndexField<Row>>>>
  stats(): Promise<DatabaseStats>
  /** Settles writes that are on their way and ends feeds. The server's database stays open. */
  close(): Promise<void>
}

/** A database at the other end of HTTP, with the handles of an embedded one. */
export type RemoteDatabase<T extends TableDefinitions> = RemoteCalls<T> & {
  readonly [Name in keyof T]: TableLikeOf<T[Name]>
}

/** What a client takes of its surroundings: a part of `Env`. */
export interface ClientEnv {
  readonly clock: Pick<Env['clock'], 'monotonicMs'>
  readonly timers: Env['timers']
  readonly random: Pick<Env['random'], 'float'>
}

/** What the client is made over. */
export interface ClientParts {
  readonly env: ClientEnv
  readonly fetch: (request: Request) => Response | Promise<Response>
}
