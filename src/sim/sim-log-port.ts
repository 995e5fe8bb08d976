/**
 * A node's port to the simulated log: what the JetStream adapter is to the real one. It keeps one
 * connection to one of the servers, makes another when that is lost, and goes on for its followers
 * where they were.
 */
import { copyBytes, type Bytes } from '../core/bytes.ts'
import type { Cancel, Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import {
  logTrimmed,
  type Appended,
  type EntryUse,
  type Log,
  type LogExtent,
  type LogFollower,
  type LogRoom,
  type Position,
  type Unfollow,
} from '../log/log.ts'
import type { Link } from './sim-log-link.ts'
import type { StoredEntry } from './sim-log-stream.ts'

/** Between attempts to connect: doubled from the first to the last. */
const RETRY_MS = [100, 2_000] as const
/** After so long without an ack, while appends fail, another server is tried. */
const MOVE_AFTER_MS = 5_000

/** A node's port. */
export interface SimLog extends Log {
  /** Resolves with the first connection: `last()` says nothing before. */
  readonly ready: Promise<void>
}

/** What a follower is to the servers. */
export interface Cursor {
  next: Position
  readonly follower: LogFollower
  ended: boolean
}

export interface Request {
  readonly frame: Bytes
  readonly messageId: string
  readonly use: EntryUse
  sent: boolean
  readonly resolve: (appended: Appended) => void
  readonly reject: (error: HoldfastError) => void
  readonly cancelTimeout: Cancel
}

/** What a server says of the stream. */
export interface Status {
  readonly history: number
  readonly last: Position
}

/** What a port asks of the servers; each is answered by a call of the port, in its owner's step. */
export interface Engine {
  /** Tries one server, not `current` if there is another; calls `connected` or `notConnected`. */
  dial(port: SimLogPort, current: Link | undefined): void
  publish(port: SimLogPort, link: Link, request: Request): void
  subscribe(port: SimLogPort, link: Link, cursor: Cursor): void
  /** Asks what is kept, once entries below `below` are trimmed; answered only by a leader. */
  extent(link: Link, below: Position, answer: (extent: LogExtent) => void): void
}

export class SimLogPort implements SimLog {
  readonly durability = 'self'
  readonly room: LogRoom = {
    extent: () => this.#extent(0),
    trim: async (below) => void (await this.#extent(below)),
  }
  readonly ready: Promise<void>
  readonly #env: Env
  readonly #engine: Engine
  readonly #timeoutMs: number
  readonly #cursors = new Set<Cursor>()
  readonly #requests = new Set<Request>()
  #becomeReady: () => void = () => undefined
  #link: Link | undefined
  #retryMs: number = RETRY_MS[0]
  #failingSinceMs: number | undefined
  #status: Status = { history: 0, last: 0 }
  #closed = false

  constructor(env: Env, engine: Engine, timeoutMs: number) {
    this.#env = env
    this.#engine = engine
    this.#timeoutMs = timeoutMs
    this.ready = new Promise((resolve) => {
      this.#becomeReady = resolve
    })
    engine.dial(this, undefined)
  }

  last(): Position {
    return this.#status.last
  }

  append(frame: Bytes, messageId: string, use: EntryUse = 'data'): Promise<Appended> {
    if (this.#closed) return Promise.reject(new HoldfastError('Closed', 'the log is closed'))
    return new Promise((resolve, reject) => {
      const request: Request = {
        frame: copyBytes(frame),
        messageId,
        use,
        sent: false,
        resolve,
        reject,
        cancelTimeout: this.#env.timers.after(this.#timeoutMs, () => this.#timedOut(request)),
      }
      this.#requests.add(request)
      if (this.#link !== undefined) this.#send(this.#link, request)
    })
  }

  follow(from: Position, follower: LogFollower): Unfollow {
    const cursor: Cursor = { next: Math.max(1, from), follower, ended: this.#closed }
    if (!this.#closed) {
      this.#cursors.add(cursor)
      if (this.#link !== undefined) this.#engine.subscribe(this, this.#link, cursor)
    }
    return () => this.#end(cursor)
  }

  #extent(below: Position): Promise<LogExtent> {
    return new Promise((resolve, reject) => {
      const none = new HoldfastError('LogUnavailable', 'no server said what the log keeps')
      const cancel = this.#env.timers.after(this.#timeoutMs, () => reject(none))
      if (this.#link === undefined) return
      this.#engine.extent(this.#link, below, (extent) => {
        cancel()
        this.told({ history: this.#status.history, last: extent.last })
        resolve(extent)
      })
    })
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#closed = true
    for (const cursor of this.#cursors) this.#end(cursor)
    for (const request of this.#requests) {
      const applied = request.sent ? 'unknown' : 'no'
      this.#reject(request, new HoldfastError('Closed', 'the log was closed', { applied }))
    }
    this.#link?.breakOff('left')
    this.#link = undefined
    return Promise.resolve()
  }

  connected(link: Link, status: Status): void {
    if (this.#closed) {
      link.breakOff('left')
      return
    }
    this.#link = link
    this.#retryMs = RETRY_MS[0]
    this.told(status)
    for (const cursor of this.#cursors) this.#engine.subscribe(this, link, cursor)
    for (const request of this.#requests) this.#send(link, request)
    this.#becomeReady()
  }

  notConnected(): void {
    if (this.#closed) return
    this.#env.timers.after(this.#retryMs, () => {
      if (!this.#closed) this.#engine.dial(this, undefined)
    })
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS[1])
  }

  /** The connection is gone: what was sent over it may have been appended or not. */
  lost(link: Link): void {
    if (this.#link !== link) return
    this.#link = undefined
    for (const request of this.#requests) {
      if (request.sent) {
        this.#reject(
          request,
          new HoldfastError('OutcomeUnknown', 'the connection to the log broke'),
        )
      }
    }
    this.#engine.dial(this, link)
  }

  acked(request: Request, status: Status, position: Position): void {
    this.#failingSinceMs = undefined
    this.told(status)
    if (!this.#requests.delete(request)) return
    request.cancelTimeout()
    request.resolve({ position })
  }

  refused(request: Request, error: HoldfastError): void {
    this.#reject(request, error)
    if (error.code === 'LogUnavailable') this.#failing()
  }

  deliver(cursor: Cursor, status: Status, entries: readonly StoredEntry[]): void {
    this.told(status)
    for (const { position, frame } of entries) {
      if (cursor.ended) return
      cursor.next = position + 1
      // A copy: what one node does to its bytes, or remembers of them, is not the others'.
      cursor.follower.entry(position, copyBytes(frame))
    }
  }

  trimmed(cursor: Cursor, first: Position): void {
    if (cursor.ended) return
    this.#end(cursor)
    cursor.follower.failed(logTrimmed(cursor.next, first))
  }

  /** The newest position goes back only when the log has another history than before. */
  told({ history, last }: Status): void {
    if (history < this.#status.history) return
    const known = history === this.#status.history ? this.#status.last : 0
    this.#status = { history, last: Math.max(known, last) }
  }

  #send(link: Link, request: Request): void {
    request.sent = true
    this.#engine.publish(this, link, request)
  }

  #timedOut(request: Request): void {
    const waited = `no ack of the log within ${this.#timeoutMs} ms`
    this.#reject(
      request,
      request.sent
        ? new HoldfastError('OutcomeUnknown', waited)
        : new HoldfastError('LogUnavailable', `${waited}: not connected`),
    )
    this.#failing()
  }

  #reject(request: Request, error: HoldfastError): void {
    if (!this.#requests.delete(request)) return
    request.cancelTimeout()
    request.reject(error)
  }

  /** This server may be cut off from the others: after a while another is asked. */
  #failing(): void {
    const nowMs = this.#env.clock.monotonicMs()
    this.#failingSinceMs ??= nowMs
    if (nowMs - this.#failingSinceMs < MOVE_AFTER_MS || this.#link === undefined) return
    this.#failingSinceMs = undefined
    const link = this.#link
    link.breakOff('left')
    this.lost(link)
  }

  #end(cursor: Cursor): void {
    cursor.ended = true
    this.#cursors.delete(cursor)
  }
}
