/**
 * The bus over NATS core messages. An answer is a byte that says what it is, then the answer's bytes
 * or an error as JSON. Servers of one subject are one queue group: NATS picks one of them.
 *
 * While no server is connected, messages are lost, as any may be, and requests fail by name.
 */
import type { Msg } from '@nats-io/transport-node'
import { concatBytes, copyBytes, hex, type Bytes } from '../core/bytes.ts'
import { delay, type Env } from '../core/env.ts'
import { ERRORS, HoldfastError, type Applied, type ErrorCode } from '../core/errors.ts'
import {
  checkNatsName,
  connectNats,
  forDatabase,
  hasNoResponder,
  LinkDown,
  type NatsLink,
  type NatsOptions,
} from '../core/nats-connection.ts'
import { parseWire, stringifyWire, type Value } from '../core/wire.ts'
import {
  checkMessage,
  checkPattern,
  checkSubject,
  type Bus,
  type BusMessage,
  type BusSubscription,
  type MessageHandler,
  type OnBusError,
  type RequestHandler,
  type RequestOptions,
} from './bus.ts'
import { messageCaller, requestCaller, type PendingRequest } from './handlers.ts'
import { Queue, QUEUE_LIMIT } from './queue.ts'
import { busClosed, Requests, type Reply } from './requests.ts'

export interface NatsBusOptions extends NatsOptions {
  /** Names the database among others on the same NATS. */
  readonly name: string
  readonly client?: string | undefined
  readonly onError?: OnBusError | undefined
}

const ANSWER = 0
const FAILURE = 1
const SERVERS = 'servers'
/** Longer than any caller waits: the request's own deadline ends it. */
const BEYOND_DEADLINE_MS = 1_000
/** For servers of one cluster to tell each other of a subscription: a message on a connection. */
const SPREAD_MS = 25

/** What nobody listens to: it shows whether this node may publish, ask and answer. */
const TRIED = '_tried'
/** Milliseconds for a node to answer itself. */
const TRIED_MS = 2_000
const TRIED_BYTES = 8

/**
 * Throws `InvalidArgument`, `Unreachable`, `EngineUnauthenticated` and `EngineUnsupported`, as
 * `connectNats`, and `EngineForbidden`.
 */
export async function openNatsBus(env: Env, options: NatsBusOptions): Promise<Bus> {
  checkNatsName(options.name)
  const own = forDatabase(options, options.name)
  const link = await connectNats(env, own, options.client ?? 'holdfast calls')
  try {
    await assertMayTalk(env, link, options.name)
    return new NatsBus(env, link, options)
  } catch (cause) {
    await link.close()
    throw cause
  }
}

/** A node asks itself: so it publishes, listens, asks and answers, which all must be allowed. */
function assertMayTalk(env: Env, link: NatsLink, name: string): Promise<void> {
  const call = `holdfast.${name}.call.${TRIED}.${hex(env.random.bytes(TRIED_BYTES))}`
  const messages = `holdfast.${name}.bus`
  return link.assertAllowed(async (connection) => {
    connection.subscribe(`${messages}.>`, { callback: ignore }).unsubscribe()
    connection.publish(`${messages}.${TRIED}`)
    const served = connection.subscribe(call, {
      queue: SERVERS,
      callback: (error, message) => void (error === null && message.respond()),
    })
    // What forbids it is told apart from this.
    connection.request(call, '', { timeout: TRIED_MS }).catch(ignore)
    await connection.flush()
    served.unsubscribe()
  })
}

const ignore = (): void => undefined

class NatsBus implements Bus {
  readonly #env: Env
  readonly #link: NatsLink
  /** Messages and requests are apart: who only listens gets no requests. */
  readonly #messages: string
  readonly #calls: string
  readonly #onError: OnBusError
  readonly #own = new Set<BusSubscription>()
  readonly #requests: Requests
  #closed = false

  constructor(env: Env, link: NatsLink, { name, onError }: NatsBusOptions) {
    this.#env = env
    this.#link = link
    this.#messages = `holdfast.${name}.bus.`
    this.#calls = `holdfast.${name}.call.`
    this.#onError = onError ?? ignore
    this.#requests = new Requests(env)
    link.onForbidden((violation) => this.#onError(link.refuse(violation), violation.subject))
  }

  publish(subject: string, bytes: Bytes): void {
    this.#assertOpen()
    checkSubject(subject)
    checkMessage(bytes)
    if (!this.#link.connected) return
    // The client keeps the bytes until they are written.
    this.#link.connection.publish(this.#messages + subject, copyBytes(bytes))
  }

  subscribe(pattern: string, handler: MessageHandler): BusSubscription {
    const call = messageCaller(handler, this.#onError)
    return this.#add<BusMessage>(this.#messages, pattern, call, (subject, { data }) => ({
      subject,
      bytes: data,
    }))
  }

