/** `holdfast backup`: create, list, verify. */
import { resolve } from 'node:path'
import type { Writable } from 'node:stream'
import {
  backup,
  listBackups,
  verifyBackup,
  type BackupInfo,
  type BackupOptions,
  type BackupReport,
} from '../../index.ts'
import { systemEnv } from '../../open.ts'
import { EXIT, UsageError } from '../exit-codes.ts'
import { LocalSession } from '../open-session.ts'
import { count, size, took } from '../progress.ts'
import type { Shell } from '../shell.ts'
import { withStages } from '../stage-progress.ts'
import { printTable } from '../text-table.ts'

/** Stands for stdin or stdout. */
export const STREAM = '-'

export interface BackupCreateOptions {
  readonly to: string
  readonly full?: boolean | undefined
  readonly after?: number | undefined
  readonly progress?: boolean | undefined
}

const REASONS: Readonly<Record<NonNullable<BackupReport['base']>, string>> = {
  first: 'everything',
  asked: 'everything, as asked',
  trimmed: 'everything: entries since the last backup are no longer kept',
  'other-history': 'everything: the last backup is of another history',
  damaged: 'everything: a manifest there is damaged; holdfast backup list names it',
}

export async function backupCreateCommand(
  shell: Shell,
  { to, full, after, progress }: BackupCreateOptions,
): Promise<number> {
  const isStream = to === STREAM
  if (isStream && full === true) throw new UsageError('a stream gets everything: leave out --full')
  if (!isStream && after !== undefined) {
    throw new UsageError('--after is for a stream: a folder knows what it has')
  }
  if (isStream && shell.stdout.isTTY) {
    throw new UsageError('a backup is no text: send it to a file, as in holdfast ... > backup.hfb')
  }
  const startMs = systemEnv.clock.monotonicMs()
  const report = await withStages(shell, progress, (onProgress) => {
    const common = { onProgress, signal: shell.signal }
    return create(
      shell,
      isStream
        ? { ...common, stream: streamTo(shell.stdout), after }
        : { ...common, to: resolve(to), full },
    )
  })
  const ms = Math.round(systemEnv.clock.monotonicMs() - startMs)
  if (shell.json && !isStream) await shell.outJson({ ...report, to: resolve(to), ms })
  else describe(shell, report, ms)
  return EXIT.ok
}

/** By the database that is open here already, or beside whoever has the folder open. */
function create(shell: Shell, options: BackupOptions): Promise<BackupReport> {
  const { session } = shell
  if (session instanceof LocalSession) return session.db.backup(options)
  return backup({ ...options, dir: shell.dir })
}

function describe(
  shell: Shell,
  { backups, base, position, bytes }: BackupReport,
  ms: number,
): void {
  const what =
    base === undefined ? `positions above ${count(backups[0]?.from ?? 0)}` : REASONS[base]
  shell.say(`backed up to position ${count(position)}: ${what}; ${size(bytes)} in ${took(ms)}`)
}

/** Resolves a write once the process took it; stdout itself stays open. */
function streamTo(output: Writable): WritableStream<Uint8Array> {
  return new WritableStream({
    write: (bytes) =>
      new Promise<void>((done, failed) => {
        output.write(bytes, (error) => {
          if (error instanceof Error) failed(error)
          else done()
        })
      }),
  })
}

export async function backupListCommand(shell: Shell, { from }: { from: string }): Promise<number> {
  const backups = await listBackups({ from: resolve(from) })
  if (shell.json) {
    for (const backup of backups) await shell.outJson(backup)
    return EXIT.ok
  }
  if (backups.length === 0) await shell.out(`no backups in ${resolve(from)}`)
  await printTable(shell, backups.map(cells))
  return EXIT.ok
}

function cells({ id, kind, from, position, made, time, bytes, rows }: BackupInfo) {
  return { id, kind, from, position, made, log: time, rows, size: size(bytes) }
}

export interface BackupVerifyOptions {
  readonly from: string
  readonly backup?: string | undefined
  readonly scratch?: string | undefined
  readonly progress?: boolean | undefined
}

export async function backupVerifyCommand(
  shell: Shell,
  { from, backup, scratch, progress }: BackupVerifyOptions,
): Promise<number> {
  const source = from === STREAM ? process.stdin : resolve(from)
  const report = await withStages(shell, progress, (onProgress) =>
    verifyBackup({ from: source, backup, scratch, onProgress, signal: shell.signal }),
  )
  if (shell.json) {
    await shell.outJson(report)
    return EXIT.ok
  }
  const { parts, bytes, chain, position, rows, indexEntries, tables } = report
  await shell.out(`${shell.paint.green('ok')}  ${report.backup}, at position ${count(position)}`)
  await shell.out(`read ${count(parts)} parts, ${size(bytes)}, each against its digest`)
  await shell.out(`restored ${count(chain.length)} of ${count(report.backups)} backups`)
  await shell.out(
    `compared ${count(tables.length)} tables, hidden ones included; ` +
      `checked ${count(rows)} rows and ${count(indexEntries)} index entries`,
  )
  return EXIT.ok
}
