/**
 * One client's feed: its backlog, then what its hub has. It produces only what its sink asks for, so
 * a reader that stalls lags, and nothing piles up here.
 */
import { turn, type Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { formatToken, type Token } from '../../table/token.ts'
import { Backlog } from './feed-backlog.ts'
import type { FeedHub } from './feed-hub.ts'
import { asError } from './problem.ts'
import { heartbeat, lastEvent, liveEvent } from './sse.ts'

export interface FeedSink {
  /** Returns whether it takes more now; if not, it calls `resume` later. */
  write(bytes: Uint8Array): boolean
  end(): void
}

export interface FeedParts {
  readonly env: Env
  readonly hub: FeedHub
  readonly log: string
  /** Called once, however it ended. */
  readonly closed: () => void
}

export class Feed {
  readonly #parts: FeedParts
  readonly #wake = (): void => this.#pump()
  #sink: FeedSink | undefined
  #backlog: Backlog | undefined
  /** Up to where everything was handed out; undefined while that is no place in the log. */
  #place: Token | undefined
  #hungry = false
  #reading = false
  /** Whether the sink has taken anything since the last beat. */
  #moved = true
  #live = false
  #isClosed = false

  constructor(parts: FeedParts, start: Token | Backlog) {
    this.#parts = parts
    if (start instanceof Backlog) this.#backlog = start
    else this.#place = start
  }

  attach(sink: FeedSink): void {
    this.#sink = sink
  }

  /** The sink takes more. */
  resume(): void {
    this.#hungry = true
    this.#moved = true
    this.#pump()
  }

  /** Ends it as broken. */
  fail(error: HoldfastError): void {
    this.#finish(lastEvent('problem', error))
  }

  /** Ends it because the server stops. */
  end(error: HoldfastError): void {
    this.#finish(lastEvent('end', error))
  }

  /** The client is gone, or everything was said. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#parts.hub.forget(this.#wake)
    this.#dropBacklog()
    this.#parts.closed()
  }

  /** Time passed: says that it lives, unless its reader is at something else. */
  beat(): void {
    const stalled = !this.#hungry && !this.#moved
    this.#moved = false
    if (stalled && this.#backlog?.inSnapshot === true) {
      // A snapshot that is held makes the data file grow.
      this.fail(new HoldfastError('SnapshotExpired', 'the rows of this feed were not read in time'))
    }
    if (!this.#hungry || this.#isClosed) return
    const { hub, log } = this.#parts
    const seen = hub.settle()
    // That may have fed it.
    if (!this.#hungry) return
    const place = this.#place
    const waits = this.#live && this.#backlog === undefined && hub.ended === undefined
    if (!waits || place === undefined || seen < place.position) {
      this.#send(heartbeat())
      return
    }
    this.#place = { position: seen, ordinal: Number.POSITIVE_INFINITY }
    this.#send(heartbeat(formatToken(log, seen)))
  }

  #pump(): void {
    while (this.#hungry && !this.#isClosed && !this.#reading) {
      const { hub } = this.#parts
      const place = this.#place
      if (this.#backlog !== undefined || place === undefined) {
        void this.#catchUp()
      } else if (!hub.covers(place)) {
        const after = this.#tokenOf(place)
        this.#backlog = new Backlog(hub.table, { after }, (reached) => hub.covers(reached))
      } else if (!this.#sendNext(hub, place)) {
        hub.wait(this.#wake)
        return
      }
    }
  }

  /** False when there is nothing to send yet. */
  #sendNext(hub: FeedHub, place: Token): boolean {
    const next = hub.after(place)
    if (next !== undefined) {
      this.#place = next.last
      this.#sendBytes(next.bytes)
    } else if (!this.#live) {
      this.#live = true
      this.#send(liveEvent(this.#tokenOf(place)))
    } else if (hub.ended !== undefined) {
      this.fail(hub.ended)
    } else {
      return false
    }
    return true
  }

  async #catchUp(): Promise<void> {
    const { env } = this.#parts
    this.#reading = true
    try {
      while (this.#hungry && this.#backlog !== undefined) {
        const { text, done } = await this.#backlog.read()
        if (this.#isClosed) return
        this.#place = this.#backlog.place ?? this.#place
        if (done) this.#backlog = undefined
        if (text !== '') this.#send(text)
        await turn(env)
      }
    } catch (cause) {
      if (!this.#isClosed) this.fail(asError(cause))
    } finally {
      this.#reading = false
    }
    this.#pump()
  }

  #finish(text: string): void {
    if (this.#isClosed) return
    this.#send(text)
    this.#sink?.end()
    this.close()
  }

  #tokenOf({ position, ordinal }: Token): string {
    const within = ordinal === Number.POSITIVE_INFINITY ? undefined : ordinal
    return formatToken(this.#parts.log, position, within)
  }

  #send(text: string): void {
    this.#sendBytes(Buffer.from(text))
  }

  #sendBytes(bytes: Uint8Array): void {
    this.#hungry = this.#sink?.write(bytes) === true
  }

  #dropBacklog(): void {
    // Lets go of its snapshot; that a read under way is cut off by it is no failure.
    this.#backlog?.close().catch(() => undefined)
    this.#backlog = undefined
  }
}
