/**
 * The store in a folder, on LMDB.
 *
 * `overlappingSync` is off: a commit is then readable only after its meta page is synced, so what
 * can be read is durable (S6), and measured it costs nothing.
 *
 * Invariant: one LMDB transaction is under way at a time. lmdb-js runs each of its transactions
 * whether or not the one before failed, so a full disk that gets room again would keep a later
 * batch and lose an earlier one. Batches that arrive meanwhile wait, and go together in the next:
 *
 *   write a ─┬─ open: joins until lmdb-js closes the transaction at the end of this turn
 *   write b ─┘        │
 *             commit, on lmdb-js's thread ── settles a, b ─┬─ transaction of c, d ── ...
 *   write c ── waits ──────────────────────────────────────┤
 *   write d ── waits ──────────────────────────────────────┘
 */
import { renameSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { getSystemErrorName } from 'node:util'
import { open as openLmdb, type RootDatabase, type Transaction } from 'lmdb'
import { compareBytes, EMPTY, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import {
  checkLmdbFile,
  dataFile,
  makeLockFile,
  removeFiles,
  syncFile,
  syncFolder,
  syncReadable,
} from './lmdb-file.ts'
import type { RangeOptions, Store, StoreBatch, StoreSnapshot, StoreStats, Visit } from './store.ts'

export interface LmdbOptions {
  /** The folder; it exists. */
  readonly dir: string
  /** Opens for reading only, beside a process that writes. Default false. */
  readonly readOnly?: boolean
  /** Switches syncing off: for the proof that the durability test can fail, and nothing else. */
  readonly unsafeNoSync?: boolean
}

/** What we use of lmdb-js beyond its typings. */
type Database = RootDatabase<Bytes, Bytes> & {
  lastSize: number
  readonly env: { readonly startWriting: StartWriting }
  readKey(source: Uint8Array, start: number, end: number): Bytes
  getBinaryFast(key: Bytes, options?: { transaction: Transaction }): Bytes | undefined
  resetReadTxn(): void
}

/** Starts the write thread; it calls back with 0 to 2 on its way, and with an error's number. */
type StartWriting = (address: number, callback: (status: number) => unknown) => void

interface Tree {
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}

interface DatabaseStats extends Tree {
  readonly entryCount: number
  readonly pageSize: number
  readonly lastPageNumber: number
  readonly free: Tree
}

interface Pair {
  readonly key: Bytes
  readonly value: Bytes
}

/**
 * Opens the store in `dir`. Throws `StoreTruncated` or `StoreCorrupt` before the file is mapped
 * when it is not whole (a missing page would kill the process by SIGBUS).
 */
export function openLmdbStore(options: LmdbOptions): Store {
  const path = dataFile(options.dir)
  const existed = checkLmdbFile(path)
  makeLockFile(path)
  try {
    if (options.readOnly !== true) {
      if (!existed) makeDataFile(options.dir, path)
      else if (options.unsafeNoSync !== true) syncFile(path)
      syncFolder(options.dir)
    }
    return new LmdbStore(openDatabase(path, options), path, options.readOnly === true)
  } catch (cause) {
    throw storageError(cause, 'the data file cannot be opened')
  }
}

function openDatabase(path: string, options: Omit<LmdbOptions, 'dir'>): Database {
  return openLmdb<Bytes, Bytes>({
    path,
    readOnly: options.readOnly === true,
    overlappingSync: false,
    // Otherwise lmdb-js trusts pages that were never synced, since this machine wrote them.
    safeRestore: true,
    noSync: options.unsafeNoSync === true,
    keyEncoding: 'binary',
    encoder: valueEncoder,
    noMemInit: false,
    maxReaders: 256,
    // The write thread begins with a batch while the rest of it is still being made.
    batchStartThreshold: 100,
  } as never) as unknown as Database
}

/**
 * Makes an empty data file under another name, and names it once it is synced: LMDB does not sync
 * its first pages, and a crash can leave a file that ends every process that opens it.
 */
function makeDataFile(dir: string, path: string): void {
  const aside = join(dir, 'data.new.mdb')
  removeFiles(aside)
  makeLockFile(aside)
  // Closing is done when the call returns: nothing was written.
  openDatabase(aside, {}).close().catch(ignore)
  syncFile(aside)
  removeFiles(`${aside}-lock`)
  renameSync(aside, path)
}

/** A batch on its way, and whom to tell. */
interface Waiting {
  readonly batch: StoreBatch
  readonly resolve: () => void
  readonly reject: (error: HoldfastError) => void
}

class LmdbStore implements Store {
  readonly durability = 'flushed'
  readonly #database: Database
  readonly #path: string
  readonly #isBesideWriter: boolean
  readonly #snapshots = new Set<LmdbSnapshot>()
  #failed: HoldfastError | undefined
  #closing: Promise<void> | undefined
  /** The transaction takes more batches: lmdb-js has not closed it yet. */
  #open = false
  /** Batches of the transaction under way. */
  #writing: Waiting[] = []
  /** Batches of the next one. */
  #waiting: Waiting[] = []
  /** Settles when lmdb-js is done with the transaction under way. */
  #commit: Promise<unknown> | undefined

  constructor(database: Database, path: string, isBesideWriter: boolean) {
    this.#database = database
    this.#path = path
    this.#isBesideWriter = isBesideWriter
    const keys = new Views()
    database.readKey = (source, start, end) => keys.of(source, start, end)
    database.on('beforecommit', () => (this.#open = false))
    this.#watchFailures()
  }

  get(key: Bytes): Bytes | undefined {
    if (this.#closing !== undefined) throw closed()
    return lookup(this.#database, key, undefined)
  }

  scan(range: RangeOptions, visit: Visit): number {
    if (this.#closing !== undefined) throw closed()
    return walk(this.#database, range, visit, undefined)
  }

  write(batch: StoreBatch): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(closed())
    if (this.#failed !== undefined) return Promise.reject(this.#failed)
    return new Promise<void>((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject })
      if (this.#open || this.#commit === undefined) this.#submit()
    })
  }

  snapshot(): StoreSnapshot {
    if (this.#closing !== undefined) throw closed()
    const snapshot = new LmdbSnapshot(this.#database, () => this.#snapshots.delete(snapshot))
    this.#snapshots.add(snapshot)
    // Opening beside a writer, LMDB takes the newest commit that the file shows: one that another
    // process is syncing, or was killed over. What the snapshot has is synced from here on (S6).
    if (this.#isBesideWriter) this.#syncFor(snapshot)
    return snapshot
  }

  #syncFor(snapshot: LmdbSnapshot): void {
    try {
      syncReadable(this.#path)
    } catch (cause) {
      snapshot.close()
      throw storageError(cause, 'what was read could not be synced')
    }
  }

  stats(): StoreStats {
    if (this.#closing !== undefined) throw closed()
    const stats = this.#database.getStats() as unknown as DatabaseStats
    // Every page is a meta page, in a tree, or free.
    const used = 2 + treePages(stats) + treePages(stats.free)
    const freePages = Math.max(0, stats.lastPageNumber + 1 - used)
    return {
      bytes: statSync(this.#path).size,
      keys: stats.entryCount,
      freeBytes: freePages * stats.pageSize,
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const snapshot of this.#snapshots) snapshot.close()
    while (this.#commit !== undefined && this.#failed === undefined) await this.#commit
    // A transaction that could not even begin never settles, and closing would wait for it for ever.
    const stuck = this.#failed !== undefined && (await this.#unsettled())
    if (!stuck) await this.#database.close()
  }

  async #unsettled(): Promise<boolean> {
    await Promise.resolve()
    return this.#commit !== undefined
  }

  /** Hands all that waits to lmdb-js, which puts it in one transaction. */
  #submit(): void {
    const database = this.#database
    const batches = this.#waiting
    this.#waiting = []
    let commit: Promise<unknown> | undefined
    try {
      for (const { batch } of batches) {
        const { keys, values } = batch
        for (let i = 0; i < keys.length; i++) {
          const value = values[i]
          const key = keys[i] as Bytes
          const settled = value === undefined ? database.remove(key) : database.put(key, value)
          if (settled === commit) continue
          // lmdb-js may give several promises for one transaction; the last one is followed.
          commit?.catch(ignore)
          commit = settled
        }
      }
    } catch (cause) {
      // Keys and values were checked before, so this is a bug; what was queued may be committed.
      this.#writing.push(...batches)
      this.#fail(storageError(cause, 'a batch could not be queued'))
      return
    }
    this.#follow(batches, commit)
  }

  #follow(batches: Waiting[], commit: Promise<unknown> | undefined): void {
    if (commit === undefined && this.#commit === undefined) {
      for (const { resolve } of batches) resolve()
      return
    }
    this.#writing.push(...batches)
    if (commit === undefined || this.#commit !== undefined) return
    this.#open = true
    this.#commit = commit.then(
      () => this.#committed(),
      (cause: unknown) => {
        this.#commit = undefined
        this.#fail(storageError(cause, 'a commit failed'))
      },
    )
  }

  #committed(): void {
    const done = this.#writing
    this.#writing = []
    this.#commit = undefined
    this.#open = false
    this.#database.resetReadTxn()
    for (const { resolve } of done) resolve()
    if (this.#waiting.length > 0) this.#submit()
  }

  #fail(error: HoldfastError): void {
    this.#failed ??= error
    const lost = [...this.#writing, ...this.#waiting]
    this.#writing = []
    this.#waiting = []
    for (const { reject } of lost) reject(this.#failed)
  }

  /**
   * Takes the number of a failure from the write thread before lmdb-js does: lmdb-js would print it
   * and reject a promise that nobody may hold; and of a transaction that could not begin it tells
   * nobody at all. Status 1 lets it settle what it can.
   */
  #watchFailures(): void {
    const { env } = this.#database
    const start = env.startWriting.bind(env)
    const watched: StartWriting = (address, callback) => {
      start(address, (status) => {
        if (status >= 0 && status <= 2) return callback(status)
        this.#fail(commitError(status, this.#path))
        // Its own promise of this commit, which nobody else may hold, is rejected next.
        this.#database.committed.then(ignore, ignore)
        return callback(1)
      })
    }
    Object.defineProperty(env, 'startWriting', { value: watched })
  }
}

class LmdbSnapshot implements StoreSnapshot {
  readonly #database: Database
  readonly #transaction: Transaction
  readonly #onClose: () => void
  #closed = false

  constructor(database: Database, onClose: () => void) {
    this.#database = database
    this.#onClose = onClose
    database.resetReadTxn()
    this.#transaction = database.useReadTransaction()
  }

  get(key: Bytes): Bytes | undefined {
    if (this.#closed) throw closed()
    return lookup(this.#database, key, this.#transaction)
  }

  scan(range: RangeOptions, visit: Visit): number {
    if (this.#closed) throw closed()
    return walk(this.#database, range, visit, this.#transaction)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#onClose()
    this.#transaction.done()
  }
}

function lookup(
  database: Database,
  key: Bytes,
  transaction: Transaction | undefined,
): Bytes | undefined {
  try {
    const bytes =
      transaction === undefined
        ? database.getBinaryFast(key)
        : database.getBinaryFast(key, { transaction })
    return bytes === undefined ? undefined : values.of(bytes, 0, database.lastSize)
  } catch (cause) {
    throw storageError(cause, 'a read failed')
  }
}

function walk(
  database: Database,
  range: RangeOptions,
  visit: Visit,
  transaction: Transaction | undefined,
): number {
  if (range.limit === 0 || isEmpty(range)) return 0
  const pairs = database.getRange(rangeOptions(range, transaction)) as unknown as Iterable<Pair>
  const iterator = pairs[Symbol.iterator]()
  let visited = 0
  try {
    for (;;) {
      const step = nextPair(iterator)
      if (step.done === true) return visited
      visited++
      if (visit(step.value.key, step.value.value) === false) return visited
    }
  } finally {
    // Lets go of the cursor, and with it of the read transaction, when the visitor stopped or threw.
    iterator.return?.()
  }
}

function nextPair(iterator: Iterator<Pair>): IteratorResult<Pair> {
  try {
    return iterator.next()
  } catch (cause) {
    throw storageError(cause, 'a scan failed')
  }
}

function isEmpty({ gte, lt }: RangeOptions): boolean {
  if (lt === undefined) return false
  // To lmdb-js an empty bound is none.
  return lt.length === 0 || (gte !== undefined && compareBytes(gte, lt) >= 0)
}

/** lmdb-js includes `start` and excludes `end`, in either direction, unless told otherwise. */
function rangeOptions(
  { gte, lt, limit, reverse }: RangeOptions,
  transaction: Transaction | undefined,
): Record<string, unknown> {
  const bounds =
    reverse === true
      ? {
          reverse: true,
          start: lt ?? LAST_KEY,
          exclusiveStart: lt !== undefined,
          end: least(gte),
          inclusiveEnd: true,
        }
      : { start: least(gte), ...(lt === undefined ? {} : { end: lt }) }
  return {
    ...bounds,
    ...(limit === undefined ? {} : { limit }),
    ...(transaction === undefined ? {} : { transaction }),
  }
}

/** A bound is given always: left to itself, lmdb-js begins at a key of its own choice. */
function least(gte: Bytes | undefined): Bytes {
  return gte === undefined || gte.length === 0 ? FIRST_KEY : gte
}

/** Not above any key of ours. */
const FIRST_KEY = new Uint8Array(1)
/** Not below any key of ours. */
const LAST_KEY = new Uint8Array(LIMITS.storeKeyBytes).fill(0xff)

/** Hands values through: `decode` gets lmdb-js's shared buffer and returns a view of it. */
const valueEncoder = {
  encode: (value: Bytes): Bytes => (value.length === 0 ? EMPTY : value),
  decode(bytes: Bytes, size?: number | { readonly end?: number }): Bytes {
    return typeof size === 'number' ? values.of(bytes, 0, size) : bytes
  },
  needsStableBuffer: false,
}

/**
 * Views of lmdb-js's shared buffers by their length. What is handed out is borrowed, so a view of the
 * same bytes can be handed out again: making one costs as much as reading a row.
 */
class Views {
  #source: Uint8Array | undefined
  #start = 0
  #views: Bytes[] = []

  of(source: Uint8Array, start: number, end: number): Bytes {
    if (end - start > VIEW_BYTES_MAX) return source.subarray(start, end)
    if (source !== this.#source || start !== this.#start) {
      this.#source = source
      this.#start = start
      this.#views = []
    }
    return (this.#views[end] ??= source.subarray(start, end))
  }
}

/** Longer ones are rare, and would make the list of views long. */
const VIEW_BYTES_MAX = 4096
const values = new Views()

const ignore = (): void => undefined

function treePages(tree: Tree): number {
  return tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages
}

/** What the write thread's number means: the system's are positive, LMDB's are below -30,000. */
function commitError(status: number, path: string): HoldfastError {
  const name = status > 0 ? getSystemErrorName(-status) : (LMDB_ERRORS[status] ?? 'unknown')
  const cause = new Error(`${name} (${status})`)
  // LMDB says EIO where the disk took a part of what it wrote, as a disk does when it gets full.
  if (name === 'EIO' && isFull(path)) {
    return new HoldfastError('StorageFull', 'a commit failed: the disk is full', { cause })
  }
  return storageError(cause, 'a commit failed')
}

/** Whether the file system of `path` has less room left than a write of LMDB's may take. */
function isFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize < WRITE_BYTES_MAX
  } catch {
    return false
  }
}

/** LMDB gathers up to 64 pages for one write; a larger value is written whole. */
const WRITE_BYTES_MAX = 1024 * 1024

const LMDB_ERRORS: Readonly<Record<number, string>> = {
  [-30797]: 'MDB_PAGE_NOTFOUND',
  [-30796]: 'MDB_CORRUPTED',
  [-30795]: 'MDB_PANIC',
  [-30794]: 'MDB_VERSION_MISMATCH',
  [-30793]: 'MDB_INVALID',
  [-30792]: 'MDB_MAP_FULL',
  [-30788]: 'MDB_TXN_FULL',
  [-30782]: 'MDB_BAD_TXN',
  [-30779]: 'MDB_PROBLEM',
}

/** LMDB's and the system's error numbers, as our codes. */
function storageError(cause: unknown, what: string): HoldfastError {
  if (cause instanceof HoldfastError) return cause
  const text = cause instanceof Error ? cause.message : String(cause)
  const { code = '' } = cause as { code?: string | number }
  if (/ENOSPC|EDQUOT|No space left|quota exceeded/i.test(`${code} ${text}`)) {
    return new HoldfastError('StorageFull', `${what}: the disk is full`, { cause })
  }
  if (/MDB_CORRUPTED|MDB_INVALID|MDB_PAGE_NOTFOUND|MDB_BAD_TXN|MDB_VERSION/.test(text)) {
    return new HoldfastError('StoreCorrupt', `${what}: ${text}`, { cause })
  }
  if (/EACCES|EROFS|Permission denied|Read-only file system/i.test(`${code} ${text}`)) {
    return new HoldfastError('FolderReadOnly', `${what}: ${text}`, { cause })
  }
  return new HoldfastError('StorageFailed', `${what}: ${text}`, { cause })
}

function closed(): HoldfastError {
  return new HoldfastError('Closed', 'the store is closed')
}
