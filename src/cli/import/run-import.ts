/**
 * Imports a file into a table, exactly once by position, several batches on their way at a time.
 * server/import-operations.ts has the other half: each batch and the record of it are one commit.
 *
 *   file ─ reader ─ batches ─┬▶ importBatch ─┐
 *                            ├▶ importBatch ─┼▶ rejects, progress ─▶ importFinish
 *                            └▶ importBatch ─┘
 */
import { isHoldfastError } from '../../core/errors.ts'
import type { ImportBatchResult, ImportState, Rejected } from '../../server/import-operations.ts'
import type { AnyRow } from '../../server/any-rows.ts'
import { Interrupted } from '../exit-codes.ts'
import type { ReadRecord, RowReader } from '../formats/format.ts'
import type { Session } from '../session.ts'
import { cutBatches, firstGap, halves, type Batch } from './cut-batches.ts'
import { RejectsFile } from './rejects-file.ts'

export const GO_ON = 'run the same command again to go on'

export interface ImportRequest {
  readonly importId: string
  readonly table: string
  /** Absolute. */
  readonly file: string
  readonly reader: RowReader
  readonly mode: 'put' | 'insert'
  /** The field that gets the row's number in the file, counted from 1. */
  readonly rowNumber?: string | undefined
  /** Records read at the most. */
  readonly limit: number
  readonly rejectsFile: string
  /** Imports a file again that was imported whole. */
  readonly again: boolean
  readonly signal: AbortSignal
  readonly onProgress: (bytesRead: number, position: number) => void
}

export interface ImportSummary {
  /** Rows in the table by this import, all its runs together. */
  readonly imported: number
  readonly rejected: number
  /** Rows and rejects of earlier runs: they were not done again. */
  readonly skipped: number
  /** The import was finished before; nothing was done. */
  readonly alreadyDone: boolean
  readonly finished: Date
}

const IN_FLIGHT = 8

export async function runImport(session: Session, request: ImportRequest): Promise<ImportSummary> {
  const { importId, table, file } = request
  let state = await session.call('importState', { importId })
  if (request.again) {
    await session.call('importForget', { importId })
    state = { batches: [] }
  }
  if (state.finished !== undefined) {
    const { rows, rejected, finished } = state.finished
    await session.call('importFinish', { importId, file, table })
    return { imported: rows, rejected, skipped: rows + rejected, alreadyDone: true, finished }
  }
  const rejects = await RejectsFile.open(request.rejectsFile, state.batches.length === 0)
  try {
    await new Import(session, request, rejects, state).run()
  } finally {
    rejects.close()
  }
  if (request.signal.aborted) throw new Interrupted(GO_ON)
  const { rows, rejected, finished } = await session.call('importFinish', { importId, file, table })
  const skipped = state.batches.reduce((sum, batch) => sum + batch.rows + batch.rejected.length, 0)
  return { imported: rows, rejected, skipped, alreadyDone: false, finished }
}

class Import {
  readonly #session: Session
  readonly #request: ImportRequest
  readonly #rejects: RejectsFile
  readonly #state: ImportState
  readonly #sending = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined

  constructor(session: Session, request: ImportRequest, rejects: RejectsFile, state: ImportState) {
    this.#session = session
    this.#request = request
    this.#rejects = rejects
    this.#state = state
  }

  async run(): Promise<void> {
    const { reader, limit, signal } = this.#request
    const unwritten = this.#unwrittenRejects()
    const from = Math.min(firstGap(this.#state.batches), ...unwritten.keys())
    const batches = cutBatches(reader, {
      done: this.#state.batches,
      from,
      limit,
      onDone: (record) => {
        const lost = unwritten.get(record.position)
        if (lost !== undefined) this.#reject(record, lost.reason)
      },
    })
    try {
      for await (const batch of batches) {
        if (signal.aborted || this.#failure !== undefined) break
        this.#start(batch)
        if (this.#sending.size >= IN_FLIGHT) await Promise.race(this.#sending)
      }
    } finally {
      await Promise.all(this.#sending)
    }
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** Rejects of earlier runs that are recorded in the database and missing in the file. */
  #unwrittenRejects(): Map<number, Rejected> {
    const lost = new Map<number, Rejected>()
    for (const { rejected } of this.#state.batches) {
      for (const each of rejected) {
        if (!this.#rejects.has(each.position)) lost.set(each.position, each)
      }
    }
    return lost
  }

  #start(batch: Batch): void {
    const sending = this.#send(batch)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => this.#sending.delete(sending))
    this.#sending.add(sending)
  }

  async #send(batch: Batch, refused: readonly Rejected[] = []): Promise<void> {
    let result: ImportBatchResult
    try {
      result = await this.#call(batch, refused)
    } catch (error) {
      if (!isHoldfastError(error, 'TransactionTooLarge')) throw error
      const [only] = batch.records
      if (batch.records.length === 1 && only !== undefined && refused.length === 0) {
        const reason = `${error.code}: ${error.message}`
        await this.#send(batch, [{ position: only.position, reason }])
        return
      }
      const [first, second] = halves(batch)
      await this.#send(first)
      await this.#send(second)
      return
    }
    const doneTo = result.doneTo ?? batch.end
    const records = new Map(batch.records.map((record) => [record.position, record]))
    for (const { position, reason } of result.rejected) {
      const record = records.get(position)
      if (record !== undefined) this.#reject(record, reason)
    }
    this.#request.onProgress(batch.bytesRead, batch.end)
    if (doneTo < batch.end) {
      const rest = batch.records.filter(({ position }) => position >= doneTo)
      await this.#send({ ...batch, start: doneTo, records: rest })
    }
  }

  #call({ start, end, records }: Batch, refused: readonly Rejected[]): Promise<ImportBatchResult> {
    const { table, importId, mode } = this.#request
    const rows: { position: number; row: AnyRow }[] = []
    const unread: Rejected[] = [...refused]
    for (const record of records) {
      const { position } = record
      if (record.error !== undefined) unread.push({ position })
      else if (refused.length === 0) rows.push({ position, row: this.#rowOf(record.row, position) })
    }
    const batch = { table, importId, start, end, mode, rows, unread }
    return this.#session.call('importBatch', batch)
  }

  #rowOf(row: AnyRow, position: number): AnyRow {
    const { rowNumber } = this.#request
    if (rowNumber === undefined) return row
    const number = position + 1
    return { [rowNumber]: number, ...row, [rowNumber]: number }
  }

  #reject(record: ReadRecord, reason: string | undefined): void {
    this.#rejects.add(record, record.error ?? reason ?? 'refused')
  }
}
