/**
 * The store in a folder: a journal that makes writes durable, a table in memory of what is in it, and
 * LMDB's tree that it is folded into, in the background (docs/adr/0022).
 *
 *   write ─▶ journal, synced ─▶ memtable, read first ─▶ resolved
 *                                  │ once its segment of the journal is full
 *                                  ▼
 *              folding memtable, read next ─▶ tree, read last ─▶ segment removed
 *
 * Folding puts the last value of each key, in key order, in several transactions. Between them the
 * tree is a mixture; nobody sees it, since the folding memtable is read before it, and after a crash
 * the journal is applied over it again. The mark is moved by the last of them.
 *
 * Invariants: what can be read is durable (S6), unless flushing is left to the background, where a log
 * has all that is written here (S14). The journal from the mark on, applied over the tree, gives all
 * that was acked; what is being folded is synced in it. One record is on its way at a time, and one
 * memtable is being folded.
 */
import { binaryString, EMPTY, type Bytes } from '../core/bytes.ts'
import type { Cancel, Env } from '../core/env.ts'
import type { HoldfastError } from '../core/errors.ts'
import { storageError } from './lmdb-errors.ts'
import {
  decodeMark,
  encodeMark,
  encodeRecord,
  newJournalId,
  removeLeftovers,
  removeSegments,
  replay,
  Segment,
  type Mark,
  type Place,
  type Syncing,
} from './lmdb-journal.ts'
import { openLmdbTree, type LmdbTree } from './lmdb-tree.ts'
import { getThrough, LayeredSnapshot, Memtable, scanThrough } from './memtable.ts'
import { bytesOfText } from './ordered-map.ts'
import {
  StoreBatch,
  type RangeOptions,
  type Store,
  type StoreSnapshot,
  type StoreStats,
  type Visit,
  storeClosed,
} from './store.ts'

export interface LmdbOptions {
  /** The folder; it exists. */
  readonly dir: string
  readonly env: Pick<Env, 'random' | 'timers'>
  /** Of a segment of the journal, from which on the next one is begun. Default 4 MiB. */
  readonly segmentBytes?: number
  /** When what is written is made durable: at each write, or in the background. Default `each`. */
  readonly flushing?: 'each' | 'background'
  /** Switches syncing off: for the proof that the durability test can fail, and nothing else. */
  readonly unsafeNoSync?: boolean
}

/** Two of them are in memory at most, and what opening reads at most. */
const SEGMENT_BYTES = 4 * 1024 * 1024
/** Pairs, and bytes of values, of one transaction of folding: some milliseconds of the event loop. */
const FOLD_PAIRS = 1_000
const FOLD_BYTES = 1024 * 1024
/** Without a write, from when on what is in memory is folded. */
const REST_MS = 300

/**
 * Opens the store in `dir`, and makes it where there is none. Throws `StoreTruncated` or
 * `StoreCorrupt` when the data file or the journal is not whole, `FolderReadOnly`, `StorageFull`.
 */
export function openLmdbStore(options: LmdbOptions): Store {
  const { dir, unsafeNoSync } = options
  const tree = openLmdbTree({ dir, ...(unsafeNoSync === true ? { unsafeNoSync } : {}) })
  try {
    return new LmdbStore(options, tree)
  } catch (cause) {
    // Closing is done when the call returns: nothing was written.
    tree.close().catch(() => undefined)
    throw storageError(cause, 'the journal cannot be opened')
  }
}

/** A batch on its way, and whom to tell. */
interface Waiting {
  readonly batch: StoreBatch
  readonly resolve: () => void
  readonly reject: (error: HoldfastError) => void
}

/** A memtable that goes into the tree, and the part of the journal that is done with then. */
interface Folding {
  readonly table: Memtable
  /** Of the journal. */
  readonly bytes: number
  /** Resolves once that is durable: then it may go into the tree. */
  readonly sync: () => Promise<void>
  readonly remove: () => Promise<void>
}

class LmdbStore implements Store {
  readonly durability: Store['durability']
  readonly #dir: string
  readonly #env: LmdbOptions['env']
  readonly #syncing: Syncing
  readonly #segmentBytes: number
  readonly #tree: LmdbTree
  readonly #snapshots = new Set<LayeredSnapshot>()
  #table = new Memtable()
  #folding: Folding | undefined
  /** Both, the newest first: what is read before the tree. */
  #layers: readonly Memtable[] = [this.#table]
  /** Settles when what is being folded is in the tree, or the store has failed. */
  #folded: Promise<void> = Promise.resolve()
  /** Where the journal begins, as the tree has it, and where it goes on. */
  #mark: Mark
  #next: Place
  #segment: Segment | undefined
  #waiting: Waiting[] = []
  /** Of the record on its way. */
  #sent: Waiting[] = []
  #writing: Promise<void> | undefined
  #cancelRest: Cancel = () => undefined
  #failed: HoldfastError | undefined
  /** What failed in the background, while no write has been rejected for it. */
  #untold: HoldfastError | undefined
  #closing: Promise<void> | undefined

