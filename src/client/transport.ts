/**
 * Calls over HTTP: deadlines and signals, retries where they are safe, tokens for read-your-writes.
 *
 *   fails as                          a read            a write           with an idempotency key
 *   no connection was made            again             again             again
 *   the answer is lost                again             OutcomeUnknown    again
 *   retryable and not applied         again             again             again
 *
 * "Again" is within the deadline, the number of tries and the budget of all calls together.
 */
import type { Cancel } from '../core/env.ts'
import { HoldfastError, type ErrorCode } from '../core/holdfast-error.ts'
import { onAbort } from '../core/on-abort.ts'
import { DEADLINE_MS } from '../core/shared-limits.ts'
import type { Value } from '../core/wire.ts'
import type { CallOptions } from '../table/handles.ts'
import { checkCall } from './arguments.ts'
import type { ClientEnv, ClientParts, ConnectOptions } from './handles.ts'
import { problemOfText, wasNotSent, wireOrNone, type Failure } from './problem.ts'
import { RetryBudget } from './retry-budget.ts'
import { newerToken } from './session-token.ts'

/** Until when a call may take, whatever it consists of. */
export interface Terms {
  /** By the monotonic clock. */
  readonly untilMs: number
  readonly signal: AbortSignal | undefined
}

export interface Call {
  readonly method: string
  readonly path: string
  readonly body?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
  /** Whether it can change anything. */
  readonly writes: boolean
  readonly idempotencyKey?: string | undefined
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** The body; undefined when there is none. */
  readonly value: Value | undefined
}

const TRIES = 4
const BACKOFF_MS = 50
const BACKOFF_MAX_MS = 2_000
const RESERVE = 10
const SHARE = 0.1
/** At the deadline the server answers by itself, and knows more: its answer gets this much to arrive. */
const ANSWER_GRACE_MS = 100
/** The longest deadline that is sent: a number that a header holds and a server reads. */
const DEADLINE_SENT_MAX_MS = 2 ** 31 - 1

/** Retryable, but not by sending the same request once more. */
const NOT_AGAIN: readonly ErrorCode[] = [
  'IndexNotReady',
  'SnapshotExpired',
  'Cancelled',
  'DeadlineExceeded',
]

const EVENT_STREAM = 'text/event-stream'
const NO_CONTENT = 204
/** Of what changes nothing, however far it came. */
const NEVER = (): boolean => false

/** Why a request was given up here. */
type GivenUp = 'deadline' | 'signal' | 'closed'

export class Transport {
  readonly env: ClientEnv
  readonly #fetch: ClientParts['fetch']
  readonly #options: ConnectOptions
  readonly #base: string
  readonly #budget: RetryBudget
  #token: string | undefined
  /** What writes wait for: feeds that are to show them. */
  readonly #ahead = new Set<Promise<unknown>>()
  readonly #writes = new Set<Promise<unknown>>()
  /** What ends with the client. A signal would warn of so many listeners. */
  readonly #onClose = new Set<() => void>()
  #isClosed = false

  constructor({ env, fetch }: ClientParts, options: ConnectOptions) {
    this.env = env
    this.#fetch = fetch
    this.#options = options
    this.#base = baseOf(options.url)
    this.#budget = new RetryBudget(options.retry?.reserve ?? RESERVE, options.retry?.share ?? SHARE)
    this.#token = options.after
  }

  get token(): string | undefined {
    return this.#token
  }

  /** Calls `end` when the client is closed, unless what is returned was called before. */
  onClose(end: () => void): () => void {
    this.#onClose.add(end)
    return () => void this.#onClose.delete(end)
  }

  saw(token: string | null | undefined): void {
    if (typeof token === 'string') this.#token = newerToken(this.#token, token)
  }

  terms(options: CallOptions = {}): Terms {
    checkCall(options)
    const deadlineMs = options.deadlineMs ?? this.#options.deadlineMs ?? DEADLINE_MS
    return { untilMs: this.env.clock.monotonicMs() + deadlineMs, signal: options.signal }
  }

  leftMs(terms: Terms): number {
    return terms.untilMs - this.env.clock.monotonicMs()
  }

  /** Writes that are called from now on are sent once `first` is settled. */
  goAhead(first: Promise<unknown>): void {
    this.#ahead.add(first)
    const done = (): void => void this.#ahead.delete(first)
    first.then(done, done)
  }

  /** Throws what the server refuses the call with, and what keeps it from its answer. */
  call(call: Call, terms: Terms): Promise<Answer> {
    const answer = this.#call(call, terms)
    if (call.writes) {
      this.#writes.add(answer)
      const done = (): void => void this.#writes.delete(answer)
      answer.then(done, done)
    }
    return answer
  }

