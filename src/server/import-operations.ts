/**
 * Imports that are exactly once. A batch is a range of positions in a file; its rows and the record
 * that it is done go into one transaction, so after a crash each range is there whole or not at all.
 * When all are done, their records become one.
 *
 *   _imports   [import, start] {end, rows, rejected}   one a batch
 *              [import, -1]    {rows, rejected, ...}   it is finished
 */
import { turn, type Env } from '../core/env.ts'
import { isHoldfastError } from '../core/errors.ts'
import type { Value } from '../core/value-codec.ts'
import { looseDefinition } from '../table/database.ts'
import type { Query } from '../table/handles.ts'
import type { AnyDatabase, AnyRow } from './any-rows.ts'

const IMPORTS = '_imports'
const DONE_AT = -1
const DELETED_AT_ONCE = 500

/** A record that did not become a row. Without a reason it could not even be read. */
export interface Rejected {
  readonly position: number
  readonly reason?: string | undefined
}

export interface ImportBatch {
  readonly table: string
  readonly importId: string
  /** start <= position < end; all positions in between are accounted for. */
  readonly start: number
  readonly end: number
  readonly mode: 'put' | 'insert'
  readonly rows: readonly { readonly position: number; readonly row: AnyRow }[]
  readonly unread: readonly Rejected[]
}

export interface ImportBatchResult {
  readonly rows: number
  readonly rejected: readonly Rejected[]
  /** The range that starts here was done before, by another import of this file: up to this. */
  readonly doneTo?: number | undefined
}

export interface ImportTotals {
  readonly rows: number
  readonly rejected: number
  readonly finished: Date
}

export interface ImportState {
  readonly finished?: ImportTotals | undefined
  /** In order of their start. */
  readonly batches: readonly {
    readonly start: number
    readonly end: number
    readonly rows: number
    readonly rejected: readonly Rejected[]
  }[]
}

interface ImportCalls {
  importState(params: { importId: string }): Promise<ImportState>
  importBatch(params: ImportBatch): Promise<ImportBatchResult>
  importFinish(params: { importId: string; file: string; table: string }): Promise<ImportTotals>
  importForget(params: { importId: string }): Promise<null>
}

export function importCalls(db: AnyDatabase, env: Env): ImportCalls {
  const line = new Line(env)
  return {
    importState: async ({ importId }) => {
      await declare(db)
      return readState(db, importId)
    },
    importBatch: (batch) => importBatch(db, line, batch),
    importFinish: ({ importId, file, table }) => finish(db, env, importId, file, table),
    importForget: async ({ importId }) => {
      await declare(db)
      await forget(db, importId, Number.NEGATIVE_INFINITY)
      return null
    },
  }
}

async function declare(db: AnyDatabase): Promise<void> {
  if (db.stats().tables.some(({ name }) => name === IMPORTS)) return
  await db.define(IMPORTS, looseDefinition({ key: ['import', 'start'] }))
}

type Progress = Readonly<Record<string, Value | undefined>> & {
  readonly start: number
  readonly end: number
  readonly rows: number
  readonly rejected: readonly Rejected[]
}

async function readState(db: AnyDatabase, importId: string): Promise<ImportState> {
  const batches: Progress[] = []
  let finished: ImportTotals | undefined
  const query = { prefix: [importId] } as unknown as Query<never, never, never>
  for await (const row of db.table(IMPORTS).query(query)) {
    if (row['start'] === DONE_AT) finished = row as unknown as ImportTotals
    else batches.push(row as unknown as Progress)
  }
  return {
    finished: finished && {
      rows: finished.rows,
      rejected: finished.rejected,
      finished: finished.finished,
    },
    batches: batches.map(({ start, end, rows, rejected }) => ({ start, end, rows, rejected })),
  }
}

/** Lets batches into the log in the order in which they came: of rows with one key the last wins. */
class Line {
  readonly #env: Env
  #tail: Promise<void> = Promise.resolve()

  constructor(env: Env) {
    this.#env = env
  }

  /** `work` calls `next` when it has proposed, at the latest when it is over. */
  async join<T>(work: (next: () => void) => Promise<T>): Promise<T> {
    const before = this.#tail
    let next = (): void => undefined
    this.#tail = new Promise((resolve) => (next = resolve))
    await before
    try {
      // The proposal is made before others have a turn, right after `work` has said so.
      return await work(() => this.#env.timers.soon(next))
    } finally {
      next()
    }
  }
}

/** Stops the attempt at a row that cannot be taken, so that nothing of it is left in the draft. */
class RowRefused extends Error {
  override readonly name = 'RowRefused'
  readonly position: number