  constructor(options: LmdbOptions, tree: LmdbTree) {
    const { dir, env, segmentBytes, flushing = 'each', unsafeNoSync } = options
    this.durability = flushing === 'each' ? 'flushed' : 'background'
    this.#dir = dir
    this.#env = env
    this.#syncing = unsafeNoSync === true ? 'never' : flushing
    this.#segmentBytes = segmentBytes ?? SEGMENT_BYTES
    this.#tree = tree
    const bytes = tree.mark()
    const mark = bytes === undefined ? undefined : decodeMark(bytes)
    this.#mark = mark ?? { id: EMPTY, segment: 1, number: 1, isClean: true, isLax: false }
    this.#next = this.#mark
    const needed = this.#mark.isClean ? [] : this.#recover()
    if (unsafeNoSync !== true) removeLeftovers(dir, mark, needed)
  }

  /** Reads the journal of a process that did not close. Returns its segments. */
  #recover(): readonly number[] {
    const table = new Memtable()
    const put = (key: string, value: Bytes | null): void => table.put(key, value)
    const { segments, bytes, next } = replay(this.#dir, this.#mark, true, put)
    this.#next = next
    const sync = (): Promise<void> => Promise.resolve()
    this.#setFolding({ table, bytes, sync, remove: () => removeSegments(this.#dir, segments) })
    return segments
  }

