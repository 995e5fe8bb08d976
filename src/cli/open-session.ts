/**
 * A command's way to the data: through the process that has the folder open when there is one, else
 * by opening the folder itself. Both have the same handlers (server/operations.ts).
 */
import { isHoldfastError } from '../core/errors.ts'
import { connectToHolder, folderHolder, openServed } from '../open.ts'
import type { AnyDatabase } from '../server/any-rows.ts'
import type { CallTypes, Operations, StreamTypes } from '../server/operations.ts'
import type { Session } from './session.ts'
import { SocketSession } from './socket-session.ts'

export interface SessionOptions {
  readonly dir: string
  /** Makes the folder when it is missing; without it that is `FolderNotFound`. */
  readonly create?: boolean | undefined
  readonly signal: AbortSignal
}

/** Holders come and go: it may be gone when we connect, and there when we open. */
const TRIES = 5

/** @throws HoldfastError as `open` does */
async function openSession({ dir, create, signal }: SessionOptions): Promise<Session> {
  for (let tries = 1; ; tries++) {
    const holder = await folderHolder(dir)
    if (holder !== undefined) {
      const socket = await connectToHolder(dir, holder).catch(() => undefined)
      if (socket !== undefined) return new SocketSession(socket, holder, signal)
    }
    try {
      return await openOwn(dir, create === true, signal)
    } catch (error) {
      if (!isHoldfastError(error, 'FolderInUse') || tries >= TRIES) throw error
    }
  }
}

/** Opens the folder in this process. Throws `FolderInUse` when another has it open. */
export async function openOwn(dir: string, create: boolean, signal: AbortSignal): Promise<Session> {
  const { db, operations } = await openServed({ dir, mustExist: !create })
  return new LocalSession(db, operations, signal)
}

/** Runs `work` with a session, and closes it whatever happens. */
export async function withSession<T>(
  options: SessionOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await openSession(options)
  try {
    return await work(session)
  } finally {
    await session.close()
  }
}

class LocalSession implements Session {
  readonly holder = undefined
  readonly #db: AnyDatabase
  readonly #operations: Operations
  readonly #signal: AbortSignal

  constructor(db: AnyDatabase, operations: Operations, signal: AbortSignal) {
    this.#db = db
    this.#operations = operations
    this.#signal = signal
  }

  call<M extends keyof CallTypes>(
    method: M,
    params: CallTypes[M]['params'],
  ): Promise<CallTypes[M]['result']> {
    return this.#operations.calls[method](params, { signal: this.#signal })
  }

  stream<M extends keyof StreamTypes>(
    method: M,
    params: StreamTypes[M]['params'],
  ): AsyncIterable<StreamTypes[M]['item']> {
    return this.#operations.streams[method](params, { signal: this.#signal })
  }

  close(): Promise<void> {
    return this.#db.close()
  }
}
