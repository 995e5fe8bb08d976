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
const ROWS_A_TURN = 512

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
    // Asking changes nothing.
    importState: async ({ importId }) =>
      isDeclared(db) ? readState(db, importId) : { finished: undefined, batches: [] },
    importBatch: async (batch) => {
      await declare(db)
      return importBatch(db, env, line, batch)
    },
    importFinish: async ({ importId, file, table }) => {
      await declare(db)
      return finish(db, env, importId, file, table)
    },
    importForget: async ({ importId }) => {
      await declare(db)
      await forget(db, importId, Number.NEGATIVE_INFINITY)
      return null
    },
  }
}

function isDeclared(db: AnyDatabase): boolean {
  return db.stats().tables.some(({ name }) => name === IMPORTS)
}

async function declare(db: AnyDatabase): Promise<void> {
  if (isDeclared(db)) return
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

function importBatch(
  db: AnyDatabase,
  env: Env,
  line: Line,
  batch: ImportBatch,
): Promise<ImportBatchResult> {
  return line.join((next) =>
    db.transact(async (tx) => {
      const result = await writeBatch(tx, env, batch)
      next()
      return result
    }),
  )
}

type AnyTransaction = Parameters<Parameters<AnyDatabase['transact']>[0]>[0]

async function writeBatch(
  tx: AnyTransaction,
  env: Env,
  { table, importId, start, end, mode, rows, unread }: ImportBatch,
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
  for (const [i, { position, row }] of rows.entries()) {
    if (i % ROWS_A_TURN === ROWS_A_TURN - 1) await turn(env)
    const reason = await tryRow(target, mode, row)
    if (reason === undefined) written++
    else rejected.push({ position, reason })
  }
  rejected.sort((a, b) => a.position - b.position)
  const record = { import: importId, start, end, rows: written, rejected }
  await progress.put(record as unknown as Record<string, Value>)
  return { rows: written, rejected }
}

/** Why the row cannot be taken, of which nothing is left then; undefined when it is. */
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
