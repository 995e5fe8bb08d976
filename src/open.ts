/** The composition root: the only file that names adapters. */
import { resolve } from 'node:path'
import { hex } from './core/bytes.ts'
import { HoldfastError } from './core/errors.ts'
import { systemEnv, systemProcess } from './core/system-env.ts'
import { openLocalLog } from './log/local-log.ts'
import { FolderSocket } from './server/folder-socket.ts'
import { operations, type Operations } from './server/operations.ts'
import { claimFolder, type Claim } from './store/folder-claim.ts'
import { openLmdbStore } from './store/lmdb-store.ts'
import { openMemoryStore } from './store/memory-store.ts'
import type { Store } from './store/store.ts'
import type { Database } from './table/database.ts'
import type { TableDefinitions } from './table/schema.ts'
import { checkShards, startDatabase, type DatabaseOptions } from './table/start-database.ts'

export type OpenOptions<T extends TableDefinitions> = DatabaseOptions<T> &
  (
    | {
        /** The folder; made when it is missing. Default `./data`. */
        readonly dir?: string | undefined
        readonly memory?: false | undefined
        /** Refuses to make a new database. Default false. */
        readonly mustExist?: boolean | undefined
      }
    | {
        /** Keeps everything in this process's memory, for tests. */
        readonly memory: true
      }
  )

/**
 * Opens a database: in a folder, by default `./data`, or in memory. One process at a time has a
 * folder open.
 *
 * @throws HoldfastError `FolderInUse`, `FolderReadOnly`, `FolderNotFound`, `StoreTruncated`,
 *   `StoreCorrupt`, `NewerFormat`, `InvalidSchema`, `SchemaConflict`
 */
export async function open<const T extends TableDefinitions = Record<never, never>>(
  options: OpenOptions<T> = {},
): Promise<Database<T>> {
  const { db } = await openServed(options)
  return db
}

/** What the command needs of this machine, whoever has the folder open. */
export { systemEnv } from './core/system-env.ts'
export { connectToHolder, folderHolder, type Holder } from './store/folder-claim.ts'

/** Opens the folder's store by itself, for reading alone, beside whoever has it open. */
export function openStoreToRead(dir: string): Store {
  return openLmdbStore({ dir, readOnly: true })
}

export interface Served<T extends TableDefinitions> {
  readonly db: Database<T>
  /** What other processes can ask for through the folder's socket. */
  readonly operations: Operations
}

/** Opens a database as `open` does, and hands out what it serves to other processes. */
export async function openServed<const T extends TableDefinitions = Record<never, never>>(
  options: OpenOptions<T>,
): Promise<Served<T>> {
  if (typeof options !== 'object' || options === null)
    throw refused('options of open are an object')
  checkShards(options.shards)
  if (options.memory === true) {
    return start(options, openMemoryStore(systemEnv), undefined)
  }
  const dir = resolve(folderOf(options.dir ?? './data'))
  const claim = await claimFolder(dir, {
    create: options.mustExist !== true,
    pid: systemProcess.pid,
    incarnation: hex(systemEnv.random.bytes(8)),
  })
  try {
    return await start(options, openLmdbStore({ dir }), claim)
  } catch (cause) {
    claim.serve((connection) => connection.destroy())
    await claim.release()
    throw cause
  }
}

function folderOf(dir: unknown): string {
  if (typeof dir === 'string' && dir !== '' && !dir.includes('\0')) return dir
  throw refused('dir is the path of a folder')
}

function refused(message: string): HoldfastError {
  return new HoldfastError('InvalidArgument', message)
}

async function start<T extends TableDefinitions>(
  options: DatabaseOptions<T>,
  store: Store,
  claim: Claim | undefined,
): Promise<Served<T>> {
  let socket: FolderSocket | undefined
  const { db } = await startDatabase(options, {
    env: systemEnv,
    store,
    openLog: openLocalLog,
    dir: claim?.dir,
    release: () => {
      socket?.close()
      return claim?.release() ?? Promise.resolve()
    },
  })
  const served = { db, operations: operations(db, systemEnv) }
  if (claim !== undefined) {
    const folderSocket = (socket = new FolderSocket(served.operations, systemEnv))
    claim.serve((connection) => folderSocket.accept(connection))
  }
  return served
}
