/** A database over the parts it is given: what every composition root does, the simulator's included. */
import type { Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { BackupFolder } from '../shard/backup/destinations.ts'
import type { Retention } from '../shard/janitor.ts'
import { Node, SHARDS_DEFAULT, type NodeOptions } from '../shard/node.ts'
import type { Store } from '../store/store.ts'
import { openDatabase, type Database, type DatabaseParts } from './database.ts'
import type { BackgroundProblem } from './problems.ts'
import type { TableDefinitions } from './schema.ts'
import type { SchemaProgress } from './schema-work.ts'

export interface DatabaseOptions<T extends TableDefinitions> {
  /** Tables by name. Those that the database has beside these are kept as they are. */
  readonly tables?: T | undefined
  /** Shards of a new database; fixed for ever. Default 16. */
  readonly shards?: number | undefined
  /** How long, and up to how much, the log is kept for feeds and restores. */
  readonly retention?: Retention | undefined
  /** Told about the work on rows that a changed definition needs. */
  readonly onProgress?: ((progress: SchemaProgress) => void) | undefined
  /**
   * Told about background work that failed (a `migrate` that throws while rows are expired): once
   * for each cause. The work is tried again; `stats().problems` lists what still fails.
   */
  readonly onProblem?: ((problem: BackgroundProblem) => void) | undefined
}

export interface Adapters {
  readonly env: Env
  readonly store: Store
  readonly openLog: NodeOptions['openLog']
  readonly bus?: NodeOptions['bus']
  readonly durability?: NodeOptions['durability']
  /** What people call the node. */
  readonly name?: NodeOptions['name']
  readonly logStatus?: DatabaseParts['logStatus']
  readonly tail?: NodeOptions['tail']
  readonly dir: string | undefined
  /** Opens a folder for backups; undefined where there are no folders. */
  readonly openFolder?: ((dir: string) => Promise<BackupFolder>) | undefined
  /** Called before the node closes: resolves when those served elsewhere have had their answers. */
  readonly leave?: (() => Promise<void> | undefined) | undefined
  /** Called once the node is closed. */
  readonly release: () => Promise<void>
}

/** Throws `InvalidArgument` for a number of shards that cannot be. */
export function checkShards(shards: number | undefined): void {
  if (shards === undefined) return
  if (Number.isInteger(shards) && shards >= 1 && shards <= LIMITS.shards) return
  throw new HoldfastError('InvalidArgument', `shards is a whole number from 1 to ${LIMITS.shards}`)
}

export interface Started<T extends TableDefinitions> {
  readonly db: Database<T>
  readonly node: Node
}

/** Starts a node on the parts, and opens its database. Closes the parts when that fails. */
export async function startDatabase<T extends TableDefinitions>(
  options: DatabaseOptions<T>,
  adapters: Adapters,
): Promise<Started<T>> {
  const { env, store, openLog, bus, durability, tail, name } = adapters
  const { dir, openFolder, logStatus, leave, release } = adapters
  const { shards, retention, onProgress, onProblem } = options
  let node: Node | undefined
  try {
    node = new Node({ env, store, openLog, bus, durability, tail, retention, name })
    await node.start(shards ?? SHARDS_DEFAULT)
    if (shards !== undefined && shards !== node.shards) {
      throw new HoldfastError(
        'InvalidArgument',
        `this database has ${node.shards} shards, for ever; not ${shards}`,
      )
    }
    const db = await openDatabase<T>(
      { node, dir, onProgress, onProblem, openFolder, logStatus, leave, release },
      (options.tables ?? {}) as T,
    )
    return { db, node }
  } catch (cause) {
    if (node === undefined) await store.close()
    else await node.close()
    // Nobody used it yet: why it stopped is all there is to say.
    throw isHoldfastError(cause, 'Halted') ? (cause.cause ?? cause) : cause
  }
}
