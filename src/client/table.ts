/** The handle of a table at the other end: every operation outside a transaction is a request. */
import { HoldfastError, isHoldfastError } from '../core/holdfast-error.ts'
import type { Key } from '../core/key-codec.ts'
import { parseWire } from '../core/wire.ts'
import type {
  Ack,
  CallOptions,
  Change,
  Deleted,
  ModifyOptions,
  ReadOptions,
  RowResult,
  Rows,
  WatchOptions,
  WriteOptions,
  Written,
} from '../table/handles.ts'
import { checkFunction, checkKey, checkList, refused, segmentOf, valueText } from './arguments.ts'
import { bulk, type BulkKind } from './bulk.ts'
import {
  changedRow,
  checkAmounts,
  checkLists,
  checkRow,
  keyChanged,
  patchParts,
} from './changes.ts'
import { LOST, untilWon } from './contention.ts'
import { checkPlace, Feed } from './feed.ts'
import type { LooseQuery } from '../table/strong/query.ts'
import { queryParameters, readHeaders, RemoteRows, type Row } from './query.ts'
import { lostError, type Answer, type Call, type Terms, type Transport } from './transport.ts'

/** What tables of one client share. */
export interface TableParts {
  readonly transport: Transport
  readonly pageRows: number
  /** An update whose outcome is kept: a transaction. */
  readonly updateOnce: (
    table: string,
    key: Key,
    change: (row: Row) => unknown,
    options: WriteOptions,
  ) => Promise<Written<Row>>
  /** The ack for a call that found nothing to write. */
  readonly ackOf: (answer: Answer, terms: Terms) => Promise<Ack>
}

const WITH_ROW = { prefer: 'return=representation' }

export class RemoteTable {
  readonly name: string
  readonly #parts: TableParts
  readonly #transport: Transport
  readonly #path: string
  /** The last update of each row that is under way: others of this client wait for it. */
  readonly #updates = new Map<string, Promise<unknown>>()

  constructor(parts: TableParts, name: string) {
    this.name = name
    this.#parts = parts
    this.#transport = parts.transport
    this.#path = `/v1/tables/${encodeURIComponent(name)}`
  }