  async #call(call: Call, terms: Terms): Promise<Answer> {
    if (call.writes && this.#ahead.size > 0) {
      // Nothing of it is sent yet, so it ends as a read does.
      await this.#limited(false, terms, NEVER, () => Promise.allSettled(this.#ahead))
    }
    this.#budget.called()
    const { tries: most = TRIES } = this.#options.retry ?? {}
    let unknown = false
    for (let tries = 1; ; tries++) {
      this.#assertAgain(terms.signal, unknown)
      if (this.leftMs(terms) <= 0) throw settled(lateError(false), unknown)
      const outcome = await this.#try(call, terms)
      if (!('error' in outcome)) return outcome
      const { error, retryAfterMs } = outcome
      const waitMs = Math.max(retryAfterMs, this.#backoffMs(tries))
      const again = isAgain(call, error) && tries < most && waitMs < this.leftMs(terms)
      if (!again || !this.#budget.spend()) throw settled(error, unknown)
      unknown ||= error.applied === 'unknown'
      await this.pause(waitMs, terms.signal)
    }
  }

  /** As `assertGoing`; `unknown` is whether a try before may have been applied. */
  #assertAgain(signal: AbortSignal | undefined, unknown: boolean): void {
    if (unknown && signal?.aborted === true) throw abortedError(signal)
    if (unknown && this.#isClosed) throw settled(closedError(), true)
    this.assertGoing(signal)
  }

  /** Throws `Closed` or `Cancelled`; for where nothing is on its way. */
  assertGoing(signal: AbortSignal | undefined): void {
    if (this.#isClosed) throw closedError()
    if (signal?.aborted === true) throw cancelledError(signal)
  }

  /** Resolves after the time, or when the signal aborts or the client is closed. */
  async pause(waitMs: number, signal?: AbortSignal): Promise<void> {
    let stop = (): void => undefined
    await new Promise<void>((resolve) => {
      const cancel = this.env.timers.after(waitMs, resolve)
      stop = this.#onGivenUp(signal, () => {
        cancel()
        resolve()
      })
    })
    stop()
  }

