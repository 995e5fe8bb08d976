/**
 * LMDB's tree in `data.mdb`: what the store in a folder folds its journal into (lmdb-store.ts).
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
import { renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { open as openLmdb, type RootDatabase, type Transaction } from 'lmdb'
import { compareBytes, copied, EMPTY, type Bytes } from '../core/bytes.ts'
import type { HoldfastError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { commitError, diskFull, freeOnDisk, storageError } from './lmdb-errors.ts'
import {
  checkLmdbFile,
  dataFile,
  makeLockFile,
  removeFiles,
  syncFile,
  syncFolder,
  syncReadable,
} from './lmdb-file.ts'
import {
  OWN_SPACE,
  type RangeOptions,
  type StoreBatch,
  type StoreReader,
  type StoreStats,
  type Visit,
  storeClosed,
} from './store.ts'

export interface LmdbTreeOptions {
  /** The folder; it exists. */
  readonly dir: string
  /** Opens for reading only, beside a process that writes. Default false. */
  readonly readOnly?: boolean
  /** Switches syncing off: for the proof that the durability test can fail, and nothing else. */
  readonly unsafeNoSync?: boolean
}

/** As a StoreReader, with the one value of its own that comes and goes with the data. */
export interface LmdbReader extends StoreReader {
  /** What was last written as `mark`, or undefined: owned bytes. */
  mark(): Bytes | undefined
}

export interface LmdbSnapshot extends LmdbReader {
  close(): void
}

