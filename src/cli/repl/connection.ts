/**
 * A REPL's way to the data. A folder that nobody has open is opened once, at first need, and kept
 * open; where another process has it, each line goes through its socket; a URL is asked by requests.
 * Each line has a session of its own over it, which ends with the line's signal.
 */
import { openServed } from '../../open.ts'
import type { AnyDatabase } from '../../server/any-rows.ts'
import type { Operations } from '../../server/operations.ts'
import { LastingSession, reachFolder } from '../lasting-session.ts'
import { LocalSession } from '../open-session.ts'
import type { Session } from '../session.ts'
import type { Target } from '../settings/resolve.ts'

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
    return new LastingSession((create) => this.#connect(create, signal))
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
    const openHere = async (): Promise<Session> => {
      const { db, operations } = await this.#own(dir, create)
      return new KeptSession(db, operations, signal)
    }
    return this.#opened === undefined ? reachFolder(dir, signal, openHere) : openHere()
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
