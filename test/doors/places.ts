/** Databases that are the same to whoever uses them: embedded, and at the other end of HTTP. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { connect, type ConnectOptions } from '../../src/client.ts'
import { open, type Database, type DatabaseLike, type TableDefinitions } from '../../src/index.ts'
import { createHandler, serve, type HttpServer } from '../../src/server.ts'

/** What a suite runs on. */
export interface Opened<T extends TableDefinitions> {
  readonly db: DatabaseLike<T>
  /** The same database by a handle of its own, as another user has it. */
  readonly other: DatabaseLike<T>
  /** The database itself. */
  readonly embedded: Database<T>
}

export type OpenDoor = <const T extends TableDefinitions>(tables: T) => Promise<Opened<T>>

const toClose: (() => Promise<unknown>)[] = []

/** Closes what tests opened, the last first. */
export function cleanUp(): void {
  afterEach(async () => {
    for (const close of toClose.splice(0).toReversed()) await close()
  })
}

export function closeLater(close: () => Promise<unknown>): void {
  toClose.push(close)
}

export async function openMemory<const T extends TableDefinitions>(
  tables: T,
): Promise<Database<T>> {
  const db = await open({ memory: true, tables })
  closeLater(() => db.close())
  return db
}

async function openFolder<const T extends TableDefinitions>(tables: T): Promise<Database<T>> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-doors-'))
  closeLater(() => rm(dir, { recursive: true, force: true }))
  const db = await open({ dir, tables })
  closeLater(() => db.close())
  return db
}

/** A database behind a server on a port of its own. */
export async function served<T extends TableDefinitions>(
  db: Database<T>,
  options: Parameters<typeof serve>[1] = {},
): Promise<HttpServer> {
  const server = await serve(db, { port: 0, ...options })
  closeLater(() => server.close())
  return server
}

/** A client that is closed behind the test. */
export function client<T extends TableDefinitions>(
  options: ConnectOptions,
): ReturnType<typeof connect<T>> {
  const db = connect<T>(options)
  closeLater(() => db.close())
  return db
}

export const doors: Readonly<Record<string, OpenDoor>> = {
  'embedded, in memory': async (tables) => {
    const embedded = await openMemory(tables)
    return { db: embedded, other: embedded, embedded }
  },
  'embedded, in a folder': async (tables) => {
    const embedded = await openFolder(tables)
    return { db: embedded, other: embedded, embedded }
  },
  'remote, in this process': async <const T extends TableDefinitions>(tables: T) => {
    const embedded = await openMemory(tables)
    const handler = createHandler(embedded, { access: 'trusted' })
    const options = { url: 'http://holdfast.test', fetch: (r: Request) => handler.fetch(r) }
    return { db: client<T>(options), other: client<T>(options), embedded }
  },
  'remote, over a socket': async <const T extends TableDefinitions>(tables: T) => {
    const embedded = await openFolder(tables)
    const { url } = await served(embedded)
    return { db: client<T>({ url }), other: client<T>({ url }), embedded }
  },
}

/** The code of what `run` is refused with; 'none' when it is not. */
export async function codeOf(run: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof run === 'function' ? run() : run)
    return 'none'
  } catch (cause) {
    return (cause as { code?: string }).code ?? String(cause)
  }
}

/** Resolves once `holds` does; rejects when it does not for 20 s. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  const until = performance.now() + 20_000
  while (!(await holds())) {
    if (performance.now() > until) throw new Error(`never: ${String(holds)}`)
    await new Promise((resolve) => {
      setTimeout(resolve, 5)
    })
  }
}

/** A later turn of the event loop. */
export const later = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve)
  })
