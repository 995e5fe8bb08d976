/**
 * A bus within one process: the nodes connect to one hub. Delivery takes a turn of the event loop,
 * so that nothing here is faster, or more reliable, than callers may count on.
 */
import { copyBytes, type Bytes } from '../core/bytes.ts'
import type { Cancel, Env } from '../core/env.ts'
import { turn } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import {
  checkMessage,
  checkPattern,
  checkSubject,
  matchesSubject,
  type Bus,
  type BusMessage,
  type BusSubscription,
  type MessageHandler,
  type OnBusError,
  type RequestHandler,
  type RequestOptions,
} from './bus.ts'

export interface LocalHubOptions {
  /** Messages that wait for one subscription at the most. Default 4,096. */
  readonly queueLimit?: number
}

export interface LocalHub {
  /** The bus of one node. */
  connect(onError?: OnBusError): Bus
}

export function openLocalHub(env: Env, options: LocalHubOptions = {}): LocalHub {
  const hub: Hub = {
    env,
    queueLimit: options.queueLimit ?? 4_096,
    subscriptions: new Set(),
    servers: new Set(),
    nextServer: 0,
  }
  return { connect: (onError = () => undefined) => new LocalBus(hub, onError) }
}

interface Hub {
  readonly env: Env
  readonly queueLimit: number
  readonly subscriptions: Set<Queue<BusMessage>>
  readonly servers: Set<Queue<PendingRequest>>
  /** Requests go round those who serve. */
  nextServer: number
}

interface PendingRequest extends BusMessage {
  answer(bytes: Bytes): void
  fail(error: HoldfastError): void
}

/** Calls of a queue's handler in one turn; then others have theirs. */
const CALLS_PER_TURN = 64

/** One subscription: what waits for it, and who gets it. */
class Queue<T extends BusMessage> implements BusSubscription {
  readonly pattern: string
  readonly #env: Env
  readonly #limit: number
  readonly #handle: (message: T) => void
  readonly #onClose: () => void
  readonly #waiting: T[] = []
  #scheduled = false
  #closed = false
  dropped = 0

  constructor(hub: Hub, pattern: string, handle: (message: T) => void, onClose: () => void) {
    this.#env = hub.env
    this.#limit = hub.queueLimit
    this.#onClose = onClose
    this.#handle = handle
    this.pattern = pattern
  }

  push(message: T): void {
    if (this.#waiting.length >= this.#limit) {
      this.dropped++
      return
    }
    this.#waiting.push(message)
    this.#schedule()
  }

  close(): void {
    this.#closed = true
    this.#waiting.length = 0
    this.#onClose()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#env.timers.soon(() => {
      this.#scheduled = false
      for (const message of this.#waiting.splice(0, CALLS_PER_TURN)) {
        if (!this.#closed) this.#handle(message)
      }
      if (this.#waiting.length > 0) this.#schedule()
    })
  }
}

class LocalBus implements Bus {
  readonly #hub: Hub
  readonly #onError: OnBusError
  readonly #own = new Set<BusSubscription>()
  /** Ends the requests under way. */
  readonly #requests = new Set<(error: HoldfastError) => void>()
  #closed = false

  constructor(hub: Hub, onError: OnBusError) {
    this.#hub = hub
    this.#onError = onError
  }

  publish(subject: string, bytes: Bytes): void {
    this.#check(subject, bytes)
    let message: BusMessage | undefined
    for (const queue of this.#hub.subscriptions) {
      if (!matchesSubject(queue.pattern, subject)) continue
      message ??= { subject, bytes: copyBytes(bytes) }
      queue.push(message)
    }
  }

  subscribe(pattern: string, handler: MessageHandler): BusSubscription {
    return this.#add(this.#hub.subscriptions, pattern, (message) => {
      void this.#guard(message.subject, async () => {
        await handler(message)
      })
    })
  }

  serve(pattern: string, handler: RequestHandler): BusSubscription {
    return this.#add(this.#hub.servers, pattern, (request) => {
      void this.#guard(request.subject, async () => {
        try {
          request.answer(copyBytes(await handler(request)))
        } catch (error) {
          request.fail(asAnswer(error, request.subject))
          if (!isHoldfastError(error)) throw error
        }
      })
    })
  }

  request(subject: string, bytes: Bytes, options: RequestOptions): Promise<Bytes> {
    const { deadlineMs, signal } = options
    return new Promise<Bytes>((resolve, reject) => {
      this.#check(subject, bytes)
      if (signal?.aborted === true) {
        throw new HoldfastError('Cancelled', `a request to ${subject} was cancelled`)
      }
      const server = this.#pickServer(subject)
      if (server === undefined) throw new HoldfastError('NoResponder', `nobody serves ${subject}`)
      let cancel: Cancel = () => undefined
      const end = (settle: () => void): void => {
        if (!this.#requests.delete(fail)) return
        cancel()
        signal?.removeEventListener('abort', abort)
        settle()
      }
      const fail = (error: HoldfastError): void => end(() => reject(error))
      const abort = (): void =>
        fail(new HoldfastError('Aborted', `a request to ${subject} was aborted`))
      this.#requests.add(fail)
      cancel = this.#hub.env.timers.after(deadlineMs, () => fail(late(subject, deadlineMs)))
      signal?.addEventListener('abort', abort, { once: true })
      // An answer takes a turn too.
      const { timers } = this.#hub.env
      server.push({
        subject,
        bytes: copyBytes(bytes),
        answer: (answer) => timers.soon(() => end(() => resolve(answer))),
        fail: (error) => timers.soon(() => fail(error)),
      })
    })
  }

  flush(): Promise<void> {
    if (this.#closed) return Promise.reject(closed())
    return turn(this.#hub.env)
  }

  close(): Promise<void> {
    this.#closed = true
    for (const subscription of this.#own) subscription.close()
    for (const fail of this.#requests) fail(closed('unknown'))
    return Promise.resolve()
  }

  #add<T extends BusMessage>(
    home: Set<Queue<T>>,
    pattern: string,
    handle: (message: T) => void,
  ): BusSubscription {
    if (this.#closed) throw closed()
    checkPattern(pattern)
    const queue = new Queue(this.#hub, pattern, handle, () => {
      home.delete(queue)
      this.#own.delete(queue)
    })
    home.add(queue)
    this.#own.add(queue)
    return queue
  }

  #pickServer(subject: string): Queue<PendingRequest> | undefined {
    const servers = [...this.#hub.servers].filter(({ pattern }) => matchesSubject(pattern, subject))
    return servers[this.#hub.nextServer++ % servers.length]
  }

  #check(subject: string, bytes: Bytes): void {
    if (this.#closed) throw closed()
    checkSubject(subject)
    checkMessage(bytes)
  }

  async #guard(subject: string, run: () => Promise<void>): Promise<void> {
    try {
      await run()
    } catch (error) {
      this.#onError(error, subject)
    }
  }
}

/** What the asker is told of an error of the handler. */
function asAnswer(error: unknown, subject: string): HoldfastError {
  if (isHoldfastError(error)) {
    const { code, message, applied, details } = error
    return new HoldfastError(code, message, { applied, details })
  }
  return new HoldfastError('Bug', `a handler of ${subject} failed: ${String(error)}`)
}

function late(subject: string, deadlineMs: number): HoldfastError {
  return new HoldfastError(
    'DeadlineExceeded',
    `no answer from ${subject} within ${deadlineMs} ms`,
    {
      applied: 'unknown',
    },
  )
}

function closed(applied: 'no' | 'unknown' = 'no'): HoldfastError {
  return new HoldfastError('Closed', 'the bus is closed', { applied })
}
