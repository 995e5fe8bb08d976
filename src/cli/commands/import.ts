/** `holdfast import`: a file into a table, exactly once, also when it has to be run again. */
import { systemEnv } from '../../open.ts'
import { EXIT, Interrupted, UsageError } from '../exit-codes.ts'
import type { Format, RowReader } from '../formats/format.ts'
import { parseIndexes } from '../index-specs.ts'
import { importIdOf } from '../import/import-id.ts'
import { absolute, fileError, openImportFile, prepareTable } from '../import/prepare-import.ts'
import { GO_ON, runImport, type ImportSummary } from '../import/run-import.ts'
import { count, startProgress, took } from '../progress.ts'
import { withSession } from '../open-session.ts'
import type { Session } from '../session.ts'
import type { Shell } from '../shell.ts'

export interface ImportOptions {
  readonly format?: Format | undefined
  readonly key?: readonly string[] | undefined
  readonly rowNumber?: string | undefined
  readonly create?: boolean | undefined
  /** `name=field` or `name=field,field`. */
  readonly index?: readonly string[] | undefined
  readonly limit?: number | undefined
  readonly mode?: 'put' | 'insert' | undefined
  readonly rejects?: string | undefined
  readonly progress?: boolean | undefined
  readonly again?: boolean | undefined
}

export async function importCommand(
  shell: Shell,
  table: string,
  file: string,
  options: ImportOptions,
): Promise<number> {
  const create = options.create === true
  if (create && keyOf(options).length === 0) {
    throw new UsageError('--create needs the key: --key FIELD or --row-number FIELD')
  }
  const startMs = systemEnv.clock.monotonicMs()
  const summary = await withSession(
    shell,
    (session) => importFile(shell, session, table, file, options),
    { create },
  )
  await report(shell, table, summary, systemEnv.clock.monotonicMs() - startMs)
  return EXIT.ok
}

interface FileSummary extends ImportSummary {
  readonly file: string
  readonly rejectsFile: string
}

/** The import itself, with its progress bar, in a session that is open. */
export async function importFile(
  shell: Shell,
  session: Session,
  table: string,
  file: string,
  options: ImportOptions,
): Promise<FileSummary> {
  const path = absolute(file)
  const { rowNumber, mode = 'put', limit = Number.POSITIVE_INFINITY } = options
  const reader = await openImportFile(path, { format: options.format })
  const key = keyOf(options)
  const indexes = parseIndexes('--index', options.index ?? [])
  await prepareTable(session, { table, create: options.create === true, key, indexes })
  const importId = await importIdOf(path, [table, reader.format, rowNumber, limit, mode])
  const rejectsFile = absolute(options.rejects ?? `${file}.rejects.ndjson`)
  const rows = rowsExpected(reader, limit)
  const progress = startProgress(shell, {
    title: table,
    total: rows ?? reader.bytesTotal,
    show: options.progress,
    nowMs: () => systemEnv.clock.monotonicMs(),
  })
  try {
    const summary = await runImport(session, {
      importId,
      table,
      file: path,
      reader,
      mode,
      rowNumber,
      limit,
      rejectsFile,
      again: options.again === true,
      signal: shell.signal,
      onProgress: (bytesRead, position) =>
        progress.update(rows === undefined ? bytesRead : position, position),
    })
    return { ...summary, file: path, rejectsFile }
  } catch (error) {
    // Whatever was under way then says of itself only that it was cancelled.
    throw shell.signal.aborted ? new Interrupted(GO_ON) : fileError(path, error)
  } finally {
    progress.stop()
  }
}

function rowsExpected({ rowsTotal }: RowReader, limit: number): number | undefined {
  if (rowsTotal !== undefined) return Math.min(rowsTotal, limit)
  return limit === Number.POSITIVE_INFINITY ? undefined : limit
}

async function report(
  shell: Shell,
  table: string,
  summary: FileSummary,
  tookMs: number,
): Promise<void> {
  const { imported, rejected, skipped, alreadyDone, rejectsFile, file, finished } = summary
  if (alreadyDone) {
    shell.say(`${file} was imported into ${table} before, at ${finished.toISOString()}:`)
    shell.say(`${count(imported)} rows, ${count(rejected)} rejected. --again imports it again.`)
  } else {
    const perSecond = count(((imported + rejected - skipped) * 1000) / Math.max(1, tookMs))
    shell.say(
      `${table}: ${count(imported)} rows imported, ${count(rejected)} rejected, ` +
        `${count(skipped)} skipped (done before), in ${took(tookMs)} (${perSecond} rows/s)`,
    )
    if (rejected > 0) shell.say(`rejected: ${rejectsFile}`)
  }
  if (!shell.json) return
  await shell.outJson({
    table,
    file,
    imported,
    rejected,
    skipped,
    alreadyDone,
    rejectsFile: rejected > 0 ? rejectsFile : null,
    ms: Math.round(tookMs),
  })
}

function keyOf({ key = [], rowNumber }: ImportOptions): readonly string[] {
  return key.length === 0 && rowNumber !== undefined ? [rowNumber] : key
}
