/** Operations that change rows and tables, and the feed of a table. */
import { turn, type Env } from '../core/env.ts'
import { isHoldfastError } from '../core/errors.ts'
import type { Key } from '../core/key-codec.ts'
import type {
  Ack,
  AnyTable,
  Change,
  RowResult,
  WatchOptions,
  WriteOptions,
} from '../table/handles.ts'
import { assertLoose, roughBytes, type AnyDatabase, type AnyRow } from './any-rows.ts'
import { changeRow, readChanges, type Changes } from './changes.ts'
import { textDigest } from './digest.ts'
import { invalid } from './members.ts'
import type { CallContext } from './call-context.ts'
import { readTransaction, type TransactionRequest } from './step-forms.ts'
import { runSteps, type TransactionAnswer } from './steps.ts'

export interface WrittenRow extends Ack {
  readonly row: AnyRow
}

/** One of the three: rows to insert, rows to put, keys to delete. */
export interface BulkSpec {
  readonly table: string
  readonly insert?: readonly AnyRow[] | undefined
  readonly put?: readonly AnyRow[] | undefined
  readonly delete?: readonly Key[] | undefined
}

export type BulkResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: string; readonly message: string }

export interface FeedSpec {
  readonly table: string
  readonly from?: WatchOptions['from']
  readonly after?: string | undefined
}

export type FeedItem = Change<AnyRow, Key>

interface Keyed {
  readonly idempotencyKey?: string | undefined
}

export interface WriteCallTypes {
  write: {
    params: { table: string; kind: 'put' | 'insert'; row: AnyRow } & Keyed
    result: WrittenRow
  }
  /** The same as PATCH over HTTP. */
  modify: { params: { table: string; key: Key; changes: Changes } & Keyed; result: WrittenRow }
  delete: { params: { table: string; key: Key } & Keyed; result: Ack & { existed: boolean } }
  /** Each row on its own: one that is refused does not stop the others. In their order. */
  bulk: { params: BulkSpec & Keyed; result: { results: readonly BulkResult[] } }
  transaction: { params: TransactionRequest & Keyed; result: TransactionAnswer }
  /** Drops a table and its rows. */
  drop: { params: { table: string }; result: null }
  dropIndex: { params: { table: string; index: string }; result: null }
}

type WriteCalls = {
  readonly [M in keyof WriteCallTypes]: (
    params: WriteCallTypes[M]['params'],
    context: CallContext,
  ) => Promise<WriteCallTypes[M]['result']>
}

/** Changes that a feed sends at once, when they are there. */
const CHUNK_CHANGES = 256
const CHUNK_BYTES = 256 * 1024
/** Rows of a bulk call that are begun before others have a turn. */
const SLICE_ROWS = 512
/** Rows of a bulk call with an idempotency key that wait at once. */
const KEYED_AT_ONCE = 256

export function writeCalls(db: AnyDatabase, env: Env): WriteCalls {
  return {
    write: async ({ table, kind, row, idempotencyKey }, { signal }) => {
      const options = { idempotencyKey, signal }
      const handle = db.table(table)
      return plainAck(
        kind === 'insert' ? await handle.insert(row, options) : await handle.put(row, options),
      )
    },
    modify: async ({ table, key, changes, idempotencyKey }, { signal }) =>
      plainAck(await changeRow(db, table, key, readChanges(changes), { idempotencyKey, signal })),
    delete: async ({ table, key, idempotencyKey }, { signal }) => {
      const gone = await db.table(table).delete(key, { idempotencyKey, signal })
      const { position, durability, token, existed } = gone
      return { position, durability, token, existed }
    },
    bulk: async ({ table, idempotencyKey, ...work }) => ({
      results: (await runBulk(env, db.table(table), work, { idempotencyKey })).map(resultOf),
    }),
    transaction: ({ idempotencyKey, ...request }, { signal }) =>
      runSteps(db, env, readTransaction(request), { idempotencyKey, signal }),
    drop: async ({ table }) => {
      await db.drop(table)
      return null
    },
    dropIndex: async ({ table, index }) => {
      assertLoose(db, table)
      await db.dropIndex(table, index)
      return null
    },
  }
}

/**
 * Each row on its own, in their order. With an idempotency key each has a key of its own, made of
 * that one and its place. Throws `InvalidRequest` unless exactly one kind of work is given.
 */
