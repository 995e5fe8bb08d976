/** Backups, for those who have no database open: made beside whoever has, listed, proved, restored. */
import type { Blob } from './blob/blob.ts'
import { HoldfastError } from './core/errors.ts'
import {
  fillFolder,
  openBackups,
  openBlobs,
  openStoreToRead,
  systemEnv,
  withScratch,
} from './open.ts'
import { operations } from './server/operations.ts'
import { copyTable, type TableCalls, type TableCopied } from './server/copy-table.ts'
import { readArchives } from './shard/backup/archive.ts'
import {
  chainTo,
  partsOfBlob,
  readCatalog,
  type Chain,
  type Target,
} from './shard/backup/catalog.ts'
import {
  backupStore,
  infoOf,
  type BackupInfo,
  type BackupOptions,
  type BackupReport,
} from './shard/backup/destinations.ts'
import type { StageOptions } from './shard/backup/progress.ts'
import { fillStore, foundAnew, type Founded } from './shard/backup/restore.ts'
import { verify, type VerifyReport } from './shard/backup/verify.ts'
import type { Database } from './table/database.ts'
import type { TableDefinitions } from './table/schema.ts'

/** The folder with backups, or archives one after another, as `stream` took them. */
export type BackupSource = string | AsyncIterable<Uint8Array>

export interface PointInTime {
  /**
   * The moment to go back to: a position, or a time by the clocks of the nodes that wrote, of which
   * the log knows the highest so far. Default: the end of the backup made last.
   */
  readonly at?: Date | number | undefined
  /**
   * The end of this backup, or with `at` a moment on the way there: for another history than that of
   * the backup made last, as that before a restore.
   */
  readonly backup?: string | undefined
}

export interface RestoreOptions extends PointInTime, StageOptions {
  readonly from: BackupSource
  /** The folder to restore into: missing, or without a database. */
  readonly dir: string
}

export interface RestoreTableOptions extends PointInTime, StageOptions {
  readonly from: BackupSource
  readonly table: string
  /** The name that it gets; no table has it yet. */
  readonly as: string
  /** Where there is room for all of the backup for a while. Default: the system's folder for that. */
  readonly scratch?: string | undefined
}

export interface VerifyBackupOptions extends StageOptions {
  readonly from: BackupSource
  /** The backup that is restored. Default: the one made last. */
  readonly backup?: string | undefined
  /** Where there is room for the restored database. Default: the system's folder for that. */
  readonly scratch?: string | undefined
}

/**
 * Backs up the database in `dir`, whoever has it open.
 *
 * @throws HoldfastError `FolderNotFound`; `FolderInUse` while another backup goes into the same
 *   folder; `StoreCorrupt` or `EntryCorrupt` for what is damaged
 */
export async function backup(
  options: BackupOptions & { readonly dir: string },
): Promise<BackupReport> {
  const store = openStoreToRead(options?.dir)
  try {
    return await backupStore({ env: systemEnv, store, openFolder: openBackups }, options)
  } finally {
    await store.close()
  }
}

/** The backups in a folder, in the order of their positions. Throws `BackupCorrupt`. */
export async function listBackups(options: { readonly from: string }): Promise<BackupInfo[]> {
  const { manifests } = await readCatalog(await openBlobs(options?.from, true))
  return manifests.map(infoOf)
}

/**
 * Restores into an empty folder. Interrupted, it can be run again; until it ends `open` refuses the
 * folder with `RestoreUnfinished`. The restored database is another one: it has its own identity, and
 * tokens and cursors of the old one mean nothing to it.
 *
 * @throws HoldfastError `BackupCorrupt`; `AlreadyExists` for a folder with a database; `NotFound`
 *   when no backup leads to the moment asked for
 */
