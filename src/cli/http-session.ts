/** The methods of server/operations.ts over the HTTP API: what a folder answers, a URL does. */
import { Feed } from '../client/feed.ts'
import { Transport, type Answer, type Call } from '../client/transport.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { stringifyWire, type Value } from '../core/wire.ts'
import { systemEnv } from '../open.ts'
import type { CallTypes, StreamTypes } from '../server/operations.ts'
import { httpCalls } from './http-calls.ts'
import type { Door, HttpRequest } from './http-door.ts'
import { httpRows } from './http-rows.ts'
import type { Session } from './session.ts'
import type { Target } from './settings/resolve.ts'

/** For what may take long at the other end, such as filling an index. */
const LONG_MS = 3_600_000

type Feeds = StreamTypes['feed']

export class HttpSession implements Session {
  readonly holder = undefined
  readonly #transport: Transport
  readonly #signal: AbortSignal
  readonly #url: string
  readonly #door: Door = { ask: (request) => this.#ask(request) }
  readonly #calls = httpCalls(this.#door)

  constructor({ url, token }: Target & { kind: 'url' }, signal: AbortSignal) {
    this.#url = url
    this.#signal = signal
    const parts = { env: systemEnv, fetch: (request: Request) => fetch(request) }
    this.#transport = new Transport(parts, { url, token })
  }

  call<M extends keyof CallTypes>(
    method: M,
    params: CallTypes[M]['params'],
  ): Promise<CallTypes[M]['result']> {
    return this.#calls[method](params)
  }

  stream<M extends keyof StreamTypes>(
    method: M,
    params: StreamTypes[M]['params'],
  ): AsyncIterable<StreamTypes[M]['item']> {
    const items =
      method === 'feed'
        ? this.#feed(params)
        : httpRows(this.#door, params as StreamTypes['rows']['params'])
    return items as AsyncIterable<StreamTypes[M]['item']>
  }

  close(): Promise<void> {
    return this.#transport.close()
  }

  async *#feed({ table, from, after }: Feeds['params']): AsyncGenerator<Feeds['item']> {
    const path = `/v1/tables/${encodeURIComponent(table)}`
    const options = { from, after, signal: this.#signal }
    try {
      const feed = new Feed(this.#transport, path, options)
      for await (const change of feed.changes()) yield [change]
    } catch (error) {
      throw this.#named(error)
    }
  }

  async #ask({
    method,
    path,
    body,
    key,
    representation,
    isLong,
  }: HttpRequest): Promise<Value | undefined> {
    const writes = method !== 'GET' && !path.endsWith('/get-many')
    const call: Call = {
      method,
      path,
      writes,
      ...(body !== undefined && { body: stringifyWire(body as Value) }),
      ...(key !== undefined && { idempotencyKey: key }),
      ...(representation === true && { headers: { prefer: 'return=representation' } }),
    }
    // A write that was sent is awaited whatever the user does: its outcome is worth knowing.
    const terms = this.#transport.terms({
      ...(!writes && { signal: this.#signal }),
      ...(isLong === true && { deadlineMs: LONG_MS }),
    })
    let answer: Answer
    try {
      answer = await this.#transport.call(call, terms)
    } catch (error) {
      throw this.#named(error)
    }
    return answer.value
  }

  /** An error says which server it is about. */
  #named(error: unknown): unknown {
    const isOfServer = isHoldfastError(error, 'Unreachable', 'OutcomeUnknown', 'Unauthenticated')
    if (!isOfServer) return error
    const { code, message, cause, applied, details } = error
    return new HoldfastError(code, `${this.#url}: ${message}`, {
      cause,
      applied,
      details: { ...details, url: this.#url },
    })
  }
}
