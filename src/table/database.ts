/** The database handle: tables by name, transactions, feeds, definitions, statistics. */
import { hex, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Key } from '../core/key-codec.ts'
import type { Value } from '../core/value-codec.ts'
import { edgeEntry } from '../log/entry-store.ts'
import type { LogStatus } from '../log/log-status.ts'
import type { Position } from '../log/log.ts'
import {
  backupStore,
  type BackupFolder,
  type BackupOptions,
  type BackupReport,
} from '../shard/backup/destinations.ts'
import { checkStore, type CheckOptions, type CheckReport } from '../shard/check.ts'
import { presentName } from '../shard/lineage.ts'
import { tableNamed } from '../shard/log-state.ts'
import type { Modification } from '../shard/modification.ts'
import type { Node } from '../shard/node.ts'
import { storedTotal } from '../shard/shard-stats.ts'
import { Expiry } from './expiry.ts'
import { checkCall, checkFunction } from './arguments.ts'
import type {
  AnyTable,
  DatabaseStats,
  Durability,
  StrongTable,
  TransactionTable,
  TransactOptions,
} from './handles.ts'
import { Problems, type BackgroundProblem } from './problems.ts'
import {
  checkDeclared,
  checkName,
  strong,
  TTL_INDEX,
  type AnyDefinition,
  type StrongDefinition,
  type TableDefinitions,
} from './schema.ts'
import { declareTable, finishTable, redefine, type SchemaProgress } from './schema-work.ts'
import type { LooseQuery } from './strong/query.ts'
import { assertAtLeast } from './strong/refusals.ts'
import { Snapshots } from './strong/snapshots.ts'
import { StrongTableHandle } from './strong/strong-table.ts'
import { TableCore } from './strong/table-core.ts'
import type { StrongTransaction } from './strong/transaction.ts'
import { TransactionRows } from './strong/transaction-query.ts'
import { Transactor } from './strong/transactor.ts'
import { nodesOf, statusOf, type DatabaseStatus, type NodeStatus } from './status.ts'
import { formatToken } from './token.ts'

type HandleOf<D> =
  D extends StrongDefinition<infer In, infer Row, infer KeyType, infer Indexes>
    ? StrongTable<In, Row, KeyType, Indexes>
    : never
type TransactionHandleOf<D> =
  D extends StrongDefinition<infer In, infer Row, infer KeyType, infer Indexes>
    ? TransactionTable<In, Row, KeyType, Indexes>
    : never

/** Names that a table cannot have: they are the database's own. */
const RESERVED = [
  'table',
  'transact',
  'ready',
  'stats',
  'status',
  'check',
  'close',
  'drop',
  'dropIndex',
  'define',
  'token',
  'durability',
  'dir',
  'identity',
  'then',
  'constructor',
  'upkeep',
  'backup',
] as const

/** An open transaction: each declared table by its name, others by `table(name)`. */
export type Transaction<T extends TableDefinitions> = {
  readonly [Name in keyof T]: TransactionHandleOf<T[Name]>
} & {
  table(
    name: string,
  ): TransactionTable<
    Record<string, Value | undefined>,
    Record<string, Value | undefined>,
    Key,
    Record<string, never>
  >
}

