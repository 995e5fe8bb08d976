/** A log in memory that keeps its frames by itself (`self`), with any number of followers. */
import { copyBytes, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Appended, Log, LogFollower, Position, Unfollow } from './log.ts'

interface Cursor {
  next: Position
  readonly follower: LogFollower
  scheduled: boolean
  ended: boolean
}

export function openMemoryLog(env: Env): Log {
  return new MemoryLog(env)
}

class MemoryLog implements Log {
  readonly durability = 'self'
  readonly #env: Env
  readonly #frames: Bytes[] = []
  readonly #places = new Map<string, Position>()
  readonly #cursors = new Set<Cursor>()
  #closed = false

  constructor(env: Env) {
    this.#env = env
  }

  last(): Position {
    return this.#frames.length
  }

  append(frame: Bytes, messageId: string): Promise<Appended> {
    if (this.#closed) return Promise.reject(new HoldfastError('Closed', 'the log is closed'))
    const known = this.#places.get(messageId)
    if (known !== undefined) return Promise.resolve({ position: known })
    this.#frames.push(copyBytes(frame))
    const position = this.#frames.length
    this.#places.set(messageId, position)
    for (const cursor of this.#cursors) this.#schedule(cursor)
    return Promise.resolve({ position })
  }

  follow(from: Position, follower: LogFollower): Unfollow {
    const cursor: Cursor = { next: from, follower, scheduled: false, ended: false }
    this.#cursors.add(cursor)
    this.#schedule(cursor)
    return () => {
      cursor.ended = true
      this.#cursors.delete(cursor)
    }
  }

  close(): Promise<void> {
    this.#closed = true
    for (const cursor of this.#cursors) cursor.ended = true
    this.#cursors.clear()
    return Promise.resolve()
  }

  #schedule(cursor: Cursor): void {
    if (cursor.scheduled) return
    cursor.scheduled = true
    this.#env.timers.soon(() => {
      cursor.scheduled = false
      while (!cursor.ended && cursor.next <= this.#frames.length) {
        const position = cursor.next++
        cursor.follower.entry(position, this.#frames[position - 1] as Bytes)
      }
    })
  }
}