  serve(pattern: string, handler: RequestHandler): BusSubscription {
    const call = requestCaller(handler, this.#onError)
    return this.#add<PendingRequest>(this.#calls, pattern, call, (subject, message) => ({
      subject,
      bytes: message.data,
      answer: (bytes) => void message.respond(concatBytes(Uint8Array.of(ANSWER), bytes)),
      fail: (error) => void message.respond(encodeFailure(error)),
    }))
  }

  request(subject: string, bytes: Bytes, options: RequestOptions): Promise<Bytes> {
    return this.#requests.ask(subject, bytes, options, () => (reply) => {
      const given = copyBytes(bytes)
      const timeout = options.deadlineMs + BEYOND_DEADLINE_MS
      this.#link
        .call(() => this.#link.connection.request(this.#calls + subject, given, { timeout }))
        .then(
          ({ data }) => settle(reply, data),
          (cause: unknown) => reply.fail(this.#link.forbiddenBy(cause) ?? refusal(subject, cause)),
        )
    })
  }

  async flush(): Promise<void> {
    this.#assertOpen()
    try {
      await this.#link.call(() => this.#link.connection.flush())
    } catch (cause) {
      if (this.#closed) throw busClosed()
      throw new HoldfastError('NoResponder', `nothing was flushed: ${textOf(cause)}`, { cause })
    }
    // The connected server knows; it has told the others, who do not say when they know.
    if (this.#link.connection.info?.cluster !== undefined) await delay(this.#env, SPREAD_MS)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const subscription of this.#own) subscription.close()
    this.#requests.close()
    await this.#link.close()
  }

  #add<T extends BusMessage>(
    prefix: string,
    pattern: string,
    handle: (message: T) => void,
    received: (subject: string, message: Msg) => T,
  ): BusSubscription {
    this.#assertOpen()
    checkPattern(pattern)
    const onClose = (): void => {
      this.#own.delete(queue)
      if (!this.#closed) subscription.unsubscribe()
    }
    const queue = new Queue<T>(pattern, { env: this.#env, limit: QUEUE_LIMIT, handle, onClose })
    const subscription = this.#link.connection.subscribe(prefix + pattern, {
      ...(prefix === this.#calls ? { queue: SERVERS } : {}),
      callback: (error, message) => {
        if (error !== null) {
          // What is forbidden the link tells.
          if (this.#link.forbiddenBy(error) === undefined) this.#onError(error, pattern)
          return
        }
        const subject = message.subject.slice(prefix.length)
        if (subject !== TRIED) queue.push(received(subject, message))
      },
    })
    this.#own.add(queue)
    return queue
  }

  #assertOpen(): void {
    if (this.#closed) throw busClosed()
  }
}

function settle(reply: Reply, data: Bytes): void {
  if (data[0] === ANSWER) reply.answer(data.subarray(1))
  else reply.fail(decodeFailure(data))
}

function refusal(subject: string, cause: unknown): HoldfastError {
  if (hasNoResponder(cause)) {
    return new HoldfastError('NoResponder', `nobody serves ${subject}`, { cause })
  }
  const sent = !(cause instanceof LinkDown) || cause.sent
  if (cause instanceof LinkDown && !sent && cause.refusal !== undefined) return cause.refusal
  const message = `${subject} ${sent ? 'gave no answer' : 'was not asked'}: ${textOf(cause)}`
  return new HoldfastError(sent ? 'OutcomeUnknown' : 'NoResponder', message, { cause })
}

const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

function encodeFailure({ code, message, applied, details }: HoldfastError): Bytes {
  const text = stringifyWire({ code, message, applied, details: wireOrNone(details) })
  return concatBytes(Uint8Array.of(FAILURE), new TextEncoder().encode(text))
}

/** Details that have a wire form; what has none stays where it was made. */
function wireOrNone(details: HoldfastError['details']): Value | undefined {
  try {
    stringifyWire(details as Value)
    return details as Value
  } catch {
    return undefined
  }
}

function decodeFailure(data: Bytes): HoldfastError {
  const text = new TextDecoder().decode(data.subarray(1))
  const { code, message, applied, details } = parseWire(text) as unknown as {
    code: ErrorCode
    message: string
    applied: Applied
    details?: Readonly<Record<string, unknown>>
  }
  if (Object.hasOwn(ERRORS, code)) {
    return new HoldfastError(code, message, { applied, details: details ?? {} })
  }
  return new HoldfastError('Bug', `${code}: ${message}`, { applied })
}
