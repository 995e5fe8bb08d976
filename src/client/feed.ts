/**
 * Feeds over HTTP. A connection that breaks is made again, and goes on behind the last change that
 * was handed out: no gap, nothing twice. In the middle of a snapshot there is nothing to go on from.
 *
 *   row row row  live  update insert  ✂  (again, after the insert)  update ...
 */
import type { Key } from '../core/key-codec.ts'
import { HoldfastError } from '../core/holdfast-error.ts'
import { parseWire } from '../core/wire.ts'
import type { Change, WatchOptions } from '../table/handles.ts'
import { refused } from './arguments.ts'
import { problemError } from './problem.ts'
import type { Row } from './query.ts'
import { logOf } from './session-token.ts'
import { eventsOf, type ServerEvent } from './sse.ts'
import { isAgain, lostError, type Call, type Transport } from './transport.ts'

const PLACES: readonly unknown[] = [undefined, 'now', 'start', 'snapshot']
/** A server says something every 15 s: one that has said nothing for so long is gone. */
const SILENCE_MS = 45_000
/** A connection over which something is heard so long after it began was there, changes or none. */
const STOOD_MS = 10_000
const BACKOFF_MS = 100
const BACKOFF_MAX_MS = 5_000

type RemoteChange = Change<Row, Key>

/** Throws `InvalidArgument`. */
export function checkPlace({ after, from }: WatchOptions): void {
  if (after !== undefined && from !== undefined) {
    throw refused('a feed starts either after a token or from a named place')
  }
  if (!PLACES.includes(from)) throw refused("`from` is 'now', 'start' or 'snapshot'")
}

export class Feed {
  readonly #transport: Transport
  readonly #path: string
  readonly #options: WatchOptions
  /** Ends the connection there is: the loop was left, the signal aborted, or the client closed. */
  #connection = new AbortController()
  /** What it goes on behind. */
  #after: string | undefined
  /** Rows of a snapshot that are not all there yet. */
  #rows = 0
  #isLive: boolean
  /** Connections in a row that gave nothing and did not last. */
  #failures = 0

  /** `now`: the token of the call, for a feed that begins there. */
  constructor(transport: Transport, path: string, options: WatchOptions, now?: string) {
    this.#transport = transport
    this.#path = path
    this.#options = options
    this.#after = options.after ?? now
    this.#isLive = options.from !== 'snapshot'
  }

  async *changes(): AsyncGenerator<RemoteChange, void, undefined> {
    const { signal } = this.#options
    const stop = (): void => this.#connection.abort()
    signal?.addEventListener('abort', stop)
    const leave = this.#transport.onClose(stop)
    try {
      let terms = this.#transport.terms(this.#options)
      for (;;) {
        const failure = yield* this.#connected(terms)
        this.#transport.assertGoing(signal)
        if (!this.#isLive && this.#rows > 0) {
          throw new HoldfastError('SnapshotExpired', 'the connection broke within the snapshot', {
            cause: failure,
          })
        }
        // What was handed out proves that the line was there: the time to get it back begins anew.
        if (this.#failures === 0) terms = this.#transport.terms(this.#options)
        if (this.#transport.leftMs(terms) <= 0) throw failure
        this.#failures++
        await this.#transport.pause(this.#backoffMs(), signal)
        this.#transport.assertGoing(signal)
      }
    } finally {
      stop()
      signal?.removeEventListener('abort', stop)
      leave()
    }
  }

  /** The changes of one connection; returns why it is over. Throws what no other would mend. */
  async *#connected(
    terms: ReturnType<Transport['terms']>,
  ): AsyncGenerator<RemoteChange, HoldfastError, undefined> {
    const call = this.#call()
    try {
      this.#connection = new AbortController()
      const { signal } = this.#connection
      const response = await this.#transport.stream(call, terms, signal)
      const log = logOf(response.headers.get('holdfast-token'))
      const body = response.body as ReadableStream<Uint8Array>
      for await (const event of this.#heard(body, signal)) {
        this.#failures = 0
        const change = this.#changeOf(event, log)
        if (change !== undefined) yield change
      }
      return lostError(false, undefined, 'the feed ended')
    } catch (cause) {
      this.#transport.assertGoing(this.#options.signal)
      // A connection that hangs until the deadline is one that could not be made, as all others.
      const isTold = cause instanceof HoldfastError && cause.code !== 'DeadlineExceeded'
      const error = isTold ? cause : lostError(false, cause)
      if (!isAgain(call, error)) throw error
      return error
    } finally {
      this.#connection.abort()
    }
  }

  /** The events of a connection, which is ended when nothing comes for long. */
  async *#heard(
    body: ReadableStream<Uint8Array>,
    signal: AbortSignal,
  ): AsyncGenerator<ServerEvent, void, undefined> {
    const { clock, timers } = this.#transport.env
    const stoodMs = clock.monotonicMs() + STOOD_MS
    const silent = (): void => this.#connection.abort()
    let cancel = timers.after(SILENCE_MS, silent, 'background')
    try {
      yield* eventsOf(body, signal, () => {
        if (clock.monotonicMs() >= stoodMs) this.#failures = 0
        cancel()
        cancel = timers.after(SILENCE_MS, silent, 'background')
      })
    } finally {
      cancel()
    }
  }

  #call(): Call {
    const { from } = this.#options
    const parameter =
      this.#after === undefined
        ? `from=${from ?? 'now'}`
        : `after=${encodeURIComponent(this.#after)}`
    return {
      method: 'GET',
      path: `${this.#path}/feed?${parameter}`,
      headers: { accept: 'text/event-stream' },
      writes: false,
    }
  }

  /** What an event says, and what it leaves to go on from. Throws the problem that it tells. */
  #changeOf(event: ServerEvent, log: string | undefined): RemoteChange | undefined {
    const change = this.#read(event, log)
    if (event.id !== undefined && event.id !== '') this.#after = event.id
    return change
  }

  #read({ id, event, data }: ServerEvent, log = ''): RemoteChange | undefined {
    switch (event) {
      case 'row':
      case 'insert':
      case 'update':
      case 'delete': {
        const told = parseWire(data) as unknown as { key: Key; row?: Row; position: number }
        const { key, row, position } = told
        if (event === 'row') this.#rows++
        const token = id ?? `${log}.${position}`
        if (event !== 'row') this.#transport.saw(token)
        return { kind: event, key, row, position, token }
      }
      case 'live':
        this.#isLive = true
        return undefined
      case 'problem':
      case 'end':
        throw problemError(parseWire(data))?.error ?? lostError(false, undefined, data)
      default:
        return undefined
    }
  }

  #backoffMs(): number {
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** (this.#failures - 1))
    return this.#transport.env.random.float() * ceiling
  }
}
