/** `holdfast export`: a table, as of one moment, to a file that gives the same rows back. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { HoldfastError } from '../../core/errors.ts'
import { systemEnv } from '../../open.ts'
import { EXIT, Interrupted } from '../exit-codes.ts'
import { ColumnPlan } from '../formats/column-plan.ts'
import {
  detectFormat,
  FormatError,
  type Format,
  type Row,
  type WriteSummary,
} from '../formats/format.ts'
import { openReader, openWriter } from '../formats/open.ts'
import { count, size, startProgress, took, type Progress } from '../progress.ts'
import { withSession } from '../open-session.ts'
import type { Session } from '../session.ts'
import type { Shell } from '../shell.ts'

export interface ExportOptions {
  readonly format?: Format | undefined
  readonly progress?: boolean | undefined
}

interface Job {
  readonly session: Session
  readonly table: string
  readonly target: string | Writable
  readonly format: Format
  readonly progress: Progress
  readonly signal: AbortSignal
}

export async function exportCommand(
  shell: Shell,
  table: string,
  file: string,
  options: ExportOptions,
): Promise<number> {
  const isStream = file === '-'
  const target = isStream ? shell.stdout : resolve(file)
  const format = options.format ?? (isStream ? 'ndjson' : formatOf(file))
  const startMs = systemEnv.clock.monotonicMs()
  const summary = await withSession(shell, async (session) => {
    const { tables } = await session.call('stats', {})
    const total = tables.find(({ name }) => name === table)?.rows ?? 0
    const progress = startProgress(shell, {
      title: table,
      total,
      show: options.progress,
      nowMs: () => systemEnv.clock.monotonicMs(),
    })
    try {
      return await run({ session, table, target, format, progress, signal: shell.signal })
    } catch (error) {
      throw exportError(file, format, error)
    } finally {
      progress.stop()
    }
  })
  const tookMs = systemEnv.clock.monotonicMs() - startMs
  const { rows, bytes } = summary
  if (shell.json && !isStream) {
    await shell.outJson({ table, file: target, format, rows, bytes, ms: Math.round(tookMs) })
  } else {
    shell.say(`${table}: ${count(rows)} rows exported, ${size(bytes)}, in ${took(tookMs)}`)
  }
  return EXIT.ok
}

/** CSV and Parquet need to know all columns first: rows wait in a file, of the same snapshot. */
async function run(job: Job): Promise<WriteSummary> {
  const { format, target, progress } = job
  if (format === 'ndjson' || format === 'json') {
    return writeAll(job, target, format, rowsOf(job, progress))
  }
  const place = typeof target === 'string' ? dirname(target) : tmpdir()
  const folder = await mkdtemp(join(place, '.holdfast-export-'))
  try {
    const spool = join(folder, 'rows.ndjson')
    const plan = new ColumnPlan()
    await writeAll(job, spool, 'ndjson', planned(rowsOf(job, progress), plan))
    return await writeAll(job, target, format, spooled(spool), plan)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function writeAll(
  { signal }: Job,
  target: string | Writable,
  format: Format,
  rows: AsyncIterable<readonly Row[]>,
  plan?: ColumnPlan,
): Promise<WriteSummary> {
  const needsColumns = format === 'csv' || format === 'parquet'
  const columns = needsColumns ? plan?.columns(format) : undefined
  const writer = await openWriter(target, { format, columns })
  try {
    for await (const some of rows) {
      if (signal.aborted) throw new Interrupted('nothing was written; run it again')
      await writer.write(some)
    }
    return await writer.close()
  } catch (error) {
    await writer.abort()
    throw error
  }
}

async function* rowsOf(
  { session, table }: Job,
  progress: Progress,
): AsyncGenerator<readonly Row[]> {
  let done = 0
  for await (const rows of session.stream('rows', { table, query: {}, where: [] })) {
    done += rows.length
    yield rows as readonly Row[]
    progress.update(done, done)
  }
}

async function* planned(
  chunks: AsyncIterable<readonly Row[]>,
  plan: ColumnPlan,
): AsyncGenerator<readonly Row[]> {
  for await (const rows of chunks) {
    plan.add(rows)
    yield rows
  }
}

async function* spooled(path: string): AsyncGenerator<readonly Row[]> {
  const reader = await openReader(path, { format: 'ndjson' })
  for await (const { records } of reader.rows()) {
    yield records.map((record) => {
      if (record.error === undefined) return record.row
      throw new FormatError(record.error)
    })
  }
}

function formatOf(file: string): Format {
  const format = detectFormat(file)
  if (format !== undefined) return format
  throw new HoldfastError(
    'FileFormat',
    `the name ${file} does not end in .csv, .tsv, .ndjson, .jsonl, .json or .parquet`,
  )
}

function exportError(file: string, format: Format, error: unknown): unknown {
  if (error instanceof FormatError) {
    const details = { file, format }
    return new HoldfastError('NotRepresentable', `${file}: ${error.message}`, {
      cause: error,
      details,
    })
  }
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC') return fileError('StorageFull', file, error)
  return FILE_FAULTS.has(code) ? fileError('FileFormat', file, error) : error
}

/** What is wrong with the place that was named. */
const FILE_FAULTS: ReadonlySet<unknown> = new Set([
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'EACCES',
  'EPERM',
  'EROFS',
])

function fileError(
  code: 'StorageFull' | 'FileFormat',
  file: string,
  cause: unknown,
): HoldfastError {
  return new HoldfastError(code, `${file} cannot be written: ${(cause as Error).message}`, {
    cause,
    details: { file, next: 'name a file that can be written, in a folder that is there' },
  })
}
