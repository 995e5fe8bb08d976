/** Calls and streams over a folder's socket: server/protocol.ts says what goes over it. */
import type { Socket } from 'node:net'
import { HoldfastError } from '../core/errors.ts'
import type { Value } from '../core/wire.ts'
import { connectToHolder, type Holder } from '../open.ts'
import type { CallTypes, StreamTypes } from '../server/operations.ts'
import {
  CONNECTION,
  decodeError,
  decodeMessage,
  encodeMessage,
  LineSplitter,
  STREAM_CREDIT,
  type Message,
} from '../server/protocol.ts'
import type { Session } from './session.ts'

/** Methods that write: when the holder dies meanwhile, nobody knows whether they were applied. */
const WRITES: ReadonlySet<string> = new Set([
  'write',
  'modify',
  'delete',
  'bulk',
  'transaction',
  'define',
  'drop',
  'dropIndex',
  'tokenCreate',
  'tokenRotate',
  'tokenRevoke',
  'importState',
  'importBatch',
  'importFinish',
  'importForget',
])

interface Pending {
  readonly method: string
  receive(message: Message): void
  fail(error: Error): void
}

/** A call that its holder, which is leaving, did not begin: for whoever has the folder next. */
export class GivenBack extends Error {
  override readonly name = 'GivenBack'
}

export class SocketSession implements Session {
  readonly holder: Holder
  readonly #socket: Socket
  readonly #splitter = new LineSplitter()
  readonly #pending = new Map<number, Pending>()
  readonly #closed: Promise<void>
  readonly #greeted: Promise<boolean>
  #greet!: (isServed: boolean) => void
  #lastId = 0
  #isServed = false
  #gone = false
  /** The holder is leaving: it answers what it has begun, and begins nothing. */
  #leaving = false

  /**
   * A session with `holder`, or undefined when it has just gone, or is going: it is gone then.
   * Throws the reason of `signal`.
   */
  static async connect(
    dir: string,
    holder: Holder,
    signal: AbortSignal,
  ): Promise<SocketSession | undefined> {
    const socket = await connectToHolder(dir, holder).catch(() => undefined)
    if (socket === undefined) return undefined
    const session = new SocketSession(socket, holder, signal)
    if (await session.#greeted) return session
    await session.#closed
    signal.throwIfAborted()
    return undefined
  }

  private constructor(socket: Socket, holder: Holder, signal: AbortSignal) {
    this.holder = holder
    this.#socket = socket
    this.#greeted = new Promise((resolve) => (this.#greet = resolve))
    socket.on('data', (chunk: Uint8Array) => this.#receive(chunk))
    // The close that follows says all there is to say.
    socket.on('error', () => undefined)
    this.#closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#lose()
        resolve()
      })
    })
    const cancel = (): void => this.#cancelAll()
    if (signal.aborted) cancel()
    signal.addEventListener('abort', cancel, { once: true })
    socket.once('close', () => signal.removeEventListener('abort', cancel))
  }

  call<M extends keyof CallTypes>(
    method: M,
    params: CallTypes[M]['params'],
  ): Promise<CallTypes[M]['result']> {
    return new Promise((resolve, reject) => {
      const id = this.#begin({
        method,
        receive: ({ ok, error }) => {
          this.#done(id)
          if (error === undefined) resolve(ok as unknown as CallTypes[M]['result'])
          else reject(decodeError(error))
        },
        fail: reject,
      })
      this.#send({ id, method, params: params as unknown as Value })
    })
  }

  async *stream<M extends keyof StreamTypes>(
    method: M,
    params: StreamTypes[M]['params'],
  ): AsyncGenerator<StreamTypes[M]['item']> {
    const arrived: Message[] = []
    let failure: Error | undefined
    let wake = (): void => undefined
    const id = this.#begin({
      method,
      receive: (message) => {
        arrived.push(message)
        wake()
      },
      fail: (error) => {
        failure = error
        wake()
      },
    })
    this.#send({ id, method, params: params as unknown as Value, credit: STREAM_CREDIT })
    let isOver = false
    try {
      for (;;) {
        const message = arrived.shift()
        if (message === undefined) {
          if (failure !== undefined) throw failure
          await new Promise<void>((resolve) => (wake = resolve))
          continue
        }
        isOver = message.item === undefined
        if (message.error !== undefined) throw decodeError(message.error)
        if (isOver) return
        yield message.item as unknown as StreamTypes[M]['item']
        this.#send({ id, credit: 1 })
      }
    } finally {
      if (!isOver && failure === undefined) this.#send({ id, cancel: true })
      this.#done(id)
    }
  }

  async close(): Promise<void> {
    this.#socket.end()
    this.#socket.destroySoon()
    await this.#closed
  }

  #begin(pending: Pending): number {
    if (this.#leaving) throw new GivenBack()
    const id = ++this.#lastId
    this.#pending.set(id, pending)
    return id
  }

  #send(message: Message): void {
    if (this.#gone) this.#lose()
    else this.#socket.write(encodeMessage(message))
  }

  /** Nothing more comes for it. A holder that is leaving waits until nothing is awaited of it. */
  #done(id: number): void {
    this.#pending.delete(id)
    if (this.#leaving && this.#pending.size === 0) this.#socket.end()
  }

  #receive(chunk: Uint8Array): void {
    try {
      for (const line of this.#splitter.push(chunk)) this.#take(decodeMessage(line))
    } catch (cause) {
      this.#fail('Bug', 'the process that has the folder open does not speak our protocol', cause)
      this.#socket.destroy()
    }
  }

  #take(message: Message): void {
    const pending = this.#pending.get(message.id)
    if (message.id === CONNECTION && message.leaving !== true) {
      this.#isServed = true
      this.#greet(true)
    } else if (message.id === CONNECTION) {
      this.#leaving = true
      this.#greet(false)
      // One that was never served stays, to hear when the folder is free.
      if (this.#isServed && this.#pending.size === 0) this.#socket.end()
    } else if (message.leaving === true) {
      pending?.fail(new GivenBack())
      this.#done(message.id)
    } else {
      pending?.receive(message)
    }
  }

  #lose(): void {
    this.#gone = true
    this.#greet(false)
    this.#fail('Closed', `process ${this.holder.pid}, which had the folder open, is gone`)
  }

  #cancelAll(): void {
    // It may never be served: whoever has the folder open does not answer.
    if (!this.#isServed) this.#socket.destroy()
    for (const [id, pending] of this.#pending) {
      this.#send({ id, cancel: true })
      // A batch that was sent is awaited: its outcome is worth knowing.
      if (!WRITES.has(pending.method)) {
        this.#pending.delete(id)
        pending.fail(new HoldfastError('Cancelled', 'the call was cancelled'))
      }
    }
  }

  #fail(code: 'Closed' | 'Bug', message: string, cause?: unknown): void {
    const lost = [...this.#pending.values()]
    this.#pending.clear()
    for (const pending of lost) {
      const isWrite = code === 'Closed' && WRITES.has(pending.method)
      pending.fail(new HoldfastError(isWrite ? 'OutcomeUnknown' : code, message, { cause }))
    }
  }
}
