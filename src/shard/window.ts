/**
 * The window of recent writes, which the resolver decides by (S4). For every committed write it
 * knows 64 bits that stand for table and key, and a prefix of the key; for every index entry added,
 * the index and a prefix of its value. It is a function of entries and decisions alone.
 *
 * Its size is bounded twice, in entries that wrote and in writes (docs/adr/0005): whichever is
 * reached first drops the oldest entry. Reads from before what it covers cannot be judged.
 *
 *   entries   [ p=12: 3 writes ][ p=13: 1 ][ p=15: 40 ] ...     a queue, for ranges
 *   latest    (hi, lo) -> position                              open addressing, for points
 */
import type { Bytes } from '../core/bytes.ts'
import { startDigest } from '../core/hash.ts'
import type { Position } from '../log/log.ts'

export interface WindowSize {
  /** Entries that wrote. */
  readonly entries: number
  /** Writes and index entries in them. */
  readonly writes: number
}

export const WINDOW_SIZE: WindowSize = { entries: 16_384, writes: 1_000_000 }

/** Words of one write: table, index, three words of prefix. */
const WORDS = 5

interface EntryWrites {
  readonly position: Position
  words: Uint32Array
  count: number
}

export class Window {
  #size: WindowSize
  /** Reads at a position below this one cannot be judged. */
  #floor: Position
  /** A queue: [#head, length) is live. */
  #entries: EntryWrites[] = []
  #head = 0
  #writes = 0
  readonly #tables = new Map<number, Position>()
  #open: EntryWrites | undefined
  // Open addressing over (hi, lo); an empty slot has position 0.
  #capacity = 1024
  #used = 0
  #hi = new Uint32Array(this.#capacity)
  #lo = new Uint32Array(this.#capacity)
  #at = new Float64Array(this.#capacity)

  constructor(floor: Position, size: WindowSize = WINDOW_SIZE) {
    this.#floor = floor
    this.#size = size
  }

  get floor(): Position {
    return this.#floor
  }

  get writes(): number {
    return this.#writes
  }

  resize(size: WindowSize): void {
    this.#size = size
    this.#evict()
  }

  /** Forgets everything: no read from before `floor` is ever judged again. */
  clear(floor: Position): void {
    this.#floor = floor
    this.#entries = []
    this.#head = 0
    this.#writes = 0
    this.#open = undefined
    this.#tables.clear()
    this.#rehash()
  }

