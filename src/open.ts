/** The composition root: the only file that names adapters. */
import { join, resolve } from 'node:path'
import type { Blob } from './blob/blob.ts'
import { openFolderBlob } from './blob/folder-blob.ts'
import type { Bus } from './bus/bus.ts'
import { hex } from './core/bytes.ts'
import { HoldfastError, isHoldfastError } from './core/errors.ts'
import { systemEnv, systemProcess } from './core/system-env.ts'
import type { NatsOptions } from './core/nats-connection.ts'
import { openLocalLog } from './log/local-log.ts'
import type { JetStreamLog, JetStreamOptions } from './log/jetstream-log.ts'
import type { NextLog } from './log/jetstream-logs.ts'
import type { GoesOn } from './log/jetstream-stream.ts'
import type { Log } from './log/log.ts'
import { FolderSocket } from './server/folder-socket.ts'
import { operations, type Operations } from './server/operations.ts'
import { statePosition } from './shard/apply-loop.ts'
import type { BackupFolder } from './shard/backup/destinations.ts'
import { assertAlone, assertOwnLog, assertShared } from './shard/log-identity.ts'
import type { Durability } from './shard/durability.ts'
import { bootstrapped, type ReplaceStore } from './shard/catch-up/bootstrap.ts'
import type { SnapshotProgress } from './shard/catch-up/snapshot-receiver.ts'
import { checkTail, type LogTail } from './shard/log-trimmer.ts'
import { claimFolder, type Claim } from './store/folder-claim.ts'
import {
  abandonRestore,
  assertDatabase,
  assertNoDatabase,
  beginRestore,
  clearRestore,
  completeReplacement,
  finishReplacement,
  finishRestore,
  isUnfinishedReplacement,
  isUnfinishedRestore,
  makeScratch,
  removeScratch,
  restoreUnfinished,
} from './store/folder-restore.ts'
import { openLmdbReader } from './store/lmdb-reader.ts'
import { openLmdbStore } from './store/lmdb-store.ts'
import { openMemoryStore } from './store/memory-store.ts'
import type { SnapshotSource, Store } from './store/store.ts'
import type { Database } from './table/database.ts'
import type { TableDefinitions } from './table/schema.ts'
import { checkShards, startDatabase, type DatabaseOptions } from './table/start-database.ts'

export type { NatsOptions } from './core/nats-connection.ts'
export type { SnapshotProgress } from './shard/catch-up/snapshot-receiver.ts'
export type { LogTail } from './shard/log-trimmer.ts'

/** The name of a cluster's database, where none is given. */
export const DATABASE = 'holdfast'

/** Where the log of a cluster is, and how it is reached. */
export interface ClusterOptions extends NatsOptions {
  /** Names the database among others on the same NATS. Default `holdfast`. */
  readonly name?: string | undefined
  /** What people call this node. Default: the first 8 digits of its id. */
  readonly node?: string | undefined
  /** Servers that keep the log, when it is made. Default 3, or 1 on a lone server. */
  readonly replicas?: number | undefined
  /** Bytes that the log may take, when it is made. Default 10 GiB. */
  readonly maxBytes?: number | undefined
  /**
   * What stays in the log although the nodes have it on their disks: in `bytes` (default 64 MiB, at
   * most half of `maxBytes`) or `entries` (default 100,000), whichever is reached first; and by how
   * many nodes an entry must be on disk before it goes: `copies`, default 2.
   */
  readonly logTail?: LogTail | undefined
  /**
   * Told while this node takes a snapshot of another: it has no entries to go on from, since it is
   * new, or was away for longer than they are kept.
   */
  readonly onSnapshot?: ((progress: SnapshotProgress) => void) | undefined
  /** Monitoring endpoints of the servers, `http://host:8222`: they say whether acks are synced. */
  readonly monitors?: readonly string[] | undefined
  /** A system account, which can be asked instead. */
  readonly system?: NatsOptions | undefined
}

