/** Where backups go: a place for many, where each goes on from the one before, or a stream for one. */
import type { Blob } from '../../blob/blob.ts'
import { hex } from '../../core/bytes.ts'
import type { Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import type { Position } from '../../log/log.ts'
import type { SnapshotSource, StoreSnapshot } from '../../store/store.ts'
import { ArchiveWriter } from './archive.ts'
import { latest, readCatalog } from './catalog.ts'
import { HIDDEN_TABLES } from '../definitions.ts'
import { backupBytes, type BackupKind, type Manifest } from './manifest.ts'
import { removeLeftovers } from './leftovers.ts'
import { cancelled, type StageOptions } from './progress.ts'
import { readState } from './table-digests.ts'
import { takeBackup, type BaseReason, type Taken, type TakeOptions } from './take.ts'

export interface BackupOptions extends StageOptions {
  /** A folder for backups, made when it is missing. One at a time: another gets `FolderInUse`. */
  readonly to?: string | undefined
  /** In place of a folder: takes the backup as one archive, and is closed. */
  readonly stream?: WritableStream<Uint8Array> | undefined
  /** With a folder: makes a new base even where an increment would do. Default false. */
  readonly full?: boolean | undefined
  /** With a stream: the entries behind this position alone. Default: everything. */
  readonly after?: Position | undefined
}

/** One backup. */
export interface BackupInfo {
  readonly id: string
  readonly kind: BackupKind
  /** The database, as `db.identity` says. */
  readonly identity: string
  /** The position that an increment begins behind. */
  readonly from?: Position | undefined
  readonly position: Position
  /** When it was made, by the clock of the machine that made it. */
  readonly made: Date
  /** The clock of the log at its end: the highest of a proposer so far. */
  readonly time: Date
  readonly bytes: number
  readonly rows: number
  readonly tables: readonly { readonly name: string; readonly rows: number }[]
}

export interface BackupReport {
  /** What was made: one, or an increment and then a base. */
  readonly backups: readonly BackupInfo[]
  /** Why a base was made; undefined for an increment. */
  readonly base?: BaseReason | undefined
  readonly position: Position
  readonly bytes: number
}

/** A folder for backups that nobody else puts any in until it is released. */
export interface BackupFolder {
  readonly blob: Blob
  release(): Promise<void>
}

interface Source {
  readonly env: Env
  readonly store: SnapshotSource
  readonly openFolder: ((dir: string) => Promise<BackupFolder>) | undefined
}

/** Backs up one moment of `store`, whoever writes it meanwhile. */
export async function backupStore(source: Source, options: BackupOptions): Promise<BackupReport> {
  const { env, store, openFolder } = source
  const { to, stream, after } = options
  check(options)
  const madeMs = env.clock.wallMs()
  if (stream !== undefined) {
    return oneMoment(store, (reader) =>
      archive({ ...options, env, madeMs, reader, after: undefined }, stream, after),
    )
  }
  if (openFolder === undefined) {
    throw new HoldfastError('Unsupported', 'this database has no folders to put a backup in')
  }
  const folder = await openFolder(to ?? '')
  try {
    return await oneMoment(store, (reader) =>
      intoFolder({ ...options, env, madeMs, reader, sink: folder.blob }, folder.blob),
    )
  } finally {
    await folder.release()
  }
}

/** Goes on from the newest of this database: others may have theirs in the folder too. */
async function intoFolder(
  options: Omit<TakeOptions, 'after' | 'sequence'>,
  blob: Blob,
): Promise<BackupReport> {
  let isDamaged = false
  const catalog = await readCatalog(blob, () => (isDamaged = true))
  // What cannot be read may list any part, and may be what was made last.
  if (!isDamaged) await removeLeftovers(blob, catalog)
  const { manifests } = catalog
  const sequence = Math.max(0, ...manifests.map((manifest) => manifest.sequence)) + 1
  const identity = hex(readState(options.reader).identity)
  const own = manifests.filter((manifest) => manifest.identity === identity)
  const after = isDamaged || own.length === 0 ? undefined : latest(own).to
  const { manifests: made, base } = await takeBackup({ ...options, sequence, after })
  if (isDamaged) return reportOf({ manifests: made, base: 'damaged' })
  const isBesideOthers = after === undefined && manifests.length > 0
  return reportOf({ manifests: made, base: isBesideOthers ? 'other-history' : base })
}

function check({ to, stream, full, after }: BackupOptions): void {
  const rules: readonly (readonly [boolean, string])[] = [
    [(to === undefined) !== (stream === undefined), 'a backup goes to a folder or to a stream'],
    [to === undefined || isPath(to), '`to` is the path of a folder'],
    [
      stream === undefined || isFreeStream(stream),
      '`stream` is a WritableStream nobody has locked',
    ],
    [full === undefined || typeof full === 'boolean', '`full` is true or false'],
    [to === undefined || after === undefined, '`after` is for streams: a folder knows where it is'],
    [stream === undefined || full === undefined, '`full` is for folders: a stream gets everything'],
    [after === undefined || (Number.isSafeInteger(after) && after > 0), '`after` is a position'],
  ]
  const broken = rules.find(([holds]) => !holds)
  if (broken !== undefined) throw new HoldfastError('InvalidArgument', broken[1])
}

function isFreeStream(stream: unknown): boolean {
  return stream instanceof WritableStream && !stream.locked
}

function isPath(path: unknown): boolean {
  return typeof path === 'string' && path !== '' && !path.includes('\0')
}

async function oneMoment<T>(
  store: SnapshotSource,
  work: (reader: StoreSnapshot) => Promise<T>,
): Promise<T> {
  const snapshot = store.snapshot()
  try {
    return await work(snapshot)
  } finally {
    snapshot.close()
  }
}

async function archive(
  options: Omit<TakeOptions, 'sink'>,
  stream: WritableStream<Uint8Array>,
  after: Position | undefined,
): Promise<BackupReport> {
  const output = stream.getWriter()
  const stopped = whenAborted(options.signal)
  const writer = new ArchiveWriter(async (bytes) => {
    // Whoever reads it may have stopped reading, for ever.
    await Promise.race([output.ready, stopped])
    await Promise.race([output.write(bytes), stopped])
  })
  try {
    const mark = after === undefined ? undefined : { position: after }
    const taken = await takeBackup({ ...options, sink: writer, after: mark })
    await writer.finish()
    await Promise.race([output.close(), stopped])
    return reportOf(taken)
  } catch (cause) {
    // Whoever reads it must not take what came for a whole one; a stream that failed itself knows.
    output.abort(cause).catch(() => undefined)
    throw cause
  }
}

/** Rejects with `Cancelled` once the signal is aborted. */
function whenAborted(signal: AbortSignal | undefined): Promise<never> {
  const stopped = new Promise<never>((_, reject) => {
    const stop = (): void => reject(cancelled(signal?.reason))
    if (signal?.aborted === true) stop()
    signal?.addEventListener('abort', stop, { once: true })
  })
  // Whoever waits for it is told; nobody may.
  stopped.catch(() => undefined)
  return stopped
}

function reportOf({ manifests, base }: Taken): BackupReport {
  const backups = manifests.map(infoOf)
  const position = backups.at(-1)?.position ?? 0
  const bytes = backups.reduce((sum, backup) => sum + backup.bytes, 0)
  return { backups, ...(base === undefined ? {} : { base }), position, bytes }
}

export function infoOf(manifest: Manifest): BackupInfo {
  const { id, kind, identity, from, to, madeMs, tables } = manifest
  const visible = tables.filter((table) => table.id < HIDDEN_TABLES)
  return {
    id,
    kind,
    identity,
    ...(from === undefined ? {} : { from: from.position }),
    position: to.position,
    made: new Date(madeMs),
    time: new Date(to.timeMs),
    bytes: backupBytes(manifest),
    rows: visible.reduce((sum, { rows }) => sum + rows, 0),
    tables: visible.map(({ name, rows }) => ({ name, rows })).toSorted(byName),
  }
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1
}