  async get(key: Key, options: ReadOptions = {}): Promise<Row | undefined> {
    return (await this.#get(key, options, this.#transport.terms(options)))?.value as Row | undefined
  }

  async getMany(keys: readonly Key[], options: ReadOptions = {}): Promise<(Row | undefined)[]> {
    checkList('getMany', keys)
    keys.forEach(checkKey)
    const body = valueText({ keys })
    const call = this.#read('POST', '/get-many', options, body)
    const { value } = await this.#transport.call(call, this.#transport.terms(options))
    const { rows } = value as { rows: readonly (Row | null)[] }
    return rows.map((row) => row ?? undefined)
  }

  async has(key: Key, options?: ReadOptions): Promise<boolean> {
    return (await this.get(key, options)) !== undefined
  }

  query(query: LooseQuery = {}): Rows<Row> {
    return new RemoteRows(this.#transport, this.#path, query, this.#parts.pageRows)
  }

  async count(query: LooseQuery = {}): Promise<number> {
    const parameters = queryParameters(query)
    const { limit } = query
    const search = parameters.length === 0 ? '' : `?${parameters.join('&')}`
    const call = this.#read('GET', `/count${search}`, query)
    const { value } = await this.#transport.call(call, this.#transport.terms(query))
    const { count } = value as { count: number }
    return limit === undefined ? count : Math.min(count, limit)
  }

  async insert(row: unknown, options: WriteOptions = {}): Promise<Written<Row>> {
    return this.#written('POST', '/rows', checkRow(this.name, row), options)
  }

  async put(row: unknown, options: WriteOptions = {}): Promise<Written<Row>> {
    return this.#written('PUT', '/rows', checkRow(this.name, row), options)
  }

  /** Updates of one row by one client go one after another: they would only fight each other. */
  async update(
    key: Key,
    change: (row: Row) => unknown,
    options: WriteOptions = {},
  ): Promise<Written<Row>> {
    checkFunction('update', change)
    if (options.idempotencyKey !== undefined) {
      return this.#parts.updateOnce(this.name, key, change, options)
    }
    const terms = this.#transport.terms(options)
    const segment = segmentOf(key)
    const before = this.#updates.get(segment)
    const update = (async () => {
      await before?.catch(() => undefined)
      const what = `an update of ${this.name}`
      return untilWon(this.#transport, what, terms, () =>
        this.#tryUpdate(key, change, options, terms),
      )
    })()
    this.#updates.set(segment, update)
    try {
      return await update
    } finally {
      if (this.#updates.get(segment) === update) this.#updates.delete(segment)
    }
  }

  async delete(key: Key, options: WriteOptions = {}): Promise<Deleted> {
    const answer = await this.#write('DELETE', `/rows/${segmentOf(key)}`, undefined, options)
    return answer.value as unknown as Deleted
  }

  async increment(key: Key, amounts: Row, options?: Modify): Promise<Written<Row>> {
    return this.#modify(key, { increment: checkAmounts(amounts) }, options)
  }

  async decrement(key: Key, amounts: Row, options?: Modify): Promise<Written<Row>> {
    return this.#modify(key, { decrement: checkAmounts(amounts) }, options)
  }

  async min(key: Key, values: Row, options?: Modify): Promise<Written<Row>> {
    return this.#modify(key, { min: values }, options)
  }

  async max(key: Key, values: Row, options?: Modify): Promise<Written<Row>> {
    return this.#modify(key, { max: values }, options)
  }

  async append(key: Key, elements: Row, options?: Modify): Promise<Written<Row>> {
    return this.#modify(key, { append: checkLists(this.name, elements) }, options)
  }

  async patch(key: Key, fields: Row, options?: Modify): Promise<Written<Row>> {
    return this.#modify(key, patchParts(fields), options)
  }

  insertMany(rows: Iterable<unknown>, options?: CallOptions): Promise<RowResult<Written<Row>>[]> {
    return this.#bulk('insert', rows, options)
  }

  putMany(rows: Iterable<unknown>, options?: CallOptions): Promise<RowResult<Written<Row>>[]> {
    return this.#bulk('put', rows, options)
  }

  deleteMany(keys: Iterable<Key>, options?: CallOptions): Promise<RowResult<Deleted>[]> {
    return this.#bulk('delete', keys, options)
  }

  watch(options: WatchOptions = {}): AsyncIterable<Change<Row, Key>> {
    const isNow = options.after === undefined && (options.from ?? 'now') === 'now'
    // "Now" is this call, whenever the first change is asked for; writes of this client come after.
    const now = isNow ? this.#now(options) : Promise.resolve(undefined)
    const [transport, path] = [this.#transport, this.#path]
    return (async function* changes() {
      checkPlace(options)
      yield* new Feed(transport, path, options, await now).changes()
    })()
  }

  #now(options: WatchOptions): Promise<string | undefined> {
    const now = (async () => {
      // Any read says by its token how far the database is; this one is cheap, whatever the table.
      const call = this.#read('GET', '/count', {})
      const answer = await this.#transport.call(call, this.#transport.terms(options))
      const token = answer.headers.get('holdfast-token')
      if (token === null) throw lostError(false, undefined, 'the answer has no Holdfast-Token')
      return token
    })()
    this.#transport.goAhead(now)
    return now
  }

  /** The answer with the row and its ETag; undefined when there is none. */
  async #get(key: Key, options: ReadOptions, terms: Terms): Promise<Answer | undefined> {
    try {
      const call = this.#read('GET', `/rows/${segmentOf(key)}`, options)
      return await this.#transport.call(call, terms)
    } catch (cause) {
      if (isHoldfastError(cause, 'NotFound')) return undefined
      throw cause
    }
  }

  async #tryUpdate(
    key: Key,
    change: (row: Row) => unknown,
    options: WriteOptions,
    terms: Terms,
  ): Promise<Written<Row> | typeof LOST> {
    const before = await this.#get(key, {}, terms)
    if (before === undefined) {
      throw new HoldfastError('NotFound', `${this.name} has no row ${valueText(key)}`, {
        details: { table: this.name, key },
      })
    }
    const tag = before.headers.get('etag')
    if (tag === null || tag.startsWith('W/')) {
      // A proxy between took the tag away, or weakened it: a transaction needs none.
      const deadlineMs = this.#transport.leftMs(terms)
      return this.#parts.updateOnce(this.name, key, change, { ...options, deadlineMs })
    }
    const text = valueText(before.value)
    const given = change(before.value as Row)
    if (given === undefined) {
      return { ...(await this.#parts.ackOf(before, terms)), row: parseWire(text) as Row }
    }
    const body = valueText(changedRow(this.name, given))
    const path = `${this.#path}/rows/${segmentOf(key)}`
    const headers = { ...WITH_ROW, 'if-match': tag }
    const call: Call = { method: 'PUT', path, body, headers, writes: true }
    try {
      return (await this.#transport.call(call, terms)).value as unknown as Written<Row>
    } catch (cause) {
      if (isHoldfastError(cause, 'Conflict') && cause.applied === 'no') return LOST
      // All else in the request is right: what the row says of its key is not what the path says.
      if (isHoldfastError(cause, 'InvalidRequest')) throw refused(keyChanged(this.name))
      throw cause
    }
  }

  async #modify(key: Key, changes: object, options: Modify = {}): Promise<Written<Row>> {
    const create =
      options.create === undefined ? {} : { create: checkRow(this.name, options.create) }
    return this.#written('PATCH', `/rows/${segmentOf(key)}`, { ...changes, ...create }, options)
  }

  async #written(
    method: string,
    path: string,
    body: object,
    options: WriteOptions,
  ): Promise<Written<Row>> {
    const answer = await this.#write(method, path, valueText(body), options)
    return answer.value as unknown as Written<Row>
  }

  #write(
    method: string,
    path: string,
    body: string | undefined,
    options: WriteOptions,
  ): Promise<Answer> {
    const { idempotencyKey } = options
    if (idempotencyKey !== undefined) checkIdempotencyKey(idempotencyKey)
    const call: Call = {
      method,
      path: this.#path + path,
      body,
      headers: method === 'DELETE' ? {} : WITH_ROW,
      writes: true,
      idempotencyKey,
    }
    return this.#transport.call(call, this.#transport.terms(options))
  }

  #read(method: string, path: string, options: ReadOptions, body?: string): Call {
    const headers = readHeaders(options, this.#transport.token)
    return { method, path: this.#path + path, headers, body, writes: false }
  }

  async #bulk<T>(
    kind: BulkKind,
    items: Iterable<unknown>,
    options: CallOptions = {},
  ): Promise<RowResult<T>[]> {
    checkList('a call for many rows', items)
    const check = kind === 'delete' ? checkKey : (row: unknown) => checkRow(this.name, row)
    return bulk<T>(this.#transport, `${this.#path}/bulk`, kind, items, check, options)
  }
}

type Modify = ModifyOptions<unknown>

/** In a header: what it cannot hold, and what is empty there, the server could not refuse. */
export function checkIdempotencyKey(key: unknown): void {
  if (typeof key === 'string' && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(key)) return
  throw refused('an idempotency key has 1 to 256 bytes; over HTTP, of printable ASCII')
}