  /** Of all that a decision could depend on: alike on nodes that decide alike. */
  fingerprint(): Bytes {
    const running = startDigest()
    const positions: number[] = [this.#floor, this.#size.entries, this.#size.writes]
    for (const { position, words, count } of this.#entries.slice(this.#head)) {
      positions.push(position, count)
      running.update(new Uint8Array(words.buffer, words.byteOffset, count * WORDS * 4))
    }
    const points: [number, number, Position][] = []
    for (const [slot, at] of this.#at.entries()) {
      if (at > this.#floor) points.push([this.#hi[slot] as number, this.#lo[slot] as number, at])
    }
    points.sort((a, b) => a[0] - b[0] || a[1] - b[1])
    const tables = [...this.#tables].filter(([, at]) => at > this.#floor)
    tables.sort((a, b) => a[0] - b[0])
    running.update(Buffer.from(JSON.stringify([positions, points, tables])))
    return running.finish()
  }

  /** The position of the latest write to the key that (hi, lo) stands for, 0 when none is known. */
  lastWrite(hi: number, lo: number): Position {
    const mask = this.#capacity - 1
    for (let slot = (hi ^ lo) & mask; this.#at[slot] !== 0; slot = (slot + 1) & mask) {
      if (this.#hi[slot] === hi && this.#lo[slot] === lo) return this.#at[slot] as Position
    }
    return 0
  }

  /** The position of the latest write to `table`, 0 when none is known. */
  lastTableWrite(table: number): Position {
    return this.#tables.get(table) ?? 0
  }

  /** Whether a write after `after` has a prefix in [low, high] of `index` (0: the key). */
  rangeWritten(table: number, index: number, low: Bytes, high: Bytes, after: Position): boolean {
    if (this.lastTableWrite(table) <= after) return false
    const bounds = { low: prefixWords(low), high: prefixWords(high) }
    for (let i = this.#entries.length - 1; i >= this.#head; i--) {
      const entry = this.#entries[i] as EntryWrites
      if (entry.position <= after) return false
      if (entryTouches(entry, table, index, bounds)) return true
    }
    return false
  }

  /** Records a write at `position`, which is the newest there is. */
  record(position: Position, table: number, index: number, prefix: Bytes): void {
    let entry = this.#open
    if (entry === undefined || entry.position !== position) {
      entry = { position, words: new Uint32Array(WORDS * 4), count: 0 }
      this.#open = entry
      this.#entries.push(entry)
    }
    if ((entry.count + 1) * WORDS > entry.words.length) {
      const larger = new Uint32Array(entry.words.length * 2)
      larger.set(entry.words)
      entry.words = larger
    }
    const at = entry.count++ * WORDS
    entry.words[at] = table
    entry.words[at + 1] = index
    for (let i = 0; i < 3; i++) entry.words[at + 2 + i] = word(prefix, 4 * i)
    this.#tables.set(table, position)
    this.#writes++
  }

  /** Records that the key of (hi, lo) was written at `position`. */
  recordKey(position: Position, hi: number, lo: number): void {
    if (this.#used * 2 >= this.#capacity) this.#rehash()
    this.#insert(hi, lo, position)
  }

  /** Ends an entry: what is too old is dropped. */
  seal(): void {
    const entry = this.#open
    if (entry !== undefined && entry.words.length > entry.count * WORDS) {
      entry.words = entry.words.slice(0, entry.count * WORDS)
    }
    this.#open = undefined
    this.#evict()
  }

  #evict(): void {
    while (
      this.#entries.length - this.#head > this.#size.entries ||
      (this.#writes > this.#size.writes && this.#head < this.#entries.length)
    ) {
      const oldest = this.#entries[this.#head] as EntryWrites
      this.#head++
      this.#writes -= oldest.count
      this.#floor = oldest.position
    }
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
  }

  #insert(hi: number, lo: number, position: Position): void {
    const mask = this.#capacity - 1
    let slot = (hi ^ lo) & mask
    while (this.#at[slot] !== 0) {
      if (this.#hi[slot] === hi && this.#lo[slot] === lo) break
      slot = (slot + 1) & mask
    }
    if (this.#at[slot] === 0) this.#used++
    this.#hi[slot] = hi
    this.#lo[slot] = lo
    this.#at[slot] = position
  }

  /** Makes room, dropping keys that no read can be judged by any more. */
  #rehash(): void {
    const { hi, lo, at } = { hi: this.#hi, lo: this.#lo, at: this.#at }
    let live = 0
    for (const position of at) if (position > this.#floor) live++
    let capacity = 1024
    while (capacity < live * 4) capacity *= 2
    this.#capacity = capacity
    this.#used = 0
    this.#hi = new Uint32Array(capacity)
    this.#lo = new Uint32Array(capacity)
    this.#at = new Float64Array(capacity)
    for (let slot = 0; slot < at.length; slot++) {
      const position = at[slot] as Position
      if (position > this.#floor) this.#insert(hi[slot] as number, lo[slot] as number, position)
    }
  }
}

interface Bounds {
  readonly low: readonly number[]
  readonly high: readonly number[]
}

function entryTouches(entry: EntryWrites, table: number, index: number, bounds: Bounds): boolean {
  const { words, count } = entry
  for (let i = 0, at = 0; i < count; i++, at += WORDS) {
    if (words[at] !== table || words[at + 1] !== index) continue
    if (compareWords(words, at + 2, bounds.low) < 0) continue
    if (compareWords(words, at + 2, bounds.high) <= 0) return true
  }
  return false
}

function compareWords(words: Uint32Array, at: number, other: readonly number[]): number {
  for (let i = 0; i < 3; i++) {
    const difference = (words[at + i] as number) - (other[i] as number)
    if (difference !== 0) return difference
  }
  return 0
}

function prefixWords(prefix: Bytes): number[] {
  return [word(prefix, 0), word(prefix, 4), word(prefix, 8)]
}

/** Big-endian, so that words order as bytes do; bytes that a short prefix lacks are zeros. */
function word(bytes: Bytes, at: number): number {
  if (at + 4 <= bytes.length) {
    return (
      (((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number)) >>>
      0
    )
  }
  let value = 0
  for (let i = at; i < at + 4; i++) value = value * 256 + (bytes[i] ?? 0)
  return value
}