  constructor(position: number, reason: string) {
    super(reason)
    this.position = position
  }
}

function importBatch(db: AnyDatabase, line: Line, batch: ImportBatch): Promise<ImportBatchResult> {
  const table = db.stats().tables.find(({ name }) => name === batch.table)
  const hasUnique = table?.indexes.some(({ unique }) => unique) ?? false
  const refused = new Map<number, string>()
  return line.join(async (next) => {
    for (;;) {
      try {
        return await db.transact(async (tx) => {
          const result = await writeBatch(tx, batch, refused, hasUnique)
          next()
          return result
        })
      } catch (error) {
        if (!(error instanceof RowRefused)) throw error
        refused.set(error.position, error.message)
      }
    }
  })
}

type AnyTransaction = Parameters<Parameters<AnyDatabase['transact']>[0]>[0]

async function writeBatch(
  tx: AnyTransaction,
  { table, importId, start, end, mode, rows, unread }: ImportBatch,
  refused: ReadonlyMap<number, string>,
  stopsAtRefusal: boolean,
): Promise<ImportBatchResult> {
  const progress = tx.table(IMPORTS)
  const target = tx.table(table)
  const before = (await progress.get([importId, start])) as Progress | undefined
  if (before !== undefined) return { rows: 0, rejected: [], doneTo: before.end }
  // Another import of this file has finished meanwhile, and put the records of batches together.
  const finished = await progress.has([importId, DONE_AT])
  if (finished) return { rows: 0, rejected: [], doneTo: end }
  const rejected = [...unread]
  let written = 0
  for (const { position, row } of rows) {
    const known = refused.get(position)
    const reason = known ?? (await tryRow(target, mode, row))
    if (reason === undefined) {
      written++
      continue
    }
    if (known === undefined && stopsAtRefusal) throw new RowRefused(position, reason)
    rejected.push({ position, reason })
  }
  rejected.sort((a, b) => a.position - b.position)
  const record = { import: importId, start, end, rows: written, rejected }
  await progress.put(record as unknown as Record<string, Value>)
  return { rows: written, rejected }
}

/** Why the row cannot be taken; undefined when it is. */
async function tryRow(
  table: ReturnType<AnyTransaction['table']>,
  mode: 'put' | 'insert',
  row: AnyRow,
): Promise<string | undefined> {
  try {
    await (mode === 'put' ? table.put(row) : table.insert(row))
    return undefined
  } catch (error) {
    const isOfRow = isHoldfastError(
      error,
      'InvalidKey',
      'InvalidValue',
      'InvalidRow',
      'KeyTooLarge',
      'RowTooLarge',
      'NotIndexable',
      'AlreadyExists',
      'UniqueViolation',
    )
    if (!isOfRow) throw error
    return `${error.code}: ${error.message}`.slice(0, 200)
  }
}

async function finish(
  db: AnyDatabase,
  env: Env,
  importId: string,
  file: string,
  table: string,
): Promise<ImportTotals> {
  const state = await readState(db, importId)
  const totals = state.finished ?? {
    rows: state.batches.reduce((sum, batch) => sum + batch.rows, 0),
    rejected: state.batches.reduce((sum, batch) => sum + batch.rejected.length, 0),
    finished: new Date(env.clock.wallMs()),
  }
  await db.table(IMPORTS).put({ import: importId, start: DONE_AT, file, table, ...totals })
  await forget(db, importId, DONE_AT)
  await turn(env)
  return totals
}

/** Deletes the records of batches that start after `after`. */
async function forget(db: AnyDatabase, importId: string, after: number): Promise<void> {
  for (;;) {
    const query = { prefix: [importId] } as unknown as Query<never, never, never>
    const starts: number[] = []
    for await (const row of db.table(IMPORTS).query(query)) {
      const start = row['start'] as number
      if (start > after) starts.push(start)
      if (starts.length === DELETED_AT_ONCE) break
    }
    if (starts.length === 0) return
    await db.table(IMPORTS).deleteMany(starts.map((start) => [importId, start]))
  }
}
