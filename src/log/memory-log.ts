/** A log in memory that keeps its frames by itself (`self`), with any number of followers. */
import { copyBytes, EMPTY, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import {
  logTrimmed,
  ROOM_SHARE,
  type Appended,
  type EntryUse,
  type Log,
  type LogFollower,
  type LogRoom,
  type Position,
  type Unfollow,
} from './log.ts'

interface Cursor {
  next: Position
  readonly follower: LogFollower
  scheduled: boolean
  ended: boolean
}

/** `maxBytes`: of frames. Default: no limit. */
export function openMemoryLog(env: Env, maxBytes: number = Number.POSITIVE_INFINITY): Log {
  return new MemoryLog(env, maxBytes)
}

class MemoryLog implements Log {
  readonly durability = 'self'
  readonly #env: Env
  readonly #maxBytes: number
  readonly room: LogRoom
  /** By position, counted from 0; those that were trimmed are empty. */
  readonly #frames: Bytes[] = []
  #first: Position = 1
  #bytes = 0
  readonly #places = new Map<string, Position>()
  readonly #cursors = new Set<Cursor>()
  #closed = false

  constructor(env: Env, maxBytes: number) {
    this.#env = env
    this.#maxBytes = maxBytes
    this.room = {
      extent: () =>
        Promise.resolve({ first: this.#first, last: this.last(), bytes: this.#bytes, maxBytes }),
      trim: (below) => Promise.resolve(this.#trim(below)),
    }
  }

  last(): Position {
    return this.#frames.length
  }

  append(frame: Bytes, messageId: string, use: EntryUse = 'data'): Promise<Appended> {
    if (this.#closed) return Promise.reject(new HoldfastError('Closed', 'the log is closed'))
    const known = this.#places.get(messageId)
    if (known !== undefined) return Promise.resolve({ position: known })
    if (this.#bytes + frame.length > ROOM_SHARE[use] * this.#maxBytes) {
      const message = `the log holds ${this.#maxBytes} bytes at the most`
      return Promise.reject(new HoldfastError('LogFull', message))
    }
    this.#frames.push(copyBytes(frame))
    this.#bytes += frame.length
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
        if (cursor.next < this.#first) return this.#fail(cursor)
        const position = cursor.next++
        cursor.follower.entry(position, this.#frames[position - 1] as Bytes)
      }
    })
  }

  #trim(below: Position): void {
    const end = Math.min(below, this.#frames.length + 1)
    for (; this.#first < end; this.#first++) {
      this.#bytes -= (this.#frames[this.#first - 1] as Bytes).length
      this.#frames[this.#first - 1] = EMPTY
    }
  }

  #fail(cursor: Cursor): void {
    cursor.ended = true
    this.#cursors.delete(cursor)
    cursor.follower.failed(logTrimmed(cursor.next, this.#first))
  }
}
