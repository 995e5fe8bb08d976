/** Runs a transaction's function until what it read still held when it was committed. */
import { HoldfastError } from '../core/holdfast-error.ts'
import type { Key } from '../core/key-codec.ts'
import { parseWire, stringifyWire, type Value } from '../core/wire.ts'
import type { Page, Rows, TransactOptions } from '../table/handles.ts'
import { checkFunction, checkKey, checkList, valueText } from './arguments.ts'
import { changedRow, checkAmounts, checkLists, checkRow, patchParts } from './changes.ts'
import { LOST, untilWon } from './contention.ts'
import type { LooseQuery } from '../table/strong/query.ts'
import { queryMembers, type Row } from './query.ts'
import { RemoteTransaction } from './transaction.ts'
import type { Answer, Transport } from './transport.ts'

interface Transacted<T> {
  readonly value: T
  /** Undefined for a transaction that only read. */
  readonly answer: Answer | undefined
}

/** What a transaction is made over. */
export interface Transacting {
  readonly transport: Transport
  /** Names that the handle of a transaction has, tables' among them. */
  readonly handle: (table: (name: string) => object) => object
}

export function transact<T>(
  { transport, handle }: Transacting,
  run: (tx: never) => Promise<T> | T,
  options: TransactOptions,
): Promise<Transacted<T>> {
  checkFunction('transact', run)
  const terms = transport.terms(options)
  const { idempotencyKey, request = null } = options
  const commit = { idempotencyKey, request: valueText(request) }
  return untilWon(transport, 'a transaction', terms, async () => {
    const transaction = new RemoteTransaction(transport, terms, commit)
    if (idempotencyKey !== undefined) {
      const earlier = await transaction.replayed()
      if (earlier !== undefined) return { value: kept(earlier) as T, answer: undefined }
    }
    try {
      const tables = (name: string): object => transactionTable(transaction, name)
      const value = await run(handle(tables) as never)
      const text = idempotencyKey === undefined ? undefined : keptText(value)
      const { answer, replayed } = await transaction.finish(text)
      return replayed === undefined ? { value, answer } : { value: kept(replayed) as T, answer }
    } catch (cause) {
      if (transaction.lost) return LOST
      throw cause
    } finally {
      transaction.close()
    }
  })
}

/** A result is kept as a list of one; undefined, which has no JSON, as one of none. */
function keptText(value: unknown): string {
  return value === undefined ? '[]' : valueText([value])
}

function kept(value: Value): Value | undefined {
  return Array.isArray(value) ? (value as Value[])[0] : undefined
}

/** The beginning of a step's text: what is given now counts, whatever becomes of it later. */
function stepText(table: string, op: string, members: Row): string {
  return valueText({ table, op, ...members }).slice(0, -1)
}