export async function restore(options: RestoreOptions): Promise<Founded> {
  const target = targetOf(options)
  const { from, dir } = options
  // What can be known before anything is touched is.
  const opened = typeof from === 'string' ? await openSource(from, target) : undefined
  return fillFolder(dir, async (store, aside) => {
    const source = opened ?? (await spooled(from, aside, target))
    await fillStore({ ...options, ...source, env: systemEnv, store })
    return foundAnew(systemEnv, store)
  })
}

/**
 * Restores one table into an open database, under another name, with its key and indexes. Interrupted,
 * it can be run again, and goes on.
 *
 * @throws HoldfastError `UnknownTable` when the backup has no such table; `AlreadyExists` when the
 *   database has one of that name
 */
export async function restoreTable<T extends TableDefinitions>(
  options: RestoreTableOptions & { readonly into: Database<T> },
): Promise<TableCopied> {
  const { calls } = operations(options.into, systemEnv)
  const context = { signal: options.signal ?? new AbortController().signal }
  return restoreTableBy(options, (method, params) => calls[method](params, context))
}

/** As `restoreTable`, into whatever answers the calls. */
export async function restoreTableBy(
  options: RestoreTableOptions,
  call: TableCalls,
): Promise<TableCopied> {
  const target = targetOf(options)
  const { from, scratch } = options
  return withScratch(scratch, async (store, aside) => {
    const source =
      typeof from === 'string' ? await openSource(from, target) : await spooled(from, aside, target)
    await fillStore({ ...options, ...source, env: systemEnv, store })
    return copyTable({ ...options, env: systemEnv, store, call })
  })
}

/**
 * Proves the backups in a folder: every part is read, the newest state is restored into a folder for
 * the time being and checked to the last key, and its tables are compared with what was backed up.
 *
 * @throws HoldfastError `BackupCorrupt` that names what is damaged or missing
 */
export async function verifyBackup(options: VerifyBackupOptions): Promise<VerifyReport> {
  const target = targetOf({ from: options?.from, backup: options?.backup })
  const { from, scratch } = options
  return withScratch(scratch, async (store, aside) => {
    const blob = typeof from === 'string' ? await openBlobs(from, true) : await spool(from, aside)
    const catalog = await readCatalog(blob)
    const read = partsOfBlob(blob)
    return verify({ ...options, env: systemEnv, catalog, read, scratch: store, target })
  })
}

type Source = { readonly chain: Chain; readonly read: ReturnType<typeof partsOfBlob> }

async function openSource(from: string, target: Target): Promise<Source> {
  return sourceOf(await openBlobs(from, true), target)
}

async function spooled(from: BackupSource, aside: string, target: Target): Promise<Source> {
  return sourceOf(await spool(from as AsyncIterable<Uint8Array>, aside), target)
}

async function sourceOf(blob: Blob, target: Target): Promise<Source> {
  return { chain: chainTo(await readCatalog(blob), target), read: partsOfBlob(blob) }
}

/** A stream tells what it has at its end, and is read once: it is kept until the work is done. */
async function spool(from: AsyncIterable<Uint8Array>, aside: string): Promise<Blob> {
  const blob = await openBlobs(aside, false)
  await readArchives(from, blob)
  return blob
}

function targetOf(options: PointInTime & { readonly from: BackupSource }): Target {
  const { at, backup } = checked(options)
  if (at === undefined) return { backup }
  if (typeof at === 'number') {
    if (Number.isSafeInteger(at) && at > 0) return { backup, position: at }
  } else {
    const timeMs = at instanceof Date ? at.getTime() : Number.NaN
    if (Number.isFinite(timeMs)) return { backup, timeMs }
  }
  throw new HoldfastError('InvalidArgument', '`at` is a position, a whole number from 1, or a Date')
}

function checked<T extends { readonly from: BackupSource }>(options: T): T {
  const { from } = (options ?? {}) as { readonly from?: Partial<AsyncIterable<unknown>> | string }
  if (typeof from === 'string' || typeof from?.[Symbol.asyncIterator] === 'function') return options
  throw new HoldfastError(
    'InvalidArgument',
    '`from` is the path of a folder, or an async iterable of bytes',
  )
}
