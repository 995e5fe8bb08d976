/**
 * A table of a restored store into an open database, under another name. Rows go by the batches that
 * imports go by: each is there once, however often the work is begun, and what is done is known.
 */
import { isDeepStrictEqual } from 'node:util'
import { afterPrefix, copyBytes, hex, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { digest } from '../core/hash.ts'
import type { IndexDefinition, TableDefinition } from '../shard/definitions.ts'
import { ROW_SPACE, tablePrefix } from '../shard/layout.ts'
import { tableNamed } from '../shard/log-state.ts'
import { Pace, type StageOptions } from '../shard/backup/progress.ts'
import { readState } from '../shard/backup/table-digests.ts'
import { decodeRow } from '../shard/row-codec.ts'
import { storedTotal } from '../shard/shard-stats.ts'
import type { Store } from '../store/store.ts'
import type { TableStats } from '../table/handles.ts'
import { TTL_INDEX } from '../table/schema.ts'
import type { AnyRow } from './any-rows.ts'
import type { ImportState, ImportTotals } from './import-operations.ts'
import type { CallTypes, IndexSpec } from './operations.ts'

type CallsUsed =
  | 'stats'
  | 'define'
  | 'importState'
  | 'importBatch'
  | 'importFinish'
  | 'importForget'

/** The calls of server/operations.ts that this needs, in this process or through a socket. */
export type TableCalls = <M extends CallsUsed>(
  method: M,
  params: CallTypes[M]['params'],
) => Promise<CallTypes[M]['result']>

export interface CopyTableOptions extends StageOptions {
  readonly env: Env
  readonly store: Store
  readonly table: string
  readonly as: string
  readonly call: TableCalls
}

export interface TableCopied {
  readonly table: string
  readonly as: string
  /** The position that the rows are as of, in the database that was backed up. */
  readonly position: number
  readonly rows: number
}

const BATCH_ROWS = 500
/** Bytes of a batch at which it is closed; with one more row it still fits a transaction. */
const BATCH_BYTES = 64 * 1024
const NEXT = Uint8Array.of(0)

export async function copyTable(options: CopyTableOptions): Promise<TableCopied> {
  const { store, table, as, call } = options
  const state = readState(store)
  const definition = tableNamed(state, table)
  if (definition === undefined) {
    const names = [...state.definitions.values()].map(({ name }) => name)
    throw new HoldfastError(
      'UnknownTable',
      `the backup has no table ${table}, but ${names.join(', ') || 'none'}`,
      {
        details: { table, tables: names },
      },
    )
  }
  if (definition.rowVersion > 0) {
    throw new HoldfastError(
      'Unsupported',
      `the rows of ${table} have version ${definition.rowVersion}: restore the database beside this one`,
    )
  }
  const { position } = state
  const importId = nameOf(hex(state.identity), position, definition, as)
  const before = await begin(options, definition, importId)
  const rows = before.finished?.rows ?? (await copyRows(options, definition, importId, before)).rows
  if (before.finished === undefined) {
    await call('importFinish', { importId, file: `backup of ${table} at ${position}`, table: as })
  }
  return { table, as, position, rows }
}

/** The same rows under the same name are one copy, whenever it is begun. */
function nameOf(identity: string, position: number, { id }: TableDefinition, as: string): string {
  return hex(digest(Buffer.from(`table of a backup.${identity}.${position}.${id}.${as}`)))
}

/** Defines the table, unless an earlier attempt has. Throws `AlreadyExists` for one of others. */
async function begin(
  { as, call }: CopyTableOptions,
  definition: TableDefinition,
  importId: string,
): Promise<ImportState> {
  const before = await call('importState', { importId })
  const { tables } = await call('stats', {})
  const there = tables.find(({ name }) => name === as)
  const isBegun = before.finished !== undefined || before.batches.length > 0
  // With fewer rows than were copied it is not that table: it was dropped, and made by others.
  if (isBegun && there !== undefined && there.rows >= rowsCopied(before)) return before
  const indexes = indexesOf(definition)
  if (there !== undefined && (there.rows > 0 || !isAlike(there, definition.key, indexes))) {
    throw new HoldfastError('AlreadyExists', `there is a table ${as}: it is left as it is`, {
      details: { table: as, next: 'another name, with --as' },
    })
  }
  if (isBegun) await call('importForget', { importId })
  await call('define', { table: as, key: definition.key, indexes })
  return { batches: [] }
}

function rowsCopied({ finished, batches }: ImportState): number {
  return finished?.rows ?? batches.reduce((sum, { rows }) => sum + rows, 0)
}

/** An attempt that ended before its first rows leaves the table that it defined, and no other. */
function isAlike(
  there: TableStats,
  key: readonly string[],
  indexes: Readonly<Record<string, IndexSpec>>,
): boolean {
  const found = Object.fromEntries(there.indexes.map((index) => [index.name, specOf(index)]))
  return isDeepStrictEqual([[...there.key], found], [[...key], indexes])
}

/** Not the one of a time to live: a copy is to be looked at, not to vanish at once. */
function indexesOf({ indexes }: TableDefinition): Record<string, IndexSpec> {
  const own = indexes.filter(({ name }) => name !== TTL_INDEX)
  return Object.fromEntries(own.map((index) => [index.name, specOf(index)]))
}

function specOf({ fields, unique }: Pick<IndexDefinition, 'fields' | 'unique'>): IndexSpec {
  return unique ? { unique: fields } : fields
}

async function copyRows(
  options: CopyTableOptions,
  { id }: TableDefinition,
  importId: string,
  before: ImportState,
): Promise<Pick<ImportTotals, 'rows'>> {
  const { store, as: table, call, env } = options
  const pace = new Pace(env, options)
  const total = storedTotal(store, id, readState(store).shards).bytes
  const done = new Map(before.batches.map(({ start, end }) => [start, end]))
  let [at, bytes]: [number, number] = [0, 0]
  for (const batch of batchesOf(store, id)) {
    const start = at
    at += batch.rows.length
    bytes += batch.bytes
    await pace.step('rows', bytes, total)
    if (done.get(start) === at) continue
    const rows = batch.rows.map((row, i) => ({ position: start + i, row }))
    const params = { table, importId, start, end: at, mode: 'put', rows, unread: [] } as const
    const { rejected } = await call('importBatch', params)
    const [first] = rejected
    if (first !== undefined) {
      throw new HoldfastError(
        'Conflict',
        `row ${first.position} does not fit what others wrote to ${table}: ${first.reason ?? ''}`,
        { details: { table } },
      )
    }
  }
  pace.end('rows', total)
  return { rows: at }
}

interface RowBatch {
  readonly rows: readonly AnyRow[]
  readonly bytes: number
}

/** The rows in the order of their keys; cut alike whenever they are read. */
function* batchesOf(store: Store, table: number): Generator<RowBatch, void> {
  const prefix = tablePrefix(ROW_SPACE, table)
  const lt = afterPrefix(prefix)
  for (let gte: Bytes = prefix; ;) {
    const rows: AnyRow[] = []
    let [bytes, last]: [number, Bytes | undefined] = [0, undefined]
    store.scan({ gte, lt, limit: BATCH_ROWS }, (key, value) => {
      rows.push(decodeRow(key, copyBytes(value)) as AnyRow)
      bytes += value.length
      last = copyBytes(key)
      return bytes < BATCH_BYTES
    })
    if (last === undefined) return
    yield { rows, bytes }
    gte = Buffer.concat([last, NEXT])
  }
}
