/** The handle of a database at the other end: tables by name, transactions, definitions. */
import type { Key } from '../core/key-codec.ts'
import type { Value } from '../core/wire.ts'
import type {
  Ack,
  DatabaseStats,
  Durability,
  TransactOptions,
  WriteOptions,
  Written,
} from '../table/handles.ts'
import type { TableDefinitions } from '../table/schema.ts'
import { checkKey, refused, valueText } from './arguments.ts'
import type { ClientParts, ConnectOptions, RemoteDatabase, RemoteOptions } from './handles.ts'
import type { Row } from './query.ts'
import { positionOf } from './session-token.ts'
import { checkIdempotencyKey, RemoteTable } from './table.ts'
import { transact } from './transact.ts'
import { Transport, type Answer, type Terms } from './transport.ts'

const PAGE_ROWS = 500

/** Names that promises and serialisers look for in every object: no table is found under them. */
const NO_TABLES: readonly string[] = ['then', 'toJSON', 'constructor']

export function connectOver<T extends TableDefinitions>(
  parts: ClientParts,
  options: ConnectOptions,
): RemoteDatabase<T> {
  if (typeof options !== 'object' || options === null) throw refused('connect takes options')
  return withTables(new RemoteHandle(parts, options)) as unknown as RemoteDatabase<T>
}

class RemoteHandle {
  readonly #transport: Transport
  readonly #pageRows: number
  readonly #tables = new Map<string, RemoteTable>()
  /** The same for all of a database's writes. */
  #durability: Durability | undefined

  constructor(parts: ClientParts, options: ConnectOptions) {
    this.#transport = new Transport(parts, options)
    this.#pageRows = options.pageRows ?? PAGE_ROWS
  }

  get token(): string | undefined {
    return this.#transport.token
  }

  table(name: string): RemoteTable {
    const known = this.#tables.get(name)
    if (known !== undefined) return known
    const table = new RemoteTable(
      {
        transport: this.#transport,
        pageRows: this.#pageRows,
        updateOnce: (...call) => this.#updateOnce(...call),
        ackOf: async (answer, terms) => ackOf(answer, await this.#durabilityNow(terms)),
      },
      name,
    )
    this.#tables.set(name, table)
    return table
  }

  async transact<R>(run: (tx: never) => Promise<R> | R, options: TransactOptions = {}): Promise<R> {
    return (await this.#transact(run, options)).value
  }

  async define(name: string, options: RemoteOptions<Row>): Promise<RemoteTable> {
    const { key, indexes, ...others } = options
    if (Object.keys(others).length > 0) {
      throw refused(
        'define takes a key and indexes; what is code is declared where the database is',
      )
    }
    await this.#operate('PUT', tablePath(name), valueText({ key, indexes }))
    return this.table(name)
  }

  async drop(name: string): Promise<void> {
    await this.#operate('DELETE', tablePath(name))
  }

  async dropIndex(table: string, index: string): Promise<void> {
    await this.#operate('DELETE', `${tablePath(table)}/indexes/${encodeURIComponent(index)}`)
  }

  async stats(): Promise<DatabaseStats> {
    return (await this.#look('/v1/status')) as DatabaseStats
  }

  close(): Promise<void> {
    return this.#transport.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #transact<R>(
    run: (tx: never) => Promise<R> | R,
    options: TransactOptions,
  ): ReturnType<typeof transact<R>> {
    if (options.idempotencyKey !== undefined) checkIdempotencyKey(options.idempotencyKey)
    const transacting = {
      transport: this.#transport,
      handle: (table: (name: string) => object) => withTables({ table }),
    }
    return transact(transacting, run, options)
  }

  async #updateOnce(
    table: string,
    key: Key,
    change: (row: Row) => unknown,
    options: WriteOptions,
  ): Promise<Written<Row>> {
    checkKey(key)
    const request = ['update', table, key as Value]
    type Tx = { table(name: string): { update(key: Key, change: unknown): Promise<Row> } }
    const run = (tx: Tx): Promise<Row> => tx.table(table).update(key, change)
    // Asked before: once the update is made, nothing may fail that says it is not.
    const terms = this.#transport.terms(options)
    const durability = await this.#durabilityNow(terms)
    const deadlineMs = this.#transport.leftMs(terms)
    const { value, answer } = await this.#transact(run, { ...options, deadlineMs, request })
    return { ...ackOf(answer ?? this.#transport, durability), row: value }
  }

  async #durabilityNow(terms: Terms): Promise<Durability> {
    return (this.#durability ??= (
      (await this.#look('/v1/status', terms)) as DatabaseStats
    ).durability)
  }

  async #look(path: string, terms = this.#transport.terms()): Promise<unknown> {
    return (await this.#transport.call({ method: 'GET', path, writes: false }, terms)).value
  }

  async #operate(method: string, path: string, body?: string): Promise<void> {
    const call = { method, path, body, writes: true }
    await this.#transport.call(call, this.#transport.terms())
  }
}

/** The ack for a call whose answer is none. */
function ackOf(answer: Answer | { token: string | undefined }, durability: Durability): Ack {
  const token = ('token' in answer ? answer.token : answer.headers.get('holdfast-token')) ?? ''
  return { position: positionOf(token) ?? 0, durability, token }
}

function tablePath(name: string): string {
  return `/v1/tables/${encodeURIComponent(name)}`
}

/** `calls`, and every other name as the table of that name: which there are, only the server knows. */
function withTables<T extends { table(name: string): object }>(calls: T): T {
  const made = new Map<string, object>()
  return new Proxy(calls, {
    get: (target, name) => {
      if (name in target) {
        const member: unknown = Reflect.get(target, name, target)
        return typeof member === 'function' ? (member.bind(target) as unknown) : member
      }
      if (typeof name === 'symbol' || NO_TABLES.includes(name)) return undefined
      const table = made.get(name) ?? target.table(name)
      made.set(name, table)
      return table
    },
  })
}