export type OpenOptions<T extends TableDefinitions> = DatabaseOptions<T> &
  (
    | {
        /** The folder; made when it is missing. Default `./data`. */
        readonly dir?: string | undefined
        readonly memory?: false | undefined
        /** Refuses to make a new database. Default false. */
        readonly mustExist?: boolean | undefined
        /**
         * Makes this process a node of a cluster: the log is a stream on these NATS servers, and the
         * folder has this node's copy of the data. Default: no cluster, the log is in the folder.
         */
        readonly cluster?: string | readonly string[] | ClusterOptions | undefined
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
 *   `StoreCorrupt`, `NewerFormat`, `InvalidSchema`, `SchemaConflict`, `DurabilityTooLow`; on a
 *   cluster `Unreachable`, `LogUnavailable`, `LogMismatch`, `LogReset`, `LogFull`,
 *   `EngineUnsupported`, `EngineUnauthenticated`, `EngineForbidden`
 */
export async function open<const T extends TableDefinitions = Record<never, never>>(
  options: OpenOptions<T> = {},
): Promise<Database<T>> {
  const { db } = await openServed(options)
  return db
}

/** What the command needs of this machine, whoever has the folder open. */
export { systemEnv } from './core/system-env.ts'
export { watchProcess } from './observe/system-process.ts'
export { connectToHolder, folderHolder, type Holder } from './store/folder-claim.ts'

/** Opens the folder's store by itself, for reading alone, beside whoever has it open. */
export function openStoreToRead(path: string): SnapshotSource {
  const dir = resolve(folderOf(path))
  assertDatabase(dir)
  return openLmdbReader(dir)
}

/** Opens a folder of backups; for reading alone it must be there, and stays as it is. */
export function openBlobs(dir: string, readOnly: boolean): Promise<Blob> {
  return openFolderBlob({ dir: resolve(folderOf(dir)), random: systemEnv.random, readOnly })
}

/** Opens a folder for a backup, made when it is missing: for one at a time. Throws `FolderInUse`. */
export async function openBackups(path: string): Promise<BackupFolder> {
  const dir = resolve(folderOf(path))
  const claim = await claimNow(dir, true).catch((cause: unknown) => {
    if (!isHoldfastError(cause, 'FolderInUse')) throw cause
    const { pid } = cause.details
    throw new HoldfastError(
      'FolderInUse',
      `process ${String(pid)} puts a backup into ${dir}, or has a database open there`,
      { cause, details: { dir, pid } },
    )
  })
  claim.serve((connection) => connection.destroy())
  const release = (): Promise<void> => claim.release()
  try {
    return { blob: await openBlobs(dir, false), release }
  } catch (cause) {
    await release()
    throw cause
  }
}

/**
 * Has `fill` make the data of a database in `dir`, where there is none, and names it once that is
 * done: a database is there then, whole. `aside` is a folder for what `fill` needs besides.
 *
 * @throws HoldfastError `AlreadyExists`, `FolderInUse`, and what `fill` throws
 */
export async function fillFolder<T>(
  path: string,
  fill: (store: Store, aside: string) => Promise<T>,
): Promise<T> {
  const dir = resolve(folderOf(path))
  assertNoDatabase(dir)
  const claim = await claimNow(dir, true)
  try {
    assertNoDatabase(dir)
    const aside = beginRestore(dir)
    try {
      const filled = await withStore(aside, fill)
      finishRestore(dir)
      return filled
    } catch (cause) {
      if (isUnfinishedRestore(dir)) abandonRestore(dir)
      throw cause
    }
  } finally {
    claim.serve((connection) => connection.destroy())
    await claim.release()
  }
}

/** Has `use` work with an empty store that is thrown away; in `parent`, by default the system's. */
export async function withScratch<T>(
  parent: string | undefined,
  use: (store: Store, aside: string) => Promise<T>,
): Promise<T> {
  const aside = makeScratch(parent === undefined ? undefined : resolve(folderOf(parent)))
  try {
    return await withStore(aside, use)
  } finally {
    removeScratch(aside)
  }
}

async function withStore<T>(
  dir: string,
  use: (store: Store, aside: string) => Promise<T>,
): Promise<T> {
  const store = openData(dir)
  try {
    return await use(store, join(dir, 'archive'))
  } finally {
    await store.close()
  }
}

function openData(dir: string): Store {
  return openLmdbStore({ dir, env: systemEnv })
}

/** Of a segment of a node's journal: keys that are written again and again go into the tree once. */
const CLUSTER_SEGMENT_BYTES = 64 * 1024 * 1024

/** The store of a cluster's node: the log has all that is in it, so that flushing need not be waited for. */
function openCopy(dir: string): Store {
  const segmentBytes = CLUSTER_SEGMENT_BYTES
  return openLmdbStore({ dir, env: systemEnv, segmentBytes, flushing: 'background' })
}

function claimNow(dir: string, create: boolean): Promise<Claim> {
  const incarnation = hex(systemEnv.random.bytes(8))
  return claimFolder(dir, { create, pid: systemProcess.pid, incarnation })
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
  const isThere = isUnfinishedReplacement(dir) || isUnfinishedRestore(dir)
  const claim = await claimNow(dir, options.mustExist !== true || isThere)
  try {
    completeReplacement(dir)
    if (isUnfinishedRestore(dir)) throw restoreUnfinished(dir)
    clearRestore(dir)
    const store = options.cluster === undefined ? openData(dir) : openCopy(dir)
    return await start(options, store, claim, options.cluster)
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
  cluster?: string | readonly string[] | ClusterOptions,
): Promise<Served<T>> {
  let socket: FolderSocket | undefined
  const joined = await clusterWith(store, claim?.dir, cluster)
  const { db } = await startDatabase(options, {
    env: systemEnv,
    store: joined?.store ?? store,
    openLog: joined === undefined ? openLocalLog : () => joined.log,
    bus: joined?.bus,
    durability: joined?.durability,
    name: joined?.node,
    logStatus: joined && (() => joined.log.status()),
    tail: joined?.tail,
    dir: claim?.dir,
    openFolder: openBackups,
    leave: () => socket?.leave(),
    release: () => {
      socket?.close()
      return claim?.release() ?? Promise.resolve()
    },
  }).catch(async (cause: unknown) => {
    // It may have failed before a node was there that closes them.
    await joined?.log.close()
    await joined?.bus.close()
    throw cause
  })
  const served = { db, operations: operations(db, systemEnv) }
  if (claim !== undefined) {
    const folderSocket = (socket = new FolderSocket(served.operations, systemEnv))
    claim.serve((connection) => folderSocket.accept(connection))
  }
  return served
}

/** Opens a database's log, for who begins it or looks what there is of it: its newest, or `number`. */
export async function openClusterLog(
  { name = DATABASE, monitors: _, system: __, ...options }: ClusterOptions,
  wanted: Pick<JetStreamOptions, 'mustExist' | 'goesOn' | 'number'>,
): Promise<Log> {
  const { openJetStreamLog } = await import('./log/jetstream-log.ts')
  return openJetStreamLog(systemEnv, { ...options, ...wanted, name })
}

/** Throws `LogMismatch` when a database has a log already that goes on with something else. */
export async function assertFree(
  { name = DATABASE, ...options }: ClusterOptions,
  goesOn: GoesOn,
): Promise<void> {
  const { assertNoOtherLog } = await import('./log/jetstream-logs.ts')
  await assertNoOtherLog(systemEnv, options, name, goesOn)
}

/** Sees to it that a database's newest log takes nothing more; returns the number of the next. */
export async function retireClusterLog(
  { name = DATABASE, ...options }: ClusterOptions,
  next: NextLog,
): Promise<number> {
  const { retireNewestLog } = await import('./log/jetstream-logs.ts')
  return retireNewestLog(systemEnv, options, name, next)
}

/** Has `use` work with the store in a folder where there is a database, and nobody else meanwhile. */
export async function withFolder<T>(
  path: string,
  use: (store: Store, dir: string) => Promise<T>,
): Promise<T> {
  const dir = resolve(folderOf(path))
  const isReplaced = isUnfinishedReplacement(dir)
  if (!isReplaced) assertDatabase(dir)
  const claim = await claimNow(dir, isReplaced)
  claim.serve((connection) => connection.destroy())
  try {
    completeReplacement(dir)
    const store = openData(dir)
    try {
      return await use(store, dir)
    } finally {
      await store.close()
    }
  } finally {
    await claim.release()
  }
}

export function clusterOf(cluster: string | readonly string[] | ClusterOptions): ClusterOptions {
  if (typeof cluster === 'string' || Array.isArray(cluster)) return { servers: cluster }
  return cluster as ClusterOptions
}

/** What a node of a cluster has. */
interface Joined {
  /** Its own, or a new one in its place. */
  readonly store: Store
  readonly log: JetStreamLog
  readonly bus: Bus
  readonly durability: () => Durability
  /** What people call the node. */
  readonly node: string | undefined
  readonly tail: LogTail | undefined
}

/** The cluster that goes with `store`, undefined for none. Closes the store when that fails. */
async function clusterWith(
  store: Store,
  dir: string | undefined,
  cluster: string | readonly string[] | ClusterOptions | undefined,
): Promise<Joined | undefined> {
  try {
    if (cluster !== undefined && dir !== undefined)
      return await joinCluster(store, dir, clusterOf(cluster))
    assertAlone(store)
    return undefined
  } catch (cause) {
    await store.close()
    throw cause
  }
}

/** Opens the cluster's log for a node that has `store`, and the way to its other nodes. */
async function joinCluster(
  store: Store,
  dir: string,
  { name = DATABASE, node, monitors, system, logTail, onSnapshot, ...options }: ClusterOptions,
): Promise<Joined> {
  checkTail(logTail)
  assertShared(store, name)
  const mustExist = statePosition(store) > 0
  // Only now: its client takes longer to load than all the rest.
  const { openJetStreamLog } = await import('./log/jetstream-log.ts')
  const log = await openJetStreamLog(systemEnv, { ...options, name, mustExist })
  try {
    await assertOwnLog(systemEnv, store, log)
    const durability = await log.watchDurability({ monitors, system })
    const { openNatsBus } = await import('./bus/nats-bus.ts')
    const bus = await openNatsBus(systemEnv, { ...options, name })
    const parts = { env: systemEnv, store, log, bus, onProgress: onSnapshot }
    const replace = replacing(dir, store)
    const begun = await bootstrapped({ ...parts, replace }).catch(async (cause: unknown) => {
      await bus.close()
      throw cause
    })
    return { store: begun, log, bus, durability, node, tail: logTail }
  } catch (cause) {
    await log.close()
    throw cause
  }
}

/** Has the data of a folder made anew aside; the store that is there is closed once that is whole. */
function replacing(dir: string, store: Store): ReplaceStore {
  return async (fill) => {
    try {
      await withStore(beginRestore(dir), fill)
    } catch (cause) {
      clearRestore(dir)
      throw cause
    }
    await store.close()
    finishReplacement(dir)
    return openCopy(dir)
  }
}