  get(key: Bytes): Bytes | undefined {
    if (this.#closing !== undefined) throw storeClosed()
    return getThrough(this.#layers, this.#tree, key)
  }

  scan(range: RangeOptions, visit: Visit): number {
    if (this.#closing !== undefined) throw storeClosed()
    return scanThrough(this.#layers, this.#tree, range, visit)
  }

  snapshot(): StoreSnapshot {
    if (this.#closing !== undefined) throw storeClosed()
    const layers = this.#layers.map((table) => table.frozen())
    const snapshot = new LayeredSnapshot(layers, this.#tree.snapshot(), () => {
      this.#snapshots.delete(snapshot)
    })
    this.#snapshots.add(snapshot)
    return snapshot
  }

  stats(): StoreStats {
    if (this.#closing !== undefined) throw storeClosed()
    const { bytes, freeBytes } = this.#tree.stats()
    const journal = (this.#segment?.bytes ?? 0) + (this.#folding?.bytes ?? 0)
    let used = 0
    for (const table of this.#layers) used += table.bytes
    return { bytes: bytes + journal, freeBytes: freeBytes + Math.max(0, journal - used) }
  }

  async flush(): Promise<void> {
    await this.write(new StoreBatch())
    // Those of this moment: what is being folded is synced before.
    await Promise.all([this.#folding?.sync(), this.#segment?.sync()]).catch((cause: unknown) => {
      this.#fail(storageError(cause, 'the journal could not be synced'))
    })
    if (this.#failed !== undefined) throw this.#failed
  }

  write(batch: StoreBatch): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(storeClosed())
    if (this.#failed !== undefined) {
      this.#untold = undefined
      return Promise.reject(this.#failed)
    }
    return new Promise<void>((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject })
      this.#writing ??= this.#write(() => this.#writeWaiting())
    })
  }

  /** One after another: `first`, then what waits, until nothing does. */
  async #write(first: () => Promise<void>): Promise<void> {
    // What else is written in this step goes along.
    await Promise.resolve()
    try {
      await first()
      while (this.#waiting.length > 0) await this.#writeWaiting()
    } catch (cause) {
      const error = storageError(cause, 'a write failed')
      const sent = this.#sent.splice(0)
      for (const { reject } of sent) reject(error)
      this.#fail(error, sent.length)
    }
    this.#writing = undefined
    this.#cancelRest()
    if (this.#closing !== undefined) return
    this.#cancelRest = this.#env.timers.after(REST_MS, () => this.#rest(), 'background')
  }

  /** While nobody writes, has the tree catch up: reads then need no look into memory. */
  #rest(): void {
    const segment = this.#segment
    const isDone = this.#table.size === 0 || this.#failed !== undefined
    if (segment === undefined || isDone || this.#writing !== undefined) return
    if (this.#closing === undefined) this.#writing = this.#write(() => this.#rotate(segment))
  }

  async #writeWaiting(): Promise<void> {
    const segment = this.#segment ?? (await this.#begin())
    this.#sent = this.#waiting
    this.#waiting = []
    const batches = this.#sent.map(({ batch }) => batch)
    if (batches.some(({ size }) => size > 0)) {
      await segment.append(encodeRecord(batches))
      for (const { keys, values } of batches) {
        for (let i = 0; i < keys.length; i++) {
          this.#table.put(binaryString(keys[i] as Bytes), values[i] ?? null)
        }
      }
    }
    for (const { resolve } of this.#sent.splice(0)) resolve()
    if (segment.bytes >= this.#segmentBytes) await this.#rotate(segment)
  }

  /** Makes the first segment of this opening, and has the tree say that there is a journal. */
  async #begin(): Promise<Segment> {
    const { isClean } = this.#mark
    // A journal that was lax stays so while what it has is needed: its end may be any.
    const isLax = this.durability === 'background' || (!isClean && this.#mark.isLax)
    const id = isClean ? newJournalId(this.#env.random) : this.#mark.id
    const segment = await Segment.create(this.#dir, { ...this.#next, id }, this.#syncing)
    this.#segment = segment
    if (isClean || this.#mark.isLax !== isLax) {
      const begin = isClean ? this.#next : this.#mark
      this.#mark = { ...begin, id, isClean: false, isLax }
      await this.#tree.write(new StoreBatch(), encodeMark(this.#mark))
    }
    if (this.#folding !== undefined) this.#fold(this.#folding, this.#next, false)
    return segment
  }

  /** Goes on in a new segment, and has what is in the full one folded. */
  async #rotate(full: Segment): Promise<void> {
    await this.#folded
    if (this.#failed !== undefined) throw this.#failed
    const place = full.after
    this.#segment = await Segment.create(this.#dir, { ...place, id: this.#mark.id }, this.#syncing)
    this.#foldTable(full, place, false)
  }

  #foldTable(segment: Segment, next: Place, isClean: boolean): void {
    const folding = {
      table: this.#table,
      bytes: segment.bytes,
      sync: () => segment.sync(),
      remove: () => segment.remove(),
    }
    this.#table = new Memtable()
    this.#setFolding(folding)
    this.#fold(folding, next, isClean)
  }

  #setFolding(folding: Folding | undefined): void {
    this.#folding = folding
    this.#layers = folding === undefined ? [this.#table] : [this.#table, folding.table]
  }

  /** Puts a memtable into the tree, which then needs the journal from `next` on. */
  #fold(folding: Folding, next: Place, isClean: boolean): void {
    const { id, isLax } = this.#mark
    const mark = { ...next, id, isClean, isLax }
    this.#folded = folding
      .sync()
      .then(() => this.#putInTree(folding.table, encodeMark(mark)))
      .then(() => {
        this.#mark = mark
        this.#setFolding(undefined)
        return folding.remove()
      })
      .catch((cause: unknown) => {
        this.#fail(storageError(cause, 'the journal could not be folded into the data file'))
      })
  }

  async #putInTree(table: Memtable, mark: Bytes): Promise<void> {
    let [batch, bytes] = [new StoreBatch(), 0]
    for (const [key, value] of table.sorted()) {
      if (value === null) batch.remove(bytesOfText(key))
      else batch.put(bytesOfText(key), value)
      bytes += value?.length ?? 0
      if (batch.size < FOLD_PAIRS && bytes < FOLD_BYTES) continue
      await this.#tree.write(batch)
      ;[batch, bytes] = [new StoreBatch(), 0]
    }
    await this.#tree.write(batch, mark)
  }

  /**
   * Rejects what waits, and all that comes; `told` others were. Not the record on its way when folding
   * fails: it may be in the journal by then, and its own outcome is told.
   */
  #fail(error: HoldfastError, told = 0): void {
    const lost = this.#waiting.splice(0)
    if (told + lost.length > 0) this.#untold = undefined
    else if (this.#failed === undefined) this.#untold = error
    this.#failed ??= error
    for (const { reject } of lost) reject(this.#failed)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#cancelRest()
    for (const snapshot of this.#snapshots) snapshot.close()
    await this.#writing
    await this.#folded
    if (this.#failed === undefined) await this.#foldAll()
    this.#segment?.close()
    await this.#tree.close()
    if (this.#untold !== undefined) throw this.#untold
  }

  /** Leaves a data file that needs no journal. */
  async #foldAll(): Promise<void> {
    const segment = this.#segment
    if (segment !== undefined) this.#foldTable(segment, segment.after, true)
    else if (this.#folding !== undefined) this.#fold(this.#folding, this.#next, true)
    await this.#folded
  }
}
