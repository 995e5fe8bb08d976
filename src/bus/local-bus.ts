/**
 * A bus within one process: the nodes connect to one hub. Delivery takes a turn of the event loop,
 * so that nothing here is faster, or more reliable, than callers may count on.
 */
import { copyBytes, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { turn } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
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
import { messageCaller, requestCaller, type PendingRequest } from './handlers.ts'
import { Queue, QUEUE_LIMIT } from './queue.ts'
import { busClosed, Requests } from './requests.ts'

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
    queueLimit: options.queueLimit ?? QUEUE_LIMIT,
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

class LocalBus implements Bus {
  readonly #hub: Hub
  readonly #onError: OnBusError
  readonly #own = new Set<BusSubscription>()
  readonly #requests: Requests
  #closed = false

  constructor(hub: Hub, onError: OnBusError) {
    this.#hub = hub
    this.#onError = onError
    this.#requests = new Requests(hub.env)
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
    return this.#add(this.#hub.subscriptions, pattern, messageCaller(handler, this.#onError))
  }

  serve(pattern: string, handler: RequestHandler): BusSubscription {
    return this.#add(this.#hub.servers, pattern, requestCaller(handler, this.#onError))
  }

  request(subject: string, bytes: Bytes, options: RequestOptions): Promise<Bytes> {
    return this.#requests.ask(subject, bytes, options, () => {
      const server = this.#pickServer(subject)
      if (server === undefined) throw new HoldfastError('NoResponder', `nobody serves ${subject}`)
      // An answer takes a turn too.
      const { timers } = this.#hub.env
      return ({ answer, fail }) => {
        server.push({
          subject,
          bytes: copyBytes(bytes),
          answer: (reply) => timers.soon(() => answer(reply)),
          fail: (error) => timers.soon(() => fail(error)),
        })
      }
    })
  }

  flush(): Promise<void> {
    if (this.#closed) return Promise.reject(busClosed())
    return turn(this.#hub.env)
  }

  close(): Promise<void> {
    this.#closed = true
    for (const subscription of this.#own) subscription.close()
    this.#requests.close()
    return Promise.resolve()
  }

  #add<T extends BusMessage>(
    home: Set<Queue<T>>,
    pattern: string,
    handle: (message: T) => void,
  ): BusSubscription {
    if (this.#closed) throw busClosed()
    checkPattern(pattern)
    const { env, queueLimit: limit } = this.#hub
    const onClose = (): void => {
      home.delete(queue)
      this.#own.delete(queue)
    }
    const queue = new Queue<T>(pattern, { env, limit, handle, onClose })
    home.add(queue)
    this.#own.add(queue)
    return queue
  }

  #pickServer(subject: string): Queue<PendingRequest> | undefined {
    const servers = [...this.#hub.servers].filter(({ pattern }) => matchesSubject(pattern, subject))
    return servers[this.#hub.nextServer++ % servers.length]
  }

  #check(subject: string, bytes: Bytes): void {
    if (this.#closed) throw busClosed()
    checkSubject(subject)
    checkMessage(bytes)
  }
}
