/**
 * A session with a folder, whoever has it open: by its socket while another process has, else by
 * opening it here. Holders come and go; a call that one gave back goes to the next.
 */
import { isHoldfastError } from '../core/errors.ts'
import { folderHolder, type Holder } from '../open.ts'
import type { CallTypes, StreamTypes } from '../server/operations.ts'
import type { Session } from './session.ts'
import { GivenBack, SocketSession } from './socket-session.ts'

/** Each try more is a holder that came or went meanwhile. */
const TRIES = 100

/**
 * Reaches `dir` through the process that has it open, or by `openHere`.
 *
 * @throws HoldfastError what `openHere` does; the reason of `signal`
 */
export async function reachFolder(
  dir: string,
  signal: AbortSignal,
  openHere: () => Promise<Session>,
): Promise<Session> {
  for (let tries = 1; ; tries++) {
    const holder = await folderHolder(dir)
    const socket = holder && (await SocketSession.connect(dir, holder, signal))
    if (socket !== undefined) return socket
    try {
      return await openHere()
    } catch (error) {
      if (!isHoldfastError(error, 'FolderInUse') || tries >= TRIES) throw error
    }
  }
}

/** Connects at its first call, and again when the holder gave a call back. */
export class LastingSession implements Session {
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
    for (;;) {
      const session = await this.connected()
      try {
        return await session.call(method, params)
      } catch (error) {
        if (!(error instanceof GivenBack)) throw error
        await this.#leave(session)
      }
    }
  }

  async *stream<M extends keyof StreamTypes>(
    method: M,
    params: StreamTypes[M]['params'],
  ): AsyncGenerator<StreamTypes[M]['item']> {
    for (;;) {
      const session = await this.connected()
      try {
        yield* session.stream(method, params)
        return
      } catch (error) {
        if (!(error instanceof GivenBack)) throw error
        await this.#leave(session)
      }
    }
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

  /** The session it works through now. */
  async connected(): Promise<Session> {
    const connecting = (this.#connecting ??= this.#connect(this.#create))
    try {
      return (this.#session = await connecting)
    } catch (error) {
      if (this.#connecting === connecting) this.#connecting = undefined
      throw error
    }
  }

  async #leave(session: Session): Promise<void> {
    if (this.#session === session) this.#connecting = this.#session = undefined
    await session.close()
  }
}