  /** Resolves after other due work had a turn. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.env.timers.soon(resolve)
    })
  }

  /** Full jitter (Brooker, "Exponential Backoff And Jitter", 2015). */
  #backoffMs(tries: number): number {
    const { backoffMs = BACKOFF_MS, backoffMaxMs = BACKOFF_MAX_MS } = this.#options.retry ?? {}
    return this.env.random.float() * Math.min(backoffMaxMs, backoffMs * 2 ** (tries - 1))
  }

  async #try(call: Call, terms: Terms): Promise<Answer | Failure> {
    let sent = false
    const isSent = (): boolean => call.writes && sent
    try {
      const answer = await this.#limited(call.writes, terms, isSent, async (signal) => {
        const headers = await this.#headers(call, terms)
        // It was given up while the access token was awaited: nobody hears this.
        if (signal.aborted) throw closedError()
        sent = true
        const response = await this.#fetch(this.#request(call, headers, signal))
        return answerOf(call, response, await response.text())
      })
      if (!('error' in answer)) this.saw(answer.headers.get('holdfast-token'))
      return answer
    } catch (cause) {
      if (cause instanceof HoldfastError) return { error: cause, retryAfterMs: 0 }
      return { error: lostError(isSent() && !wasNotSent(cause), cause), retryAfterMs: 0 }
    }
  }

  /**
   * A response whose body is still to be read: feeds. It is asked for once; `signal` ends it. Throws
   * what the server refuses it with, and `Unreachable`.
   */
  async stream(call: Call, terms: Terms, signal: AbortSignal): Promise<Response> {
    try {
      return await this.#limited(false, terms, NEVER, async (limit) => {
        const headers = await this.#headers(call, terms)
        const response = await this.#fetch(this.#request(call, headers, signal))
        if (response.ok && response.body !== null && typeOf(response).startsWith(EVENT_STREAM)) {
          if (limit.aborted) response.body.cancel().catch(() => undefined)
          return response
        }
        const answer = answerOf(call, response, await response.text())
        throw 'error' in answer ? answer.error : strangeError(call, response)
      })
    } catch (cause) {
      throw cause instanceof HoldfastError ? cause : lostError(false, cause)
    }
  }

  async #headers(call: Call, terms: Terms): Promise<Headers> {
    const { token } = this.#options
    const headers = new Headers(this.#options.headers)
    for (const [name, value] of Object.entries(call.headers ?? {})) headers.set(name, value)
    const access = typeof token === 'function' ? await token() : token
    if (access !== undefined) headers.set('authorization', `Bearer ${access}`)
    if (call.body !== undefined) headers.set('content-type', 'application/json')
    if (call.idempotencyKey !== undefined) headers.set('idempotency-key', call.idempotencyKey)
    const leftMs = Math.min(Math.ceil(this.leftMs(terms)), DEADLINE_SENT_MAX_MS)
    headers.set('holdfast-deadline-ms', String(Math.max(1, leftMs)))
    return headers
  }

  #request(call: Call, headers: Headers, signal: AbortSignal): Request {
    const { method, path, body } = call
    return new Request(this.#base + path, { method, headers, signal, body: body ?? null })
  }

  /**
   * Runs `send` until the deadline passes, the signal aborts or the client is closed. It is left
   * alone then: not every `fetch` listens to its signal. `isSent`: whether it may be applied by then.
   */
  #limited<T>(
    writes: boolean,
    terms: Terms,
    isSent: () => boolean,
    send: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const stop = new AbortController()
    return new Promise<T>((resolve, reject) => {
      const giveUp = (why: GivenUp): void => {
        reject(givenUpError(why, isSent(), terms.signal))
        stop.abort()
      }
      const late = this.leftMs(terms) + ANSWER_GRACE_MS
      const cancel = this.#after(late, () => giveUp('deadline'))
      // Closing waits for writes that are on their way.
      const leave = this.#onGivenUp(terms.signal, giveUp, writes)
      send(stop.signal)
        .then(resolve, reject)
        .finally(() => {
          cancel()
          leave()
        })
    })
  }

  #after(delayMs: number, callback: () => void): Cancel {
    return delayMs === Number.POSITIVE_INFINITY
      ? () => undefined
      : this.env.timers.after(delayMs, callback)
  }

  #onGivenUp(
    signal: AbortSignal | undefined,
    tell: (why: GivenUp) => void,
    despiteClose = false,
  ): () => void {
    const leave = signal && onAbort(signal, () => tell('signal'))
    const stay = despiteClose ? undefined : this.onClose(() => tell('closed'))
    return () => {
      leave?.()
      stay?.()
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const end of [...this.#onClose]) end()
    await Promise.allSettled(this.#writes)
  }
}

function baseOf(url: string | URL): string {
  const base = String(url).replace(/\/+$/, '')
  try {
    void new Request(`${base}/`)
    return base
  } catch (cause) {
    throw new HoldfastError('InvalidArgument', `url is no address of a server: ${base}`, { cause })
  }
}

/** Whether the same request may be sent once more. */
export function isAgain(call: Call, error: HoldfastError): boolean {
  if (error.code === 'OutcomeUnknown') return call.idempotencyKey !== undefined
  if (error.kind !== 'retryable' || error.applied !== 'no') return false
  return !NOT_AGAIN.includes(error.code)
}

function answerOf(call: Call, response: Response, text: string): Answer | Failure {
  const { status, headers } = response
  if (response.ok) {
    // Any other empty body was cut off.
    if (status === NO_CONTENT) return { status, headers, value: undefined }
    const value = typeOf(response).startsWith('application/json') ? wireOrNone(text) : undefined
    if (value !== undefined) return { status, headers, value }
  } else {
    const failure = problemOfText(text)
    if (failure !== undefined) return failure
  }
  return { error: strangeError(call, response), retryAfterMs: 0 }
}

/** An answer that is not Holdfast's: of a proxy between, or of something else at the address. */
function strangeError(call: Call, response: Response): HoldfastError {
  const what = `HTTP ${response.status}, ${typeOf(response) || 'no content type'}`
  return lostError(call.writes, undefined, `the answer is not Holdfast's: ${what}`)
}

function typeOf({ headers }: Response): string {
  return headers.get('content-type') ?? ''
}

/** For a call without an answer of Holdfast's. */
export function lostError(mayBeApplied: boolean, cause: unknown, message?: string): HoldfastError {
  const why = message ?? `no answer: ${cause instanceof Error ? reasonOf(cause) : String(cause)}`
  return new HoldfastError(mayBeApplied ? 'OutcomeUnknown' : 'Unreachable', why, { cause })
}

/** fetch says "fetch failed", and its cause says why. */
function reasonOf(error: Error): string {
  const { cause } = error
  if (!(cause instanceof Error)) return error.message
  return `${error.message}: ${cause.message || String((cause as { code?: unknown }).code)}`
}

/**
 * An attempt that may have been applied makes what came after it say so. What the server refused the
 * later one with, whoever asks what to do still wants to know: a token that has expired meanwhile.
 */
function settled(error: HoldfastError, unknown: boolean): HoldfastError {
  if (!unknown || error.applied !== 'no') return error
  const { code, kind, message, details } = error
  const more = { cause: error, applied: 'unknown', details } as const
  return kind === 'conflict' || kind === 'rejected'
    ? new HoldfastError(code, message, { ...more, entry: error })
    : new HoldfastError('OutcomeUnknown', message, more)
}

function givenUpError(
  why: GivenUp,
  writes: boolean,
  signal: AbortSignal | undefined,
): HoldfastError {
  if (why === 'closed') return closedError()
  if (why === 'deadline') return lateError(writes)
  return writes ? abortedError(signal) : cancelledError(signal)
}

function lateError(sent: boolean): HoldfastError {
  return sent
    ? new HoldfastError('OutcomeUnknown', 'the deadline passed before an answer came')
    : new HoldfastError('DeadlineExceeded', 'the deadline passed before there was an answer')
}

function closedError(): HoldfastError {
  return new HoldfastError('Closed', 'this client is closed')
}

function cancelledError(signal: AbortSignal | undefined): HoldfastError {
  return new HoldfastError('Cancelled', 'the call was aborted', { cause: signal?.reason })
}

function abortedError(signal: AbortSignal | undefined): HoldfastError {
  return new HoldfastError('Aborted', 'the call was aborted after it was sent', {
    cause: signal?.reason,
  })
}
