/**
 * What can be asked of an open folder: the same handlers for the process that has it open and, over
 * its socket, for every other. `CallTypes` and `StreamTypes` are the whole of it.
 */
import { turn, type Env } from '../core/env.ts'
import type { Key } from '../core/key-codec.ts'
import { looseDefinition } from '../table/database.ts'
import type { DatabaseStats, Query } from '../table/handles.ts'
import type { DatabaseStatus } from '../table/status.ts'
import {
  assertLoose,
  roughBytes,
  rowsOf,
  type AnyDatabase,
  type AnyRow,
  type ShellQuery,
} from './any-rows.ts'
import { aggregate, type AggregateRow, type AggregateSpec } from './aggregate.ts'
import { matches, type Filter } from './filter.ts'
import {
  importCalls,
  type ImportBatch,
  type ImportBatchResult,
  type ImportState,
  type ImportTotals,
} from './import-operations.ts'
import type { CallContext } from './call-context.ts'
import { tokenCalls, type TokenCallTypes } from './token-operations.ts'
import {
  feed,
  writeCalls,
  type FeedItem,
  type FeedSpec,
  type WriteCallTypes,
} from './write-operations.ts'

/** A field, several as a tuple, or either of them as a unique index. */
export type IndexSpec = string | readonly string[] | { readonly unique: string | readonly string[] }

export interface TableSpec {
  readonly table: string
  readonly key: readonly string[]
  readonly indexes: Readonly<Record<string, IndexSpec>>
}

export interface CallTypes extends WriteCallTypes, TokenCallTypes {
  stats: { params: Record<never, never>; result: DatabaseStats }
  status: { params: Record<never, never>; result: DatabaseStatus }
  /** The first of `keys` that there is a row for, and which it was. */
  get: {
    params: { table: string; keys: readonly Key[] }
    result: { row?: AnyRow | undefined; at: number }
  }
  count: { params: { table: string; query: ShellQuery }; result: number }
  page: {
    params: { table: string; query: ShellQuery; limit: number; cursor?: string | undefined }
    result: { rows: readonly AnyRow[]; cursor?: string | undefined }
  }
  aggregate: { params: AggregateSpec; result: readonly AggregateRow[] }
  define: { params: TableSpec; result: null }
  importState: { params: { importId: string }; result: ImportState }
  importBatch: { params: ImportBatch; result: ImportBatchResult }
  importFinish: { params: { importId: string; file: string; table: string }; result: ImportTotals }
  importForget: { params: { importId: string }; result: null }
}

export interface StreamTypes {
  /** Rows of one snapshot, some hundred at a time. `limit` counts those that match. */
  rows: {
    params: {
      table: string
      query: ShellQuery
      where: readonly Filter[]
      limit?: number | undefined
    }
    item: readonly AnyRow[]
  }
  /** Changes of a table's rows in the order of the log, until the stream is cancelled. */
  feed: { params: FeedSpec; item: readonly FeedItem[] }
}

export type Calls = {
  readonly [M in keyof CallTypes]: (
    params: CallTypes[M]['params'],
    context: CallContext,
  ) => Promise<CallTypes[M]['result']>
}
export type Streams = {
  readonly [M in keyof StreamTypes]: (
    params: StreamTypes[M]['params'],
    context: CallContext,
  ) => AsyncIterable<StreamTypes[M]['item']>
}

export interface Operations {
  readonly calls: Calls
  readonly streams: Streams
}

/** Rows that a stream sends at once, and that are read before others have a turn. */
const CHUNK_ROWS = 256
const CHUNK_BYTES = 256 * 1024

export function operations(db: AnyDatabase, env: Env): Operations {
  return {
    calls: {
      stats: async () => db.stats(),
      status: () => db.status(),
      get: async ({ table, keys }) => {
        const rows = await db.table(table).getMany(keys)
        const at = rows.findIndex((row) => row !== undefined)
        return at < 0 ? { at } : { row: rows[at], at }
      },
      count: ({ table, query }) => db.table(table).count(query as Query<never, never, never>),
      page: ({ table, query, limit, cursor }) => rowsOf(db, table, query).page({ limit, cursor }),
      aggregate: (spec, { signal }) => aggregate(db, env, spec, signal),
      define: async (spec) => {
        await define(db, spec)
        return null
      },
      ...importCalls(db, env),
      ...writeCalls(db, env),
      ...tokenCalls(db, env),
    },
    streams: {
      rows: (params, { signal }) => streamRows(db, env, params, signal),
      feed: (params, { signal }) => feed(db, env, params, signal),
    },
  }
}

async function* streamRows(
  db: AnyDatabase,
  env: Env,
  { table, query, where, limit = Number.POSITIVE_INFINITY }: StreamTypes['rows']['params'],
  signal: AbortSignal,
): AsyncGenerator<readonly AnyRow[]> {
  let chunk: AnyRow[] = []
  let [bytes, seen, sent] = [0, 0, 0]
  if (limit === 0) return
  for await (const row of rowsOf(db, table, query)) {
    if (++seen % CHUNK_ROWS === 0) await turn(env)
    signal.throwIfAborted()
    if (!matches(row, where)) continue
    chunk.push(row)
    bytes += roughBytes(row)
    if (++sent >= limit) break
    if (chunk.length < CHUNK_ROWS && bytes < CHUNK_BYTES) continue
    yield chunk
    chunk = []
    bytes = 0
  }
  if (chunk.length > 0) yield chunk
}

/** Makes a table, or adds indexes to the one there is. */
async function define(db: AnyDatabase, { table, key, indexes }: TableSpec): Promise<void> {
  assertLoose(db, table)
  await db.define(table, looseDefinition({ key, indexes }))
}
