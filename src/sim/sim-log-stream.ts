/**
 * What the servers of a simulated log hold: entries by position, and for a while the ids of messages
 * (JetStream's deduplication). No time passes here, and nothing is drawn.
 */
import { assert, must } from '../core/assert.ts'
import type { Bytes } from '../core/bytes.ts'
import type { Position } from '../log/log.ts'

export interface StoredEntry {
  readonly position: Position
  readonly frame: Bytes
  readonly messageId: string
  /** True time at which it was committed. */
  readonly atMs: number
}

interface Remembered {
  readonly position: Position
  readonly atMs: number
}

export class SimStream {
  readonly #windowMs: number
  /** By position; holes are what was trimmed, or taken out by a hostile engine. */
  #entries: (StoredEntry | undefined)[] = []
  #ids = new Map<string, Remembered>()
  #first: Position = 1
  #last: Position = 0
  #bytes = 0
  #history = 0

  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  /** The oldest position kept: one above `last` when everything was trimmed. */
  get first(): Position {
    return this.#first
  }

  get last(): Position {
    return this.#last
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Rises whenever entries that may have been acked are lost or replaced. */
  get history(): number {
    return this.#history
  }

  at(position: Position): StoredEntry | undefined {
    return this.#entries[position]
  }

  /** The place that a message id was given, as long as it is remembered. */
  placeOf(messageId: string, nowMs: number): Position | undefined {
    // Oldest first: ids are remembered in the order of their times.
    for (const [id, { atMs }] of this.#ids) {
      if (nowMs - atMs < this.#windowMs) break
      this.#ids.delete(id)
    }
    return this.#ids.get(messageId)?.position
  }

  append(frame: Bytes, messageId: string, atMs: number): Position {
    const position = ++this.#last
    this.#entries[position] = { position, frame, messageId, atMs }
    this.#bytes += frame.length
    if (!this.#ids.has(messageId)) this.#ids.set(messageId, { position, atMs })
    return position
  }

  /** Entries from `from` to `to` in order, at least one and then up to `bytes` of them. */
  slice(from: Position, to: Position, bytes: number): StoredEntry[] {
    const out: StoredEntry[] = []
    let size = 0
    for (let position = from; position <= to; position++) {
      const entry = this.#entries[position]
      if (entry === undefined) continue
      size += entry.frame.length
      if (out.length > 0 && size > bytes) break
      out.push(entry)
    }
    return out
  }

  /** The newest position that was committed by `atMs`. */
  committedBy(atMs: number): Position {
    let position = this.#last
    while (position >= this.#first && (this.#entries[position]?.atMs ?? 0) > atMs) position--
    return position
  }

  /** Drops the entries below `below`. */
  trim(below: Position): void {
    const end = Math.min(below, this.#last + 1)
    for (let position = this.#first; position < end; position++) this.#remove(position)
    this.#first = Math.max(this.#first, end)
  }

  /** As a restarted server knows ids: by reading what is kept, so those of trimmed entries are lost. */
  rebuildIds(): void {
    this.#ids = new Map()
    for (let position = this.#first; position <= this.#last; position++) {
      const entry = this.#entries[position]
      if (entry === undefined || this.#ids.has(entry.messageId)) continue
      this.#ids.set(entry.messageId, { position, atMs: entry.atMs })
    }
  }

  forgetIds(): void {
    this.#ids = new Map()
  }

  /** Loses the entries above `last`: their positions are given again. */
  truncate(last: Position): void {
    if (last >= this.#last) return
    for (let position = this.#last; position > last; position--) this.#remove(position)
    this.#entries.length = last + 1
    this.#last = last
    this.#first = Math.min(this.#first, last + 1)
    this.#history++
    this.rebuildIds()
  }

  reset(): void {
    this.truncate(0)
    this.#first = 1
  }

  /** Gives the entries from `from` on each other's positions: the first of them comes last. */
  rewrite(from: Position): void {
    for (const [position, entry] of this.rotated(from)) this.#entries[position] = entry
    this.#history++
    this.rebuildIds()
  }

  /** The entries from `from` on, by the positions they would have if the first of them came last. */
  rotated(from: Position): Map<Position, StoredEntry> {
    assert(from >= this.#first && from < this.#last, 'two entries at least change places')
    const moved = this.#entries.slice(from, this.#last + 1)
    moved.push(moved.shift())
    const out = new Map<Position, StoredEntry>()
    for (const [i, entry] of moved.entries()) {
      const position = from + i
      out.set(position, { ...must(entry, 'no gap is moved'), position })
    }
    return out
  }

  /** Takes out the entries from `from` to `to`: their positions stay empty. */
  gap(from: Position, to: Position): void {
    for (let position = from; position <= to; position++) this.#remove(position)
    this.#history++
    this.rebuildIds()
  }

  #remove(position: Position): void {
    this.#bytes -= this.#entries[position]?.frame.length ?? 0
    this.#entries[position] = undefined
  }
}
