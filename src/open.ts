/** The composition root: the only file that names adapters. */
import { resolve } from 'node:path'
import { hex } from './core/bytes.ts'
import { HoldfastError, isHoldfastError } from './core/errors.ts'
import { LIMITS } from './core/limits.ts'
import { systemEnv, systemProcess } from './core/system-env.ts'
import { openLocalLog } from './log/local-log.ts'
import type { Retention } from './shard/janitor.ts'
import { Node, SHARDS_DEFAULT } from './shard/node.ts'
import { FolderSocket } from './server/folder-socket.ts'
import { operations, type Operations } from './server/operations.ts'
import { claimFolder, type Claim } from './store/folder-claim.ts'
import { openLmdbStore } from './store/lmdb-store.ts'
import { openMemoryStore } from './store/memory-store.ts'
import type { Store } from './store/store.ts'
import { openDatabase, type Database } from './table/database.ts'
import type { TableDefinitions } from './table/schema.ts'
import type { SchemaProgress } from './table/schema-work.ts'

interface Common<T extends TableDefinitions> {
  /** Tables by name. Those that the folder has beside these are kept as they are. */
  readonly tables?: T | undefined
  /** Shards of a new database; fixed for ever. Default 16. */
  readonly shards?: number | undefined
  /** How long, and up to how much, the log is kept for feeds and restores. */
  readonly retention?: Retention | undefined
  /** Told about the work on rows that a changed definition needs. */
  readonly onProgress?: ((progress: SchemaProgress) => void) | undefined
}

export type OpenOptions<T extends TableDefinitions> = Common<T> &
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
  const shards = options.shards ?? SHARDS_DEFAULT
  if (!Number.isInteger(shards) || shards < 1 || shards > LIMITS.shards) {
    throw new HoldfastError(
      'InvalidArgument',
      `shards is a whole number from 1 to ${LIMITS.shards}`,
    )
  }
  if (options.memory === true) {
    return start(options, shards, openMemoryStore(systemEnv), undefined)
  }
  const dir = resolve(options.dir ?? './data')
  const claim = await claimFolder(dir, {
    create: options.mustExist !== true,
    pid: systemProcess.pid,
    incarnation: hex(systemEnv.random.bytes(8)),
  })
  try {
    return await start(options, shards, openLmdbStore({ dir }), claim)
  } catch (cause) {
    claim.serve((connection) => connection.destroy())
    await claim.release()
    throw cause
  }
}

async function start<T extends TableDefinitions>(
  options: Common<T>,
  shards: number,
  store: Store,
  claim: Claim | undefined,
): Promise<Served<T>> {
  let node: Node | undefined
  let socket: FolderSocket | undefined
  try {
    node = new Node({ env: systemEnv, store, openLog: openLocalLog, retention: options.retention })
    await node.start(shards)
    if (options.shards !== undefined && options.shards !== node.shards) {
      throw new HoldfastError(
        'InvalidArgument',
        `this database has ${node.shards} shards, for ever; not ${options.shards}`,
      )
    }
    const parts = {
      node,
      dir: claim?.dir,
      onProgress: options.onProgress,
      release: () => {
        socket?.close()
        return claim?.release() ?? Promise.resolve()
      },
    }
    const db = await openDatabase<T>(parts, (options.tables ?? {}) as T)
    const served = { db, operations: operations(db, systemEnv) }
    if (claim !== undefined) {
      const folderSocket = (socket = new FolderSocket(served.operations, systemEnv))
      claim.serve((connection) => folderSocket.accept(connection))
    }
    return served
  } catch (cause) {
    if (node === undefined) await store.close()
    else await node.close()
    // Nobody used it yet: why it stopped is all there is to say.
    throw isHoldfastError(cause, 'Halted') ? (cause.cause ?? cause) : cause
  }
}