export interface DatabaseCalls<T extends TableDefinitions> {
  /** The folder, as an absolute path; undefined for a database in memory. */
  readonly dir: string | undefined
  /** Names this database, and its copies, for ever. */
  readonly identity: string
  /** A token for everything that is acked by now. */
  readonly token: string
  /** What an ack of this database means. */
  readonly durability: Durability
  /** A table by name, declared or not: rows are plain objects. Throws `UnknownTable`. */
  table(name: string): AnyTable
  /**
   * Runs `run` until it committed: all or nothing, strictly serializable, over any rows of any
   * tables. It may run several times, so it must have no effects but through `tx`.
   * @throws HoldfastError `Conflict` at the deadline; and whatever `run` throws
   */
  transact<R>(run: (tx: Transaction<T>) => Promise<R> | R, options?: TransactOptions): Promise<R>
  /**
   * Resolves when indexes are built and rows are of their newest version. Work that has failed
   * before the call is tried again by it. Throws `SchemaConflict`, and what else the work fails with.
   */
  ready(): Promise<void>
  /** Declares a table while the database is open, or changes it. Resolves when it is ready. */
  define<D extends AnyDefinition>(name: string, definition: D): Promise<HandleOf<D>>
  /** Drops a table and its rows. */
  drop(name: string): Promise<void>
  /** Drops an index of a table. */
  dropIndex(table: string, index: string): Promise<void>
  stats(): DatabaseStats
  /**
   * How it is now: its nodes, as this one hears of them, the log's servers, what it survives, what is
   * wrong and what to do. Asks the servers of the log, for at most 2 s.
   */
  status(): Promise<DatabaseStatus>
  /** Whether what is stored is what was written, down to the last key. */
  check(options?: CheckOptions): Promise<CheckReport>
  /**
   * Backs up one moment to a folder or a stream, while writes go on. In a folder it goes on from the
   * backup before, where it can; the report says when it could not.
   * @throws HoldfastError `StoreCorrupt` or `EntryCorrupt` when what is stored is damaged
   */
  backup(options: BackupOptions): Promise<BackupReport>
  /** Does now what is done in the background: expiry, trimming, cleaning up. */
  upkeep(): Promise<void>
  /** Settles what is on its way, then lets go of the folder. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type Database<T extends TableDefinitions> = DatabaseCalls<T> & {
  readonly [Name in keyof T]: HandleOf<T[Name]>
}

export interface DatabaseParts {
  readonly node: Node
  readonly dir: string | undefined
  /** Told about work on rows that a changed definition needs. */
  readonly onProgress: ((progress: SchemaProgress) => void) | undefined
  /** Told about background work that failed. */
  readonly onProblem?: ((problem: BackgroundProblem) => void) | undefined
  /** Opens a folder for backups; undefined where there are no folders. */
  readonly openFolder?: ((dir: string) => Promise<BackupFolder>) | undefined
  /** Asks the servers of a shared log about it. */
  readonly logStatus?: (() => Promise<LogStatus>) | undefined
  /** Called before the node closes: resolves when those served elsewhere have had their answers. */
  readonly leave?: (() => Promise<void> | undefined) | undefined
  /** Called once the node is closed. */
  readonly release: () => Promise<void>
}

/** Work on a table's rows that goes on in the background. */
interface TableWork {
  readonly definition: AnyDefinition
  /** Rejects when it failed. */
  readonly done: Promise<void>
  failed: boolean
}

/** Tables of at most this many rows have their work done before `open` resolves. */
const WAITED_ROWS = 10_000

export async function openDatabase<T extends TableDefinitions>(
  parts: DatabaseParts,
  definitions: T,
): Promise<Database<T>> {
  for (const name of Object.keys(definitions)) {
    if ((RESERVED as readonly string[]).includes(name)) {
      throw new HoldfastError(
        'InvalidSchema',
        `a table cannot be named ${name}: it is a name of the database's own`,
      )
    }
  }
  return (await DatabaseHandle.open(parts, definitions)) as unknown as Database<T>
}

