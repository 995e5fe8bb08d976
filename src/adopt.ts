/**
 * Carries a folder's database to a cluster (S15): its history goes on under a log there. Each step can
 * be the last one before a crash, and the next call goes on:
 *
 *   is the name free? ─▶ seal the folder ─▶ make the log, for this place alone ─▶ genesis ─▶ whose?
 *                                                                              ours │     │
 *                              opened by nothing but the cluster's log from then on ┘     └▶ unseal
 */
import { hex } from './core/bytes.ts'
import { HoldfastError, isHoldfastError } from './core/errors.ts'
import { DIGEST_BYTES } from './core/hash.ts'
import {
  assertFree,
  clusterOf,
  DATABASE,
  openClusterLog,
  systemEnv,
  withFolder,
  type ClusterOptions,
} from './open.ts'
import { storedState } from './shard/apply-loop.ts'
import { beginLog, isBegunBy, markOf } from './shard/begin-log.ts'
import { sealedError } from './shard/log-identity.ts'
import type { LogState } from './shard/log-state.ts'
import { putSeal, readSeal, removeSeal, type Seal } from './shard/seal.ts'
import { StoreBatch, type Store } from './store/store.ts'

export interface AdoptOptions {
  /** The folder with the embedded database; nobody has it open. */
  readonly dir: string
  /** Where it goes; `name` is the database's there, and must be free. */
  readonly cluster: string | readonly string[] | ClusterOptions
}

export interface Adopted {
  /** The database's name on the cluster. */
  readonly database: string
  /** Of the log there. */
  readonly identity: string
  /** Where the cluster goes on: the last position of the folder's own log. */
  readonly position: number
}

/**
 * Carries the database in a folder to a cluster, with its rows, tables, idempotency keys and tokens.
 * The folder is then a node's: open it with `cluster`. Interrupted, it can be run again.
 *
 * @throws HoldfastError `FolderNotFound`, `FolderInUse`; `LogMismatch` when the cluster has another
 *   database of that name, or another copy of this folder was first: the folder is as it was;
 *   `LogSealed` for a folder that goes elsewhere; `Unreachable`, `LogUnavailable`
 */
export async function adopt(options: AdoptOptions): Promise<Adopted> {
  const cluster = clusterOf(options.cluster)
  const database = cluster.name ?? DATABASE
  return withFolder(options.dir, async (store) => {
    const state = storedState(store)
    if (state === undefined) throw new HoldfastError('FolderNotFound', 'the folder has no database')
    if (!state.alone) {
      throw new HoldfastError('LogMismatch', "the folder is a cluster's already", {
        details: { next: 'holdfast start --cluster URLS' },
      })
    }
    const seal = readSeal(store, state.identity)
    if (seal !== undefined && seal.database !== database) throw sealedError(seal)
    const carried = new Carrying(store, state, cluster, seal ?? newSeal(state, database))
    return carried.run(seal === undefined)
  })
}

function newSeal({ identity }: LogState, database: string): Seal {
  return { kind: 'adopt', identity, next: systemEnv.random.bytes(DIGEST_BYTES), database }
}

class Carrying {
  readonly #store: Store
  readonly #state: LogState
  readonly #cluster: ClusterOptions
  readonly #seal: Seal

  constructor(store: Store, state: LogState, cluster: ClusterOptions, seal: Seal) {
    this.#store = store
    this.#state = state
    this.#cluster = cluster
    this.#seal = seal
  }

  /** `isNew`: no call before this one can have come to a genesis. */
  async run(isNew: boolean): Promise<Adopted> {
    const { position } = this.#state
    const { database, next } = this.#seal
    const goesOn = { first: position + 1, mark: markOf(this.#state) }
    // Until it is known that the name is free the folder is as good as ever.
    await assertFree(this.#cluster, goesOn)
    await this.#write((batch) => putSeal(batch, this.#seal))
    const refused = async (cause: unknown): Promise<never> => {
      if (isNew && isHoldfastError(cause, 'LogMismatch')) await this.#write(removeSeal)
      throw cause
    }
    const log = await openClusterLog(this.#cluster, { goesOn }).catch(refused)
    try {
      const begun = await beginLog(systemEnv, log, this.#state, next).catch(refused)
      if (isBegunBy(begun, next)) return { database, identity: hex(next), position }
      // Ours can only come behind the first, where it counts for nobody.
      await this.#write(removeSeal)
      throw copyWasFirst(database)
    } finally {
      await log.close()
    }
  }

  async #write(fill: (batch: StoreBatch) => void): Promise<void> {
    const batch = new StoreBatch()
    fill(batch)
    await this.#store.write(batch)
  }
}

function copyWasFirst(database: string): HoldfastError {
  const message = `another copy of this folder was carried to the database ${database} before`
  return new HoldfastError('LogMismatch', message, {
    details: { database, next: 'choose another --database' },
  })
}
