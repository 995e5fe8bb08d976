/** Databases for the tests of guarantees: in memory, in a folder, and over a store that is told to fail. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe } from 'vitest'
import type { Env } from '../../src/core/env.ts'
import type { HoldfastError } from '../../src/core/errors.ts'
import { systemEnv } from '../../src/core/system-env.ts'
import {
  open,
  type BackgroundProblem,
  type Retention,
  type TableDefinitions,
} from '../../src/index.ts'
import { openLocalLog } from '../../src/log/local-log.ts'
import { Node } from '../../src/shard/node.ts'
import { openMemoryStore } from '../../src/store/memory-store.ts'
import type { Store, StoreBatch } from '../../src/store/store.ts'
import { openDatabase, type Database } from '../../src/table/database.ts'

export interface Place {
  /** Undefined for memory. */
  readonly dir: string | undefined
}

export interface Opening {
  readonly retention?: Retention
  readonly shards?: number
}

export type OpenAt = <const T extends TableDefinitions>(
  tables: T,
  options?: Opening & Partial<Place>,
) => Promise<Database<T>>

interface Closable {
  close(): Promise<void>
}

/** What a test opened, closed behind it; and the folders it used. */
const opened: Closable[] = []
const folders: string[] = []

export function cleanUp(): void {
  afterEach(async () => {
    for (const db of opened.splice(0)) await db.close().catch(() => undefined)
    for (const dir of folders.splice(0)) await rm(dir, { recursive: true, force: true })
  })
}

export async function freshFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-guarantees-'))
  folders.push(dir)
  return dir
}

export async function openFolder<const T extends TableDefinitions>(
  dir: string,
  tables: T,
  options: Opening = {},
): Promise<Database<T>> {
  const db = await open({ dir, tables, ...options })
  opened.push(db)
  return db
}

const openMemory: OpenAt = async (tables, options = {}) => {
  const { retention, shards } = options
  const db = await open({ memory: true, tables, retention, shards })
  opened.push(db)
  return db
}

const openLmdb: OpenAt = async (tables, { dir, ...options } = {}) =>
  openFolder(dir ?? (await freshFolder()), tables, options)

/** Runs a suite on a database in memory, and again on one in a folder. */
export function onBothStores(name: string, suite: (openAt: OpenAt) => void): void {
  describe(`${name}, in memory`, () => {
    cleanUp()
    suite(openMemory)
  })
  describe(`${name}, in a folder`, () => {
    cleanUp()
    suite(openLmdb)
  })
}

export interface Inside<T extends TableDefinitions> {
  readonly db: Database<T>
  readonly node: Node
  readonly released: () => number
}

/** A database whose node is at hand, over the store given. */
export async function openInside<const T extends TableDefinitions>(
  tables: T,
  options: {
    store?: Store
    env?: Env
    retention?: Retention
    onProblem?: (problem: BackgroundProblem) => void
  } = {},
): Promise<Inside<T>> {
  const env = options.env ?? systemEnv
  const store = options.store ?? openMemoryStore(env)
  const node = new Node({ env, store, openLog: openLocalLog, retention: options.retention })
  await node.start(4)
  let released = 0
  const release = (): Promise<void> => {
    released++
    return Promise.resolve()
  }
  const { onProblem } = options
  const parts = { node, dir: undefined, onProgress: undefined, onProblem, release }
  const db = await openDatabase(parts, tables)
  opened.push(db)
  return { db, node, released: () => released }
}

/** A store whose writes can be held back, or refused. */
export class FaultyStore implements Store {
  readonly durability = 'memory'
  readonly inner: Store
  failWith: HoldfastError | undefined
  #failed: HoldfastError | undefined
  #hold: Promise<void> | undefined
  #letGo: () => void = () => undefined

  constructor(inner: Store = openMemoryStore(systemEnv)) {
    this.inner = inner
  }

  /** Writes are visible at once, as the port allows, but settle only after `letGo`. */
  hold(): void {
    this.#hold = new Promise((resolve) => {
      this.#letGo = resolve
    })
  }

  letGo(): void {
    this.#hold = undefined
    this.#letGo()
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.inner.get(key)
  }

  scan(...args: Parameters<Store['scan']>): number {
    return this.inner.scan(...args)
  }

  async write(batch: StoreBatch): Promise<void> {
    this.#failed ??= this.failWith
    if (this.#failed !== undefined) throw this.#failed
    const hold = this.#hold
    await this.inner.write(batch)
    await hold
    const failed = this.#failed as HoldfastError | undefined
    if (failed !== undefined) throw failed
  }

  async flush(): Promise<void> {
    await this.inner.flush()
  }

  snapshot(): ReturnType<Store['snapshot']> {
    return this.inner.snapshot()
  }

  stats(): ReturnType<Store['stats']> {
    return this.inner.stats()
  }

  close(): Promise<void> {
    return this.inner.close()
  }
}

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms)
  })

/** A later turn of the event loop. */
export const later = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve)
  })

/** The code of what `run` is refused with; 'none' when it is not. */
export async function codeOf(run: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof run === 'function' ? run() : run)
    return 'none'
  } catch (cause) {
    return (cause as { code?: string }).code ?? String(cause)
  }
}

/** Rejects when `promise` is not settled in time: nothing may hang. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not settled after ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