class DatabaseHandle {
  readonly dir: string | undefined
  readonly #parts: DatabaseParts
  /** The token that was made last: mostly the next one too. */
  #lastToken: { identity: Bytes | undefined; position: Position; text: string } = {
    identity: undefined,
    position: 0,
    text: '',
  }
  readonly #node: Node
  readonly #handles = new Map<string, StrongTableHandle>()
  /** Every name that had a handle, dropped tables' too. */
  readonly #names = new Set<string>()
  readonly #snapshots: Snapshots
  readonly #transactor: Transactor
  readonly #expiry: Expiry
  readonly #problems: Problems
  /** Work in the background that declared tables need, by their names. */
  readonly #work = new Map<string, TableWork>()
  #closing: Promise<void> | undefined

  constructor(parts: DatabaseParts) {
    const { node, dir } = parts
    this.dir = dir
    this.#parts = parts
    this.#node = node
    this.#snapshots = new Snapshots(node.env, node.store)
    this.#transactor = new Transactor(node, this.#snapshots)
    this.#problems = new Problems(node.env, parts.onProblem)
    this.#expiry = new Expiry(node, this.#transactor, this.#problems, () => this.#cores())
  }

  get identity(): string {
    return hex(this.#node.loop.state.identity)
  }

  get durability(): Durability {
    return this.#node.durability
  }

  get token(): string {
    const { identity } = this.#node.loop.state
    // What was read here may be newer than what was reported.
    const position = this.#node.loop.visible()
    const last = this.#lastToken
    if (last.position === position && last.identity === identity) return last.text
    const text = formatToken(presentName(this.#node.loop.state), position)
    this.#lastToken = { identity, position, text }
    return text
  }

  static async open(parts: DatabaseParts, definitions: TableDefinitions): Promise<DatabaseHandle> {
    const handle = new DatabaseHandle(parts)
    // Before any of them is declared: what refuses to open changes nothing.
    for (const [name, definition] of Object.entries(definitions)) {
      handle.#check(name, definition)
    }
    for (const [name, definition] of Object.entries(definitions)) {
      await handle.#declare(name, definition)
    }
    handle.#expiry.start()
    return handle
  }

  table(name: string): StrongTableHandle {
    const known = this.#handles.get(name)
    if (known !== undefined) return known
    this.#node.assertOpen()
    if (tableNamed(this.#node.loop.state, name) === undefined) {
      const names = [...this.#node.loop.state.definitions.values()].map(
        (definition) => definition.name,
      )
      throw new HoldfastError(
        'UnknownTable',
        `there is no table ${name}; there are: ${names.join(', ') || 'none'}`,
        {
          details: { table: name, tables: names },
        },
      )
    }
    return this.#handle(name, { schema: undefined, migrate: undefined })
  }

  #check(name: string, definition: AnyDefinition): void {
    checkDeclared(name, definition)
    checkName('table', name)
    const { leastDurability: least } = definition
    if (least !== undefined) assertAtLeast(name, this.durability, least)
  }

  async #declare(name: string, definition: AnyDefinition): Promise<void> {
    this.#check(name, definition)
    const { version } = definition
    const known = this.#handles.get(name)?.core
    if (known !== undefined && version > known.definition.rowVersion) {
      known.announce(definition, version)
    }
    const hasWork = await declareTable(this.#node, name, definition).finally(() =>
      known?.withdraw(),
    )
    const handle = this.#handle(name, definition)
    Object.defineProperty(this, name, { value: handle, enumerable: true, configurable: true })
    // What an earlier declaration left undone is part of this one's work.
    this.#work.delete(name)
    this.#problems.settled('schema', name)
    if (!hasWork) return
    const { id } = handle.core.definition
    const work = finishTable(handle.core, (progress) => this.#parts.onProgress?.(progress))
    if (storedTotal(this.#node.store, id, this.#node.shards).rows <= WAITED_ROWS) await work
    else this.#inBackground(name, definition, work)
  }

  /** Lets work go on behind the call that began it; `ready` waits for it. */
  #inBackground(name: string, definition: AnyDefinition, running: Promise<void>): TableWork {
    const work: TableWork = {
      definition,
      done: running.then(
        () => {
          if (this.#work.get(name) === work) this.#work.delete(name)
        },
        (cause: unknown) => {
          work.failed = true
          if (this.#work.get(name) === work) this.#problems.failed('schema', name, cause)
          throw cause
        },
      ),
      failed: false,
    }
    // Told to `ready` and to `onProblem`; a database that is closed meanwhile goes on when opened.
    work.done.catch(() => undefined)
    this.#work.set(name, work)
    return work
  }

  async define(name: string, definition: AnyDefinition): Promise<StrongTableHandle> {
    if ((RESERVED as readonly string[]).includes(name)) {
      throw new HoldfastError('InvalidSchema', `a table cannot be named ${name}`)
    }
    await this.#declare(name, definition)
    await this.#work.get(name)?.done
    return this.table(name)
  }

  async ready(): Promise<void> {
    const works = [...this.#work].map(([name, work]) =>
      work.failed ? this.#retry(name, work.definition) : work,
    )
    await Promise.all(works.map(({ done }) => done))
  }

  /** Declares the table again: whatever of it is not there is made, and tried on the rows anew. */
  #retry(name: string, definition: AnyDefinition): TableWork {
    const run = async (): Promise<void> => {
      if (await declareTable(this.#node, name, definition)) {
        await finishTable(this.table(name).core, (progress) => this.#parts.onProgress?.(progress))
      }
      this.#problems.settled('schema', name)
    }
    return this.#inBackground(name, definition, run())
  }

  async drop(name: string): Promise<void> {
    const { id } = this.table(name).core.definition
    const { position } = await this.#node.proposer.command({ type: 'drop', table: id })
    await this.#node.reached(position)
    this.#handles.delete(name)
    this.#work.delete(name)
    this.#problems.settled('schema', name)
    this.#problems.settled('expiry', name)
    Reflect.deleteProperty(this, name)
    await this.#node.janitor.run()
  }

  async dropIndex(table: string, name: string): Promise<void> {
    const { core } = this.table(table)
    if (!core.definition.indexes.some((index) => index.name === name)) core.index(name)
    if (name === TTL_INDEX)
      throw new HoldfastError('InvalidArgument', 'the index of a time to live goes with it')
    await redefine(core, (definition) => ({
      ...definition,
      indexes: definition.indexes.filter((index) => index.name !== name),
    }))
    await this.#node.janitor.run()
  }

  async transact<R>(run: (tx: never) => Promise<R> | R, options: TransactOptions = {}): Promise<R> {
    checkFunction('transact', run)
    checkCall(options)
    const body = (transaction: StrongTransaction): Promise<R> | R =>
      run(this.#transactionHandle(transaction) as never)
    const { value } = await this.#transactor.once(options.request ?? null, options, body)
    return value
  }

  stats(): DatabaseStats {
    const node = this.#node
    node.assertOpen()
    const tables = [...node.loop.state.definitions.values()].map((definition) => ({
      name: definition.name,
      ...storedTotal(node.store, definition.id, node.shards),
      validated: definition.validated,
      key: definition.key,
      indexes: definition.indexes.map(({ name, fields, unique, state }) => ({
        name,
        fields,
        unique,
        state,
      })),
    }))
    return {
      dir: this.dir,
      identity: this.identity,
      position: node.loop.flushed,
      oldestPosition: Math.max(node.loop.oldest, edgeEntry(node.store, 'oldest')),
      shards: node.shards,
      durability: node.durability,
      bytes: node.store.stats().bytes,
      halted: node.loop.halted?.code,
      tables: tables.sort((a, b) => (a.name < b.name ? -1 : 1)),
      problems: this.#problems.list().map(({ work, table, cause }) => ({
        work,
        table,
        reason: cause instanceof Error ? cause.message : String(cause),
      })),
    }
  }

  async status(): Promise<DatabaseStatus> {
    this.#node.assertOpen()
    const log = await this.#parts.logStatus?.()
    // Tables of the database's own are shown to nobody.
    const shown = this.stats().problems.filter(({ table }) => table?.startsWith('_') !== true)
    const background = shown.map(({ work, table, reason }) => `${work} of ${table}: ${reason}`)
    return statusOf(this.#node, log, background)
  }

  /** The nodes at once, for those that count them. */
  static nodes(db: object): NodeStatus[] {
    return #node in db ? nodesOf(db.#node) : []
  }

  /** Tells other nodes where `db` is served. */
  static serve(db: object, url: string | undefined): void {
    if (#node in db) db.#node.url = url
  }

  async check(options: CheckOptions = {}): Promise<CheckReport> {
    this.#node.assertOpen()
    const snapshot = this.#node.store.snapshot()
    try {
      return await checkStore(snapshot, { pause: () => this.#node.pause(), ...options })
    } finally {
      snapshot.close()
    }
  }

  backup(options: BackupOptions): Promise<BackupReport> {
    const { env, store } = this.#node
    this.#node.assertOpen()
    return backupStore({ env, store, openFolder: this.#parts.openFolder }, options ?? {})
  }

  async upkeep(): Promise<void> {
    const failures = await this.#expiry.run(true)
    await this.#node.janitor.run()
    if (failures.length > 0) throw failures[0]
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** The folder is let go of last: whoever opens it next finds nobody at work in it. */
  async #close(): Promise<void> {
    // Where nobody is served, calls after this one find it closed at once.
    const left = this.#parts.leave?.()
    if (left !== undefined) await left
    this.#expiry.stop()
    this.#snapshots.close()
    try {
      await this.#node.close()
    } finally {
      // What failed was told where it failed.
      await Promise.allSettled([...this.#work.values()].map(({ done }) => done))
      await this.#parts.release()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #handle(name: string, code: TableCore['code']): StrongTableHandle {
    const known = this.#handles.get(name)
    if (known !== undefined) {
      known.core.code = code
      return known
    }
    const core = new TableCore(this.#node, name, code)
    const handle = new StrongTableHandle(core, this.#snapshots, this.#transactor)
    this.#handles.set(name, handle)
    this.#names.add(name)
    return handle
  }

  *#cores(): Generator<TableCore> {
    for (const { name } of this.#node.loop.state.definitions.values()) yield this.table(name).core
  }

  /** Tables of a transaction are made when they are asked for. */
  #transactionHandle(transaction: StrongTransaction): object {
    const table = (name: string): object => transactionTable(transaction, this.table(name).core)
    const handle: Record<string, unknown> = { table }
    // A table that was dropped meanwhile keeps its name here, and says that it is gone.
    for (const name of this.#names) {
      let made: object | undefined
      Object.defineProperty(handle, name, { get: () => (made ??= table(name)) })
    }
    return handle
  }
}

/** What is known of the nodes of an open database, without asking anybody. */
export const nodesKnown = (db: object): NodeStatus[] => DatabaseHandle.nodes(db)

/** Has other nodes know where `db` is reached by HTTP; undefined: nowhere any more. */
export const serveAt = (db: object, url: string | undefined): void => DatabaseHandle.serve(db, url)

function transactionTable(transaction: StrongTransaction, core: TableCore): object {
  const call = <T>(run: () => T): Promise<T> => transaction.call(run)
  const modify = (key: Key, modification: Modification, options?: { create?: unknown }): void => {
    const create = options?.create
    transaction.modify(
      core,
      key,
      create === undefined
        ? modification
        : { ...modification, create: core.validate(create) as never },
    )
  }
  return {
    get: (key: Key) => call(() => transaction.get(core, key)),
    getMany: (keys: readonly Key[]) => call(() => keys.map((key) => transaction.get(core, key))),
    has: (key: Key) => call(() => transaction.get(core, key) !== undefined),
    query: (query: LooseQuery = {}) => new TransactionRows(transaction, core, query),
    count: (query: LooseQuery = {}) => new TransactionRows(transaction, core, query).count(),
    insert: (row: unknown) => call(() => transaction.put(core, row, 'absent')),
    put: (row: unknown) => call(() => transaction.put(core, row, 'any')),
    update: (key: Key, change: (row: Record<string, unknown>) => unknown) =>
      call(() => transaction.update(core, key, change)),
    delete: (key: Key) => call(() => transaction.delete(core, key)),
    increment: (key: Key, amounts: never, options?: never) =>
      modify(key, { increment: amounts }, options),
    decrement: (key: Key, amounts: Record<string, number | bigint>, options?: never) =>
      modify(
        key,
        {
          increment: Object.fromEntries(
            Object.entries(amounts).map(([field, amount]) => [field, -amount]),
          ),
        },
        options,
      ),
    min: (key: Key, values: never, options?: never) => modify(key, { min: values }, options),
    max: (key: Key, values: never, options?: never) => modify(key, { max: values }, options),
    append: (key: Key, elements: never, options?: never) =>
      modify(key, { append: elements }, options),
    patch: (key: Key, fields: Record<string, Value | undefined>, options?: never) => {
      const remove = Object.keys(fields).filter((field) => fields[field] === undefined)
      const patch = Object.fromEntries(
        Object.entries(fields).filter(([, value]) => value !== undefined),
      )
      modify(key, remove.length === 0 ? { patch } : { patch, remove }, options)
    },
  }
}

/** A definition for tables whose shape is known only at run time, as the shell has them. */
export function looseDefinition(options: {
  readonly key: string | readonly string[]
  readonly indexes?: { readonly [name: string]: unknown }
}): AnyDefinition {
  return strong(options as never)
}
