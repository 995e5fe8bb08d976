/**
 * Serves the operations of an open database to the connections of its folder's socket.
 *
 * Invariant: a connection never has more unsent bytes than the replies under way: a stream sends
 * only what its client has credit for, and waits while the socket is full.
 */
import type { Socket } from 'node:net'
import type { Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Value } from '../core/wire.ts'
import type { Operations, StreamTypes } from './operations.ts'
import {
  CONNECTION,
  decodeMessage,
  encodeError,
  encodeMessage,
  LineSplitter,
  type Message,
} from './protocol.ts'

/** How long calls under way have to end when the database closes, and their clients to go. */
const LEAVE_MS = 2_000
/** Streams that do not end by themselves. */
const ENDLESS: ReadonlySet<string> = new Set<keyof StreamTypes>(['feed'])

export class FolderSocket {
  readonly #operations: Operations
  readonly #env: Env
  readonly #connections = new Set<Connection>()
  /** Connections that came while it was leaving: they wait until the folder is free. */
  readonly #waiting = new Set<Socket>()
  #leaving = false

  constructor(operations: Operations, env: Env) {
    this.#operations = operations
    this.#env = env
  }

  /** Takes a connection. It does not keep the process alive. */
  accept(socket: Socket): void {
    // Gone before it had its turn: its close is not told again.
    if (socket.destroyed) return
    socket.unref()
    if (this.#leaving) {
      this.#waiting.add(socket)
      // The close that follows says all there is to say.
      socket.on('error', () => undefined)
      socket.once('close', () => this.#waiting.delete(socket))
      socket.resume()
      socket.write(encodeMessage({ id: CONNECTION, leaving: true }))
      return
    }
    const connection = new Connection(socket, this.#operations)
    this.#connections.add(connection)
    socket.once('close', () => this.#connections.delete(connection))
  }

  /** Begins nothing more; resolves when the calls under way have ended. Undefined: there are none. */
  leave(): Promise<void> | undefined {
    this.#leaving = true
    const all = [...this.#connections]
    for (const each of all) each.leave()
    if (all.length === 0) return undefined
    const late = this.#env.timers.after(LEAVE_MS, () => all.forEach((each) => each.destroy()))
    return Promise.all(all.map(({ closed }) => closed)).then(late)
  }

  /** Lets those go who waited for it to leave. */
  close(): void {
    for (const socket of this.#waiting) socket.destroy()
  }
}

/** A call or stream under way. */
interface Running {
  readonly isEndless: boolean
  readonly abort: AbortController
  credit: number
  /** Wakes the stream when it has credit again, or is cancelled. */
  wake: () => void
}

class Connection {
  readonly #socket: Socket
  readonly #operations: Operations
  readonly #splitter = new LineSplitter()
  readonly #running = new Map<number, Running>()
  readonly closed: Promise<void>
  #drained: Promise<void> | undefined
  #leaving = false

  constructor(socket: Socket, operations: Operations) {
    this.#socket = socket
    this.#operations = operations
    socket.on('data', (chunk: Uint8Array) => this.#receive(chunk))
    // The close that follows says all there is to say.
    socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#cancelAll()
        resolve()
      })
    })
    socket.write(encodeMessage({ id: CONNECTION }))
  }

  leave(): void {
    this.#leaving = true
    for (const [id, running] of this.#running) {
      if (!running.isEndless) continue
      stop(running)
      void this.#send({ id, error: encodeError(closing()) })
    }
    this.#socket.write(encodeMessage({ id: CONNECTION, leaving: true }))
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Uint8Array): void {
    try {
      for (const line of this.#splitter.push(chunk)) this.#take(decodeMessage(line))
    } catch {
      // Not our protocol, or too much of it.
      this.#socket.destroy()
    }
  }

  #take(message: Message): void {
    const { id, method, credit } = message
    const running = this.#running.get(id)
    if (message.cancel === true) {
      if (running !== undefined) stop(running)
    } else if (running !== undefined) {
      running.credit += credit ?? 0
      running.wake()
    } else if (method !== undefined && this.#leaving) {
      void this.#send({ id, leaving: true })
    } else if (method !== undefined) {
      void this.#run(message, method)
    }
  }

  async #run({ id, params, credit }: Message, method: string): Promise<void> {
    const running: Running = {
      isEndless: ENDLESS.has(method),
      abort: new AbortController(),
      credit: credit ?? 0,
      wake: () => undefined,
    }
    this.#running.set(id, running)
    try {
      const context = { signal: running.abort.signal }
      const call = own(this.#operations.calls, method)
      const stream = own(this.#operations.streams, method)
      if (call !== undefined) {
        const ok = await call(params as never, context)
        await this.#send({ id, ok: ok as unknown as Value })
      } else if (stream !== undefined) {
        await this.#stream(id, running, stream(params as never, context))
      } else {
        throw new HoldfastError(
          'Unsupported',
          `the process that has the folder open does not know ${method}: it has another version`,
        )
      }
    } catch (error) {
      await this.#send({ id, error: encodeError(error) })
    } finally {
      this.#running.delete(id)
    }
  }

  async #stream(id: number, running: Running, items: AsyncIterable<unknown>): Promise<void> {
    for await (const item of items) {
      while (running.credit === 0 && !running.abort.signal.aborted) {
        await new Promise<void>((resolve) => (running.wake = resolve))
      }
      if (running.abort.signal.aborted) return
      running.credit--
      await this.#send({ id, item: item as Value })
    }
    await this.#send({ id, end: true })
  }

  /** Resolves when the socket has room again. */
  async #send(message: Message): Promise<void> {
    if (!this.#socket.writable) return
    if (this.#socket.write(encodeMessage(message))) return
    this.#drained ??= new Promise<void>((resolve) => {
      const done = (): void => {
        this.#drained = undefined
        this.#socket.off('drain', done)
        this.#socket.off('close', done)
        resolve()
      }
      this.#socket.once('drain', done)
      this.#socket.once('close', done)
    })
    await this.#drained
  }

  #cancelAll(): void {
    for (const running of this.#running.values()) stop(running)
  }
}

function closing(): HoldfastError {
  return new HoldfastError('Closed', 'the process that has the folder open closes it')
}

function stop(running: Running): void {
  running.abort.abort()
  running.wake()
}

function own<T extends object>(methods: T, name: string): T[keyof T] | undefined {
  return Object.hasOwn(methods, name) ? methods[name as keyof T] : undefined
}
