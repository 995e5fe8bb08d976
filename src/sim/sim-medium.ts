/**
 * What a simulated disk keeps, and what it loses in a crash. Commits are whole transactions, in
 * order:
 *
 *   durable ───────────────┬─ cached: committed, not yet flushed ─┐
 *   the floor: all commits │ some prefix of these survives a      │ rows: what a process reads
 *   up to the last flush   │ loss of power, all of them a kill    │
 */
import { HoldfastError } from '../core/errors.ts'
import type { Bytes } from '../core/bytes.ts'
import type { Draw } from './draw.ts'
import { Rows, type Change } from './sim-rows.ts'

/** How a disk misbehaves now; set at any time, and in force from the next transaction on. */
export interface DiskFaults {
  /** Everything takes this many times as long. Default 1. */
  slowdown: number
  /** Bytes of keys and values that still fit; 0 refuses every write. Default: no end. */
  roomBytes: number
  /** Transactions, flushes and openings fail as on an input or output error. */
  failing: boolean
  /** Flushes report success and do nothing: what was acked is lost with the power. */
  fsyncLies: boolean
}

function noFaults(): DiskFaults {
  return { slowdown: 1, roomBytes: Number.POSITIVE_INFINITY, failing: false, fsyncLies: false }
}

/** How likely a transaction that was being written when all ended is there afterwards. */
const SURVIVES = 0.5

interface Commit {
  readonly number: number
  readonly change: Change
}

/** A value that was changed behind everybody's back. */
interface Flip {
  readonly key: string
  readonly sound: Bytes
  readonly flipped: Bytes
}

/** A state that a flush under way will have made durable when it ends. */
export interface FlushMark {
  readonly number: number
  readonly rows: Rows
}

export class Medium {
  readonly faults = noFaults()
  #rows = new Rows()
  /** What is durable; undefined when everything is. */
  #floor: Rows | undefined
  #cached: Commit[] = []
  #commits = 0
  #fileBytes = 0
  /** Of the flush that began last. */
  #mark: FlushMark | undefined
  /** Those not mended; their keys may have been written since. */
  #flips: Flip[] = []

  /** As a process reads it. Changes at every commit: `clone` what must not. */
  get rows(): Rows {
    return this.#rows
  }

  get durable(): Rows {
    return this.#floor ?? this.#rows
  }

  /** Commits ever made. */
  get commits(): number {
    return this.#commits
  }

  /** A file gives nothing back: its largest size. */
  get fileBytes(): number {
    return this.#fileBytes
  }

  /** Why a transaction cannot be written now; takes the room it needs if it can. */
  refusal({ keys, values }: Change): HoldfastError | undefined {
    if (keys.length === 0) return undefined
    if (this.faults.failing) return failed('a commit failed')
    let bytes = 0
    for (const key of keys) bytes += key.length
    for (const value of values) bytes += value?.length ?? 0
    if (bytes > this.faults.roomBytes) {
      return new HoldfastError('StorageFull', 'a commit failed: the disk is full')
    }
    this.faults.roomBytes -= bytes
    return undefined
  }

  commit(change: Change, flushed: boolean): void {
    const number = ++this.#commits
    const durable = flushed && !this.faults.fsyncLies
    if (!durable) {
      this.#floor ??= this.#rows.clone()
      this.#cached.push({ number, change })
    }
    this.#rows.apply(change)
    this.#fileBytes = Math.max(this.#fileBytes, this.#rows.bytes)
    if (durable) this.#allDurable()
  }

  flushBegins(): FlushMark {
    this.#mark = { number: this.#commits, rows: this.#rows.clone() }
    return this.#mark
  }

  flushEnds({ number, rows }: FlushMark): void {
    if (this.faults.fsyncLies) return
    if (number === this.#commits) return this.#allDurable()
    this.#floor = rows
    this.#cached = this.#cached.filter((commit) => commit.number > number)
  }

  /** Flushes at once, as opening does. */
  sync(): void {
    if (!this.faults.fsyncLies) this.#allDurable()
  }

  /**
   * The process is gone and the machine lives: every commit stays, and `underWay` may. What still
   * runs of the process reads rows of its own.
   */
  loseProcess(draw: Draw, underWay: Change | undefined): void {
    this.#rows = this.#rows.clone()
    if (underWay !== undefined && draw.chance(SURVIVES)) this.commit(underWay, false)
  }

  /**
   * Drops what was in memory only, but for a prefix of it, to which `underWay` may belong. Returns
   * how many commits were lost.
   */
  losePower(draw: Draw, underWay: Change | undefined): number {
    const kept = this.#cached.slice(0, draw.int(0, this.#cached.length))
    const lost = this.#cached.length - kept.length
    const rows = this.durable.clone()
    if (this.#floor !== undefined) for (const { change } of kept) rows.apply(change)
    if (lost === 0 && underWay !== undefined && draw.chance(SURVIVES)) rows.apply(underWay)
    this.#rows = rows
    this.#allDurable()
    return lost
  }

  replace(rows: Rows): void {
    this.#flips = []
    this.#rows = rows.clone()
    this.#fileBytes = rows.bytes
    this.#allDurable()
  }

  /** Flips one bit of one stored value of those whose key `choose` takes. Returns the key. */
  flipBit(draw: Draw, choose: (key: string) => boolean): string | undefined {
    const keys: string[] = []
    this.#rows.scan({}, (key, value) => {
      if (value.length > 0 && choose(key)) keys.push(key)
    })
    if (keys.length === 0) return undefined
    const key = draw.pick(keys)
    const sound = this.#rows.get(key) as Bytes
    // `slice` of a Buffer would share its memory.
    const flipped = new Uint8Array(sound)
    const at = draw.int(0, flipped.length - 1)
    flipped[at] = (flipped[at] as number) ^ (1 << draw.int(0, 7))
    this.#exchange(key, sound, flipped)
    this.#flips.push({ key, sound, flipped })
    return key
  }

  get isFlipped(): boolean {
    return this.#flips.length > 0
  }

  /** Puts every value that was flipped, and not written since, back as it was. */
  mend(): void {
    // The other way round: a bit may have been flipped in what another flip had left.
    for (const { key, sound, flipped } of this.#flips.toReversed()) {
      this.#exchange(key, flipped, sound)
    }
    this.#flips = []
  }

  /** `rows`, a state of this disk, as they are without its flips. */
  withoutFlips(rows: Rows): Rows {
    const mended = rows.clone()
    for (const { key, sound, flipped } of this.#flips.toReversed()) {
      if (mended.get(key) === flipped) mended.put(key, sound)
    }
    return mended
  }

  /** Values are shared between what is cached, durable and read; images and clones keep theirs. */
  #exchange(key: string, from: Bytes, to: Bytes): void {
    for (const rows of [this.#rows, this.#floor, this.#mark?.rows]) {
      if (rows?.get(key) === from) rows.put(key, to)
    }
    for (const { change } of this.#cached) {
      for (const [i, value] of change.values.entries()) {
        if (value === from) change.values[i] = to
      }
    }
  }

  #allDurable(): void {
    this.#floor = undefined
    this.#cached = []
  }
}

export function failed(what: string): HoldfastError {
  return new HoldfastError('StorageFailed', `${what}: EIO (5)`)
}
