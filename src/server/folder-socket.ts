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
import type { Operations } from './operations.ts'
import {
  decodeMessage,
  encodeError,
  encodeMessage,
  LineSplitter,
  type Message,
} from './protocol.ts'

/** How long a connection has to take its last replies when the database closes. */
const CLOSE_MS = 500

export class FolderSocket {
  readonly #operations: Operations
  readonly #env: Env
  readonly #connections = new Set<Connection>()
  #closed = false

  constructor(operations: Operations, env: Env) {
    this.#operations = operations
    this.#env = env
  }

  /** Takes a connection. It does not keep the process alive. */
  accept(socket: Socket): void {
    if (this.#closed) {
      socket.destroy()
      return
    }
    socket.unref()
    const connection = new Connection(socket, this.#operations)
    this.#connections.add(connection)
    socket.once('close', () => this.#connections.delete(connection))
  }

  /** Sends what is under way, and lets go of every connection. */
  close(): void {
    this.#closed = true
    for (const connection of this.#connections) connection.end()
    const late = [...this.#connections]
    this.#env.timers.after(CLOSE_MS, () => late.forEach((each) => each.destroy()), 'background')
  }
}

/** A call or stream under way. */
interface Running {
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
  #drained: Promise<void> | undefined

  constructor(socket: Socket, operations: Operations) {
    this.#socket = socket
    this.#operations = operations
    socket.on('data', (chunk: Uint8Array) => this.#receive(chunk))
    // The close that follows says all there is to say.
    socket.on('error', () => undefined)
    socket.once('close', () => this.#cancelAll())
  }

  end(): void {
    this.#cancelAll()
    this.#socket.destroySoon()
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
      running?.abort.abort()
      running?.wake()
    } else if (running !== undefined) {
      running.credit += credit ?? 0
      running.wake()
    } else if (method !== undefined) {
      void this.#run(message, method)
    }
  }

  async #run({ id, params, credit }: Message, method: string): Promise<void> {
    const running: Running = {
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
    for (const running of this.#running.values()) {
      running.abort.abort()
      running.wake()
    }
  }
}

function own<T extends object>(methods: T, name: string): T[keyof T] | undefined {
  return Object.hasOwn(methods, name) ? methods[name as keyof T] : undefined
}