/** As a Store, and resolves once what was written is synced. */
export interface LmdbTree extends LmdbReader {
  /** `mark` takes effect in the same transaction. */
  write(batch: StoreBatch, mark?: Bytes): Promise<void>
  snapshot(): LmdbSnapshot
  stats(): StoreStats
  close(): Promise<void>
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

interface TreeStats {
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}

interface DatabaseStats extends TreeStats {
  readonly pageSize: number
  readonly lastPageNumber: number
  readonly free: TreeStats
}

interface Pair {
  readonly key: Bytes
  readonly value: Bytes
}

/**
 * Opens the tree in `dir`. Throws `StoreTruncated` or `StoreCorrupt` before the file is mapped
 * when it is not whole (a missing page would kill the process by SIGBUS).
 */
export function openLmdbTree(options: LmdbTreeOptions): LmdbTree {
  const path = dataFile(options.dir)
  const existed = checkLmdbFile(path)
  makeLockFile(path)
  try {
    if (options.readOnly !== true) {
      if (!existed) makeDataFile(options.dir, path)
      else if (options.unsafeNoSync !== true) syncFile(path)
      syncFolder(options.dir)
    }
    return new Tree(openDatabase(path, options), path, options.readOnly === true)
  } catch (cause) {
    throw storageError(cause, 'the data file cannot be opened')
  }
}

function openDatabase(path: string, options: Omit<LmdbTreeOptions, 'dir'>): Database {
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
  readonly mark: Bytes | undefined
  readonly resolve: () => void
  readonly reject: (error: HoldfastError) => void
}

class Tree implements LmdbTree {
  readonly #database: Database
  readonly #path: string
  readonly #isBesideWriter: boolean
  readonly #snapshots = new Set<TreeSnapshot>()
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
    if (this.#closing !== undefined) throw storeClosed()
    return lookup(this.#database, key, undefined)
  }

  scan(range: RangeOptions, visit: Visit): number {
    if (this.#closing !== undefined) throw storeClosed()
    return walk(this.#database, range, visit, undefined)
  }

  mark(): Bytes | undefined {
    return copied(this.get(MARK_KEY))
  }

  write(batch: StoreBatch, mark?: Bytes): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(storeClosed())
    if (this.#failed !== undefined) return Promise.reject(this.#failed)
    return new Promise<void>((resolve, reject) => {
      this.#waiting.push({ batch, mark, resolve, reject })
      if (this.#open || this.#commit === undefined) this.#submit()
    })
  }

  snapshot(): LmdbSnapshot {
    if (this.#closing !== undefined) throw storeClosed()
    const snapshot = new TreeSnapshot(this.#database, () => this.#snapshots.delete(snapshot))
    this.#snapshots.add(snapshot)
    // Opening beside a writer, LMDB takes the newest commit that the file shows: one that another
    // process is syncing, or was killed over. What the snapshot has is synced from here on (S6).
    if (this.#isBesideWriter) this.#syncFor(snapshot)
    return snapshot
  }

  #syncFor(snapshot: TreeSnapshot): void {
    try {
      syncReadable(this.#path)
    } catch (cause) {
      snapshot.close()
      throw storageError(cause, 'what was read could not be synced')
    }
  }

  stats(): StoreStats {
    if (this.#closing !== undefined) throw storeClosed()
    const stats = this.#database.getStats() as unknown as DatabaseStats
    // Every page is a meta page, in a tree, or free.
    const used = 2 + treePages(stats) + treePages(stats.free)
    const freePages = Math.max(0, stats.lastPageNumber + 1 - used)
    return {
      bytes: statSync(this.#path).size,
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
    const full = this.#hasRoom(batches) ? undefined : diskFull('there may be no room for a commit')
    if (full !== undefined) {
      this.#writing.push(...batches)
      this.#fail(full)
      return
    }
    let commit: Promise<unknown> | undefined
    try {
      // lmdb-js may give several promises for one transaction; the last one is followed.
      const follow = (settled: Promise<unknown>): void => {
        if (settled === commit) return
        commit?.catch(ignore)
        commit = settled
      }
      for (const { batch, mark } of batches) {
        const { keys, values } = batch
        for (let i = 0; i < keys.length; i++) {
          const value = values[i]
          const key = keys[i] as Bytes
          follow(value === undefined ? database.remove(key) : database.put(key, value))
        }
        if (mark !== undefined) follow(database.put(MARK_KEY, mark))
      }
    } catch (cause) {
      // Keys and values were checked before, so this is a bug; what was queued may be committed.
      this.#writing.push(...batches)
      this.#fail(storageError(cause, 'a batch could not be queued'))
      return
    }
    this.#follow(batches, commit)
  }

  /**
   * Whether the disk has what a commit takes at the most. LMDB can tell of a page that could not be
   * written; but lmdb-js then writes a message beyond its memory, and the process dies of it later.
   */
  #hasRoom(batches: readonly Waiting[]): boolean {
    let neededBytes = ROOM_BYTES
    for (const { batch } of batches) {
      for (const [i, key] of batch.keys.entries()) {
        neededBytes += PAGE_BYTES + 2 * (key.length + (batch.values[i]?.length ?? 0))
      }
    }
    return freeOnDisk(this.#path) + this.stats().freeBytes >= neededBytes
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

class TreeSnapshot implements LmdbSnapshot {
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
    if (this.#closed) throw storeClosed()
    return lookup(this.#database, key, this.#transaction)
  }

  scan(range: RangeOptions, visit: Visit): number {
    if (this.#closed) throw storeClosed()
    return walk(this.#database, range, visit, this.#transaction)
  }

  mark(): Bytes | undefined {
    return copied(this.get(MARK_KEY))
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
  return lt !== undefined && compareBytes(least(gte), lt) >= 0
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
  return gte === undefined || gte.length === 0 || gte[0] === OWN_SPACE ? FIRST_KEY : gte
}

/** Each pair dirties a leaf of its own at the worst; branches, and the list of free pages, besides. */
const PAGE_BYTES = 4096
const ROOM_BYTES = 256 * 1024
/** Where the mark lies. */
const MARK_KEY = Uint8Array.of(OWN_SPACE, 0x01)
/** Not above any key of the callers'. */
const FIRST_KEY = Uint8Array.of(OWN_SPACE + 1)
/** Not below any key of the callers'. */
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

function treePages(tree: TreeStats): number {
  return tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages
}