export function runBulk(
  env: Env,
  table: AnyTable,
  { insert, put, delete: keys }: Omit<BulkSpec, 'table'>,
  options: WriteOptions,
): Promise<RowResult<Ack & { readonly existed?: boolean }>[]> {
  const given = [insert, put, keys].filter((work) => work !== undefined)
  if (given.length !== 1) throw invalid('a bulk call has one of insert, put and delete')
  const { idempotencyKey: key } = options
  if (insert !== undefined) {
    if (key === undefined) return inSlices(env, insert, (some) => table.insertMany(some, options))
    return keyed(insert, key, (row, own) => table.insert(row, { ...options, idempotencyKey: own }))
  }
  if (put !== undefined) {
    if (key === undefined) return inSlices(env, put, (some) => table.putMany(some, options))
    return keyed(put, key, (row, own) => table.put(row, { ...options, idempotencyKey: own }))
  }
  const gone = keys ?? []
  if (key === undefined) return inSlices(env, gone, (some) => table.deleteMany(some, options))
  return keyed(gone, key, (of, own) => table.delete(of, { ...options, idempotencyKey: own }))
}

/** All are on their way at once, begun some at a time, so that others have turns. */
async function inSlices<I, T>(
  env: Env,
  items: readonly I[],
  run: (some: readonly I[]) => Promise<RowResult<T>[]>,
): Promise<RowResult<T>[]> {
  const slices: Promise<RowResult<T>[]>[] = []
  for (let start = 0; start < items.length; start += SLICE_ROWS) {
    if (start > 0) await turn(env)
    slices.push(run(items.slice(start, start + SLICE_ROWS)))
  }
  return (await Promise.all(slices)).flat()
}

async function keyed<I, T>(
  items: readonly I[],
  key: string,
  run: (item: I, key: string) => Promise<T>,
): Promise<RowResult<T>[]> {
  const results: RowResult<T>[] = []
  // A digest: beside the longest key there would be no room for the place.
  const name = textDigest(key)
  for (let start = 0; start < items.length; start += KEYED_AT_ONCE) {
    const some = items.slice(start, start + KEYED_AT_ONCE)
    const settled = await Promise.allSettled(
      some.map((item, i) => run(item, `bulk.${name}.${start + i}`)),
    )
    for (const each of settled) {
      results.push(
        each.status === 'fulfilled'
          ? { ok: true, value: each.value }
          : { ok: false, error: each.reason as Error },
      )
    }
  }
  return results
}

function resultOf(result: RowResult<Ack>): BulkResult {
  if (result.ok) return { ok: true }
  const { error } = result
  return { ok: false, code: isHoldfastError(error) ? error.code : 'Bug', message: error.message }
}

/** Changes as they come, some at a time; ends when the signal is aborted. */
export function feed(
  db: AnyDatabase,
  env: Env,
  { table, from, after }: FeedSpec,
  signal: AbortSignal,
): AsyncIterable<readonly FeedItem[]> {
  const over = new AbortController()
  // Begun here: `now` is the moment of the call.
  const changes = db
    .table(table)
    .watch({ from, after, signal: AbortSignal.any([signal, over.signal]) })
  return inChunks(changes[Symbol.asyncIterator](), env, signal, over)
}

async function* inChunks(
  changes: AsyncIterator<FeedItem>,
  env: Env,
  signal: AbortSignal,
  over: AbortController,
): AsyncGenerator<readonly FeedItem[]> {
  let next = changes.next()
  try {
    for (;;) {
      const chunk: FeedItem[] = []
      const waited = turn(env).then(() => undefined)
      let [step, bytes] = [await next, 0]
      for (;;) {
        if (step.done === true) return
        chunk.push(step.value)
        bytes += roughBytes(step.value.row)
        next = changes.next()
        if (chunk.length >= CHUNK_CHANGES || bytes >= CHUNK_BYTES) break
        // Only what is there already: a change does not wait for the one behind it.
        const ready = await Promise.race([next, waited])
        if (ready === undefined) break
        step = ready
      }
      // Taken or not by then, its failure is told when it is awaited.
      next.catch(() => undefined)
      yield chunk
    }
  } catch (cause) {
    if (!signal.aborted) throw cause
  } finally {
    next.catch(() => undefined)
    over.abort()
  }
}

/** An ack with its members as its own. */
function plainAck({ position, durability, token, row }: WrittenRow): WrittenRow {
  return { position, durability, token, row }
}
