/**
 * The Store of one incarnation on a simulated disk. Transactions run as those of the store on LMDB
 * do: one at a time, what arrives in the moment it began goes along, what arrives later waits and
 * goes together in the next.
 *
 * Once its owner is dead no write of it starts and no promise of it settles. Its reads go on, over
 * rows of its own, since throwing would run code that a real crash does not run. While its owner is
 * paused, commits and flushes wait.
 */
import { binaryString, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import {
  StoreBatch,
  type RangeOptions,
  type Store,
  type StoreSnapshot,
  type StoreStats,
  type Visit,
} from '../store/store.ts'
import type { Draw } from './draw.ts'
import type { Kernel, Owner } from './kernel.ts'
import { Lender } from './lender.ts'
import { failed, type Medium } from './sim-medium.ts'
import { changeOf, type Change, type Rows } from './sim-rows.ts'

export interface StoreTimes {
  /** Whether a commit can be read only once it is flushed, or before. */
  readonly profile: 'synced' | 'overlapping'
  /** Mean time of a commit, in milliseconds. */
  readonly commitMs: number
  /** Mean time of a flush, in milliseconds. */
  readonly fsyncMs: number
  /** Mean time from a commit to its callers being told, in milliseconds. */
  readonly reportMs: number
  readonly commits: Draw
  readonly fsyncs: Draw
  readonly reports: Draw
}

/** How fast a disk takes bytes: 200 MB/s. */
const BYTES_PER_MS = 200_000

interface Waiting {
  readonly batch: StoreBatch
  readonly resolve: () => void
  readonly reject: (error: HoldfastError) => void
}

/** What a store had not settled when it ended. */
export interface Unfinished {
  /** Batches given and not settled. */
  readonly unsettled: number
  /** The transaction that may be on the disk all the same, if there is one. */
  readonly underWay: Change | undefined
}

interface UnderWay {
  readonly beganMs: number
  readonly batches: Waiting[]
}

export class SimStore implements Store {
  readonly durability: Store['durability']
  readonly owner: Owner
  readonly #kernel: Kernel
  readonly #medium: Medium
  readonly #times: StoreTimes
  readonly #onClosed: () => void
  readonly #rows: Rows
  readonly #lenders = new Lenders()
  /** Ended by a crash. */
  #crashed = false
  #closed = false
  #closing: Promise<void> | undefined
  #failed: HoldfastError | undefined
  /** What a failure may have left on the disk all the same. */
  #doubtful: Change | undefined
  #underWay: UnderWay | undefined
  /** Committed, and their callers not told yet. */
  #reporting: readonly Waiting[] | undefined
  #waiting: Waiting[] = []
  /** The last commit that a flush took along, as far as this process knows. */
  #flushed: number
  #flushing = false
  /** Who waits for a flush that takes a commit along. */
  #flushers: (Omit<Waiting, 'batch'> & { readonly commit: number })[] = []
  #whenIdle: (() => void) | undefined

  constructor(
    kernel: Kernel,
    owner: Owner,
    medium: Medium,
    times: StoreTimes,
    onClosed: () => void,
  ) {
    this.durability = times.profile === 'synced' ? 'flushed' : 'background'
    this.#kernel = kernel
    this.owner = owner
    this.#medium = medium
    this.#times = times
    this.#onClosed = onClosed
    this.#rows = medium.rows
    this.#flushed = medium.commits
  }

  get(key: Bytes): Bytes | undefined {
    this.#refuseClosed()
    return this.#lenders.get(this.#rows, key)
  }

  scan(range: RangeOptions, visit: Visit): number {
    this.#refuseClosed()
    return this.#lenders.scan(this.#rows, range, visit)
  }

  write(batch: StoreBatch): Promise<void> {
    if (this.#dead) return never()
    if (this.#closing !== undefined) return Promise.reject(closed())
    if (this.#failed !== undefined) return Promise.reject(this.#failed)
    // Borrowed bytes end at this call, in the batch too: rubbish will be stored in their place.
    this.#lenders.recall()
    return new Promise((resolve, reject) => {
      const waiting = { batch, resolve, reject }
      if (this.#underWay?.beganMs === this.#kernel.nowMs) this.#underWay.batches.push(waiting)
      else this.#waiting.push(waiting)
      if (this.#underWay === undefined && this.#reporting === undefined) this.#begin()
    })
  }

  async flush(): Promise<void> {
    await this.write(new StoreBatch())
    const commit = this.#medium.commits
    if (this.durability === 'flushed' || this.#flushed >= commit) return
    await new Promise<void>((resolve, reject) => {
      this.#flushers.push({ commit, resolve, reject })
      this.#flush()
    })
  }

  snapshot(): StoreSnapshot {
    this.#refuseClosed()
    this.#lenders.recall()
    return new SimSnapshot(this.#rows.clone(), this.#lenders, () => this.#closing !== undefined)
  }

  stats(): StoreStats {
    this.#refuseClosed()
    this.#lenders.recall()
    const bytes = Math.max(this.#medium.fileBytes, this.#rows.bytes)
    return { bytes, freeBytes: bytes - this.#rows.bytes }
  }

  close(): Promise<void> {
    if (this.#dead) return never()
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Ends it, as a crash does unless it is closed. */
  end(): Unfinished {
    this.#crashed = !this.#closed
    const batches = this.#underWay?.batches
    return {
      unsettled: (batches?.length ?? 0) + (this.#reporting?.length ?? 0) + this.#waiting.length,
      underWay: batches === undefined ? this.#doubtful : changeOf(batches.map(batchOf)),
    }
  }

  get #dead(): boolean {
    return this.#crashed || !this.owner.alive
  }

  #refuseClosed(): void {
    if (this.#closing !== undefined) throw closed()
  }

  async #close(): Promise<void> {
    this.#lenders.recall()
    if (!this.#idle) await new Promise<void>((resolve) => (this.#whenIdle = resolve))
    this.#closed = true
    this.#onClosed()
  }

  get #idle(): boolean {
    return this.#underWay === undefined && this.#reporting === undefined && !this.#flushing
  }

  #begin(): void {
    const batches = this.#waiting
    this.#waiting = []
    this.#underWay = { beganMs: this.#kernel.nowMs, batches }
    const { profile, commits, fsyncs, commitMs, fsyncMs } = this.#times
    let takes = drawn(commits, commitMs)
    if (profile === 'synced') takes += drawn(fsyncs, fsyncMs)
    for (const { batch } of batches) takes += bytesOf(batch) / BYTES_PER_MS
    const { slowdown } = this.#medium.faults
    this.#kernel.after(takes * slowdown, 'store commit', this.owner, () => this.#commit())
  }

  #commit(): void {
    const batches = this.#underWay?.batches
    if (this.#dead || batches === undefined) return
    const change = changeOf(batches.map(batchOf))
    const refused = this.#medium.refusal(change)
    if (refused !== undefined) return this.#fail(refused)
    this.#lenders.recall()
    this.#kernel.note(`${this.owner.name} commits ${change.keys.length} operations`)
    this.#medium.commit(change, this.#times.profile === 'synced')
    this.#underWay = undefined
    this.#reporting = batches
    this.#flush()
    // It can be read before it is reported, as with LMDB, whose write thread commits.
    const { reports, reportMs } = this.#times
    this.#kernel.after(drawn(reports, reportMs), 'store report', this.owner, () => this.#report())
  }

  #report(): void {
    const batches = this.#reporting
    if (this.#dead || batches === undefined) return
    this.#reporting = undefined
    for (const { resolve } of batches) resolve()
    if (this.#waiting.length > 0) this.#begin()
    if (this.#idle) this.#whenIdle?.()
  }

  /** Flushes in the background, one flush at a time, as long as there is something to flush. */
  #flush(): void {
    const medium = this.#medium
    const nothing = this.#times.profile === 'synced' || this.#flushed === medium.commits
    if (!this.#flushing && !nothing) {
      this.#flushing = true
      const mark = medium.flushBegins()
      const takes = drawn(this.#times.fsyncs, this.#times.fsyncMs) * medium.faults.slowdown
      this.#kernel.after(takes, 'store flush', this.owner, () => {
        if (this.#dead) return
        this.#flushing = false
        if (medium.faults.failing) return this.#fail(failed('a flush failed'))
        this.#flushed = mark.number
        medium.flushEnds(mark)
        for (const { commit, resolve } of this.#flushers) if (commit <= mark.number) resolve()
        this.#flushers = this.#flushers.filter(({ commit }) => commit > mark.number)
        this.#flush()
      })
    }
    if (this.#idle) this.#whenIdle?.()
  }

  #fail(error: HoldfastError): void {
    this.#failed ??= error
    const underWay = this.#underWay?.batches ?? []
    if (error.applied === 'unknown') this.#doubtful = changeOf(underWay.map(batchOf))
    const lost = [...underWay, ...this.#waiting, ...this.#flushers]
    this.#flushers = []
    this.#underWay = undefined
    this.#waiting = []
    for (const { reject } of lost) reject(this.#failed)
    if (this.#idle) this.#whenIdle?.()
  }
}

class SimSnapshot implements StoreSnapshot {
  readonly #lenders: Lenders
  readonly #storeClosed: () => boolean
  #rows: Rows | undefined

  constructor(rows: Rows, lenders: Lenders, storeClosed: () => boolean) {
    this.#rows = rows
    this.#lenders = lenders
    this.#storeClosed = storeClosed
  }

  get(key: Bytes): Bytes | undefined {
    return this.#lenders.get(this.#open(), key)
  }

  scan(range: RangeOptions, visit: Visit): number {
    return this.#lenders.scan(this.#open(), range, visit)
  }

  close(): void {
    this.#lenders.recall()
    this.#rows = undefined
  }

  #open(): Rows {
    if (this.#rows === undefined || this.#storeClosed()) throw closed()
    return this.#rows
  }
}

/** Reads rows and hands them out as bytes that are good until the next call. */
class Lenders {
  readonly #keys = new Lender()
  readonly #values = new Lender()

  get(rows: Rows, key: Bytes): Bytes | undefined {
    // Found first: the key may itself be borrowed.
    const value = rows.get(binaryString(key))
    this.recall()
    return value === undefined ? undefined : this.#values.lend(value)
  }

  scan(rows: Rows, range: RangeOptions, visit: Visit): number {
    try {
      return rows.scan(range, (key, value) =>
        visit(this.#keys.lendText(key), this.#values.lend(value)),
      )
    } finally {
      this.recall()
    }
  }

  recall(): void {
    this.#keys.recall()
    this.#values.recall()
  }
}

/** At least half of `mean`, which it is on average. */
function drawn(draw: Draw, mean: number): number {
  return mean / 2 + draw.exponential(mean / 2)
}

const batchOf = ({ batch }: Waiting): StoreBatch => batch

function bytesOf({ values }: StoreBatch): number {
  let bytes = 0
  for (const value of values) bytes += value?.length ?? 0
  return bytes
}

function never(): Promise<void> {
  return new Promise(() => undefined)
}

function closed(): HoldfastError {
  return new HoldfastError('Closed', 'the store is closed')
}
