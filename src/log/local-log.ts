/**
 * The log of an embedded database. It gives frames their places and hands them to the apply loop at
 * once; the loop stores them with their effects (`with-apply`, S14). At opening it goes on after the
 * newest entry in the store.
 */
import { assert } from '../core/assert.ts'
import type { Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import type { StoreReader } from '../store/store.ts'
import { edgeEntry, readEntry } from './entry-store.ts'
import type { Appended, Log, LogFollower, Position, Unfollow } from './log.ts'

/** `floor`: the position below which entries may be trimmed; the next one is above it. */
export function openLocalLog(store: StoreReader, floor: Position = 0): Log {
  return new LocalLog(store, Math.max(floor, edgeEntry(store, 'newest')))
}

class LocalLog implements Log {
  readonly durability = 'with-apply'
  readonly #store: StoreReader
  #last: Position
  #follower: LogFollower | undefined
  /** Placed, and not delivered yet. */
  readonly #due: { readonly position: Position; readonly frame: Bytes }[] = []
  #delivering = false
  #closed = false

  constructor(store: StoreReader, last: Position) {
    this.#store = store
    this.#last = last
  }

  last(): Position {
    return this.#last
  }

  append(frame: Bytes, _messageId: string): Promise<Appended> {
    if (this.#closed) return Promise.reject(new HoldfastError('Closed', 'the log is closed'))
    const follower = this.#follower
    assert(follower !== undefined, 'a local log is followed before it is appended to')
    const position = ++this.#last
    this.#due.push({ position, frame })
    if (!this.#delivering) this.#deliver(follower)
    return Promise.resolve({ position })
  }

  /** One after another: what the follower appends while it is told of an entry comes behind it. */
  #deliver(follower: LogFollower): void {
    this.#delivering = true
    try {
      for (let due = this.#due.shift(); due !== undefined; due = this.#due.shift()) {
        if (this.#follower === follower) follower.entry(due.position, due.frame)
      }
    } finally {
      this.#delivering = false
    }
  }

  follow(from: Position, follower: LogFollower): Unfollow {
    assert(this.#follower === undefined, 'a local log has one follower')
    for (let position = from; position <= this.#last; position++) {
      const frame = readEntry(this.#store, position)
      if (frame === undefined) {
        follower.failed(new HoldfastError('EntryCorrupt', `log entry ${position} is missing`))
        return () => undefined
      }
      follower.entry(position, frame)
    }
    this.#follower = follower
    return () => {
      this.#follower = undefined
    }
  }

  close(): Promise<void> {
    this.#closed = true
    this.#follower = undefined
    return Promise.resolve()
  }
}
