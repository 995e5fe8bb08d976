/**
 * A REPL's way to the data. A folder that nobody has open is opened once, at first need, and kept
 * open; where another process has it, each line goes through its socket; a URL is asked by requests.
 * Each line has a session of its own over it, which ends with the line's signal.
 */
import { isHoldfastError } from '../../core/errors.ts'
import { connectToHolder, folderHolder, openServed, type Holder } from '../../open.ts'
import type { AnyDatabase } from '../../server/any-rows.ts'
import type { CallTypes, Operations, StreamTypes } from '../../server/operations.ts'
import { LocalSession } from '../open-session.ts'
import type { Session } from '../session.ts'
import type { Target } from '../settings/resolve.ts'
import { SocketSession } from '../socket-session.ts'

/** Holders come and go: it may be gone when we connect, and there when we open. */
const TRIES = 5

interface Opened {
  readonly db: AnyDatabase
  readonly operations: Operations
}

export class Connection {
  readonly target: Target
  #opened: Promise<Opened> | undefined

  constructor(target: Target) {
    this.target = target
  }

  /** A session whose calls end when `signal` aborts. It connects at its first call. */
  session(signal: AbortSignal): Session {
    return new LineSession((create) => this.#connect(create, signal))
  }

  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined)
    await opened?.db.close()
  }

  async #connect(create: boolean, signal: AbortSignal): Promise<Session> {
    const { target } = this
    if (target.kind === 'url') {
      const { HttpSession } = await import('../http-session.ts')
      return new HttpSession(target, signal)
    }
    const { dir } = target
    for (let tries = 1; ; tries++) {
      const holder = this.#opened === undefined ? await folderHolder(dir) : undefined
      if (holder !== undefined) {
        const socket = await connectToHolder(dir, holder).catch(() => undefined)
        if (socket !== undefined) return new SocketSession(socket, holder, signal)
      }
      try {
        const { db, operations } = await this.#own(dir, create)
        return new KeptSession(db, operations, signal)
      } catch (error) {
        if (!isHoldfastError(error, 'FolderInUse') || tries >= TRIES) throw error
      }
    }
  }

  /** Opened by the first line that needs it; a failure is that line's alone. */
  async #own(dir: string, create: boolean): Promise<Opened> {
    const opening = (this.#opened ??= openServed({ dir, mustExist: !create }))
    try {
      return await opening
    } catch (error) {
      if (this.#opened === opening) this.#opened = undefined
      throw error
    }
  }
}

/** Over the folder that the REPL keeps open. */
class KeptSession extends LocalSession {
  override close(): Promise<void> {
    return Promise.resolve()
  }
}

class LineSession implements Session {
  readonly #connect: (create: boolean) => Promise<Session>
  #connecting: Promise<Session> | undefined
  #session: Session | undefined
  #create = false

  constructor(connect: (create: boolean) => Promise<Session>) {
    this.#connect = connect
  }

  /** Known once something was called. */
  get holder(): Holder | undefined {
    return this.#session?.holder
  }

  async call<M extends keyof CallTypes>(
    method: M,
    params: CallTypes[M]['params'],
  ): Promise<CallTypes[M]['result']> {
    return (await this.#ready()).call(method, params)
  }

  async *stream<M extends keyof StreamTypes>(
    method: M,
    params: StreamTypes[M]['params'],
  ): AsyncGenerator<StreamTypes[M]['item']> {
    yield* (await this.#ready()).stream(method, params)
  }

  mayCreate(): void {
    this.#create = true
  }

  async close(): Promise<void> {
    await this.#connecting?.then(
      (session) => session.close(),
      () => undefined,
    )
  }

  async #ready(): Promise<Session> {
    const connecting = (this.#connecting ??= this.#connect(this.#create))
    try {
      return (this.#session = await connecting)
    } catch (error) {
      this.#connecting = undefined
      throw error
    }
  }
}
