/**
 * A command's way to the data: through the process that has the folder open when there is one, else
 * by opening the folder itself. Both have the same handlers (server/operations.ts).
 */
import { openServed, type ClusterOptions } from '../open.ts'
import type { AnyDatabase } from '../server/any-rows.ts'
import type { CallTypes, Operations, StreamTypes } from '../server/operations.ts'
import { LastingSession, reachFolder } from './lasting-session.ts'
import { withNames } from './known-names.ts'
import type { DatabaseOptions } from '../table/start-database.ts'
import type { Session } from './session.ts'
import type { Target } from './settings/resolve.ts'
import type { Shell } from './shell.ts'

export interface SessionOptions {
  /** Makes the folder when it is missing; without it that is `FolderNotFound`. */
  readonly create?: boolean | undefined
  /** What it is with. Default: what the command works on. */
  readonly target?: Target | undefined
  /** Opens it as a node of a cluster. */
  readonly cluster?: ClusterOptions | undefined
  /** Told of work on tables, where this process does it. */
  readonly onProgress?: DatabaseOptions<Record<never, never>>['onProgress']
}

/** Opens the folder in this process. Throws `FolderInUse` when another has it open. */
export async function openOwn(
  dir: string,
  { create, cluster, onProgress }: SessionOptions,
  signal: AbortSignal,
): Promise<LocalSession> {
  const { db, operations } = await openServed({
    dir,
    mustExist: create !== true,
    cluster,
    onProgress,
  })
  return new LocalSession(db, operations, signal)
}

/**
 * A session with what the command works on: a folder, whoever has it open, or a URL.
 */
async function openSession(shell: Shell, options: SessionOptions = {}): Promise<Session> {
  const { signal } = shell
  const target = options.target ?? shell.target
  if (target.kind === 'folder') {
    const { dir } = target
    const session = new LastingSession(() =>
      reachFolder(dir, signal, () => openOwn(dir, options, signal)),
    )
    await session.connected()
    return session
  }
  const { HttpSession } = await import('./http-session.ts')
  return new HttpSession(target, signal)
}

/** Runs `work` with a session, and closes it whatever happens; that of the REPL stays open. */
export async function withSession<T>(
  shell: Shell,
  work: (session: Session) => Promise<T>,
  options: SessionOptions = {},
): Promise<T> {
  const session = shell.session ?? (await openSession(shell, options))
  if (options.create === true) session.mayCreate?.()
  try {
    return await work(session)
  } catch (error) {
    throw await withNames(session, error)
  } finally {
    if (session !== shell.session) await session.close()
  }
}

export class LocalSession implements Session {
  readonly holder = undefined
  readonly db: AnyDatabase
  readonly #operations: Operations
  readonly #signal: AbortSignal

  constructor(db: AnyDatabase, operations: Operations, signal: AbortSignal) {
    this.db = db
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
    return this.db.close()
  }
}