function transactionTable(transaction: RemoteTransaction, table: string): object {
  const call: CallOf = (op, members, how = {}) =>
    transaction.call((resolve) => {
      const { writes = false, runs = false, read = (value): unknown => value ?? undefined } = how
      const text = stepText(table, op, members())
      return { text, writes, runs, done: (value) => resolve(read(value) as never) as undefined }
    })
  const ofKey = (key: Key): Row => {
    checkKey(key)
    return { key }
  }
  const ofKeys = (keys: readonly Key[]): Row => {
    checkList('getMany', keys)
    keys.forEach(checkKey)
    return { keys }
  }
  const ofRow = (row: unknown): Row => ({ row: checkRow(table, row) })
  const modify = (op: string, key: Key, members: Row, options?: { create?: unknown }): void => {
    const create = options?.create
    const made = create === undefined ? {} : { create: checkRow(table, create) }
    transaction.note(stepText(table, op, { ...ofKey(key), ...members, ...made }))
  }
  type Options = { create?: unknown }
  return {
    get: (key: Key) => call('get', () => ofKey(key)),
    getMany: (keys: readonly Key[]) => call('getMany', () => ofKeys(keys), { read: rowsOrNone }),
    has: (key: Key) => call('has', () => ofKey(key)),
    query: (query: LooseQuery = {}) => new TransactionRows(call, query),
    count: (query: LooseQuery = {}) =>
      call('count', () => ({ query: queryMembers(query) }), { runs: true }),
    insert: (row: unknown) => call('insert', () => ofRow(row), { writes: true }),
    put: (row: unknown) => call('put', () => ofRow(row), { writes: true }),
    update: (key: Key, change: (row: Row) => unknown) => update(transaction, table, key, change),
    delete: (key: Key) => call('delete', () => ofKey(key), { writes: true }),
    increment: (key: Key, fields: Row, options?: Options) =>
      modify('increment', key, { fields: checkAmounts(fields) }, options),
    decrement: (key: Key, fields: Row, options?: Options) =>
      modify('decrement', key, { fields: checkAmounts(fields) }, options),
    min: (key: Key, fields: Row, options?: Options) => modify('min', key, { fields }, options),
    max: (key: Key, fields: Row, options?: Options) => modify('max', key, { fields }, options),
    append: (key: Key, fields: Row, options?: Options) =>
      modify('append', key, { fields: checkLists(table, fields) }, options),
    patch: (key: Key, fields: Row, options?: Options) => {
      const { set, remove } = patchParts(fields)
      modify('patch', key, { fields: set, remove }, options)
    },
  }
}

/** A read, and at once behind it the write that `change` makes of it. */
function update(
  transaction: RemoteTransaction,
  table: string,
  key: Key,
  change: (row: Row) => unknown,
): Promise<Row> {
  return transaction.call<Row>((resolve) => {
    checkFunction('update', change)
    checkKey(key)
    return {
      text: stepText(table, 'get', { key }),
      writes: false,
      runs: false,
      row: `${table} ${valueText(key)}`,
      done: (before) => {
        if (before === null) throw notFound(table, key)
        const given = change(copyOf(before) as Row)
        if (given === undefined) {
          resolve(before as Row)
          return undefined
        }
        const changed = changedRow(table, given)
        const done = (row: Value): undefined => resolve(row as Row) as undefined
        const text = stepText(table, 'put', { key, row: changed })
        return { text, writes: true, runs: false, done }
      },
    }
  })
}

/** For a function that may change what it is given. */
function copyOf(value: Value): Value {
  return parseWire(stringifyWire(value))
}

function notFound(table: string, key: Key): HoldfastError {
  return new HoldfastError('NotFound', `${table} has no row ${valueText(key)}`, {
    details: { table, key },
  })
}

type CallOf = <T>(op: string, members: () => Row, how?: CallHow) => Promise<T>

interface CallHow {
  readonly writes?: boolean
  /** Whether it takes more than a step where it is embedded. */
  readonly runs?: boolean
  /** What the caller is given of the outcome. */
  readonly read?: (value: Value) => unknown
}

function rowsOrNone(value: Value): unknown {
  return (value as readonly Value[]).map((row) => row ?? undefined)
}

class TransactionRows implements Rows<Row> {
  readonly #call: CallOf
  readonly #query: LooseQuery

  constructor(call: CallOf, query: LooseQuery) {
    this.#call = call
    this.#query = query
  }

  toArray(): Promise<Row[]> {
    return this.#rows(this.#query.limit)
  }

  first(): Promise<Row | undefined> {
    return this.#rows(Math.min(1, this.#query.limit ?? 1), (rows) => (rows as Value[])[0])
  }

  page(): Promise<Page<Row>> {
    return Promise.reject(
      new HoldfastError('Unsupported', 'a transaction has no cursors; iterate the query instead'),
    )
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    yield* await this.#rows<Row[]>(this.#query.limit)
  }

  #rows<T>(limit: number | undefined, read = (rows: Value): unknown => rows): Promise<T> {
    const members = (): Row => ({ query: queryMembers({ ...this.#query, limit }) })
    return this.#call('query', members, { runs: true, read })
  }
}
