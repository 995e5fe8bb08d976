/** The handle of a strong table: every operation outside a transaction. */
import type { Bytes } from '../../core/bytes.ts'
import type { Key } from '../../core/key-codec.ts'
import { decodeValue, encodeValue, type Value } from '../../core/value-codec.ts'
import { HoldfastError } from '../../core/errors.ts'
import type { Position } from '../../log/log.ts'
import type { Fate } from '../../shard/callers.ts'
import { modify, type Modification } from '../../shard/modification.ts'
import type { Row } from '../../shard/row-codec.ts'
import { storedTotal } from '../../shard/shard-stats.ts'
import { checkCall, checkFunction, checkList } from '../arguments.ts'
import type {
  CallOptions,
  Change,
  Deleted,
  ModifyOptions,
  ReadOptions,
  RowResult,
  Rows,
  WriteOptions,
  Written,
} from '../handles.ts'
import { deleteOp, Draft, hasUnique, modifyOp, putOp, rowBefore, setUnique } from './draft.ts'
import {
  countWalk,
  isWhole,
  mayWait,
  planWalk,
  reachLevel,
  StrongRows,
  type LooseQuery,
} from './query.ts'
import { alreadyExists, opRefused } from './refusals.ts'
import { LOST, UNCONFIRMED, untilWon } from './retry.ts'
import type { Snapshots } from './snapshots.ts'
import { ownKey, type Prepared, type TableCore } from './table-core.ts'
import { checkElements, checkModification, needsItsRow } from './transaction.ts'
import { Updates } from './updates.ts'
import { watchTable, type PacedWatchOptions } from './watch.ts'
import type { Transactor } from './transactor.ts'

const NO_OPTIONS: WriteOptions = {}
/** Rows of a bulk call that wait at once: enough to fill entries, bounded in memory. */
const BULK_AT_ONCE = 4096

export class StrongTableHandle {
  readonly name: string
  readonly core: TableCore
  readonly #updates: Updates
  readonly #snapshots: Snapshots
  readonly #transactor: Transactor

  constructor(core: TableCore, snapshots: Snapshots, transactor: Transactor) {
    this.name = core.name
    this.core = core
    this.#updates = new Updates(core)
    this.#snapshots = snapshots
    this.#transactor = transactor
  }

  get validated(): boolean {
    return this.core.definition.validated
  }

  async get(key: Key, options?: ReadOptions): Promise<Row | undefined> {
    return this.getNow(key, options)
  }

  /** As `get`, but at once where nothing has to be waited for. */
  getNow(key: Key, options?: ReadOptions): Row | undefined | Promise<Row | undefined> {
    const { core } = this
    if (!mayWait(core, options)) return core.read(key, core.node.store)
    return reachLevel(core, options).then(() => core.read(key, core.node.store))
  }

  async getMany(keys: readonly Key[], options?: ReadOptions): Promise<(Row | undefined)[]> {
    await reachLevel(this.core, options)
    checkList('getMany', keys)
    // One turn of the event loop: one state of the store.
    return keys.map((key) => this.core.read(key, this.core.node.store))
  }

  async has(key: Key, options?: ReadOptions): Promise<boolean> {
    await reachLevel(this.core, options)
    return this.core.node.store.get(this.core.ref(key).storeKey) !== undefined
  }

  query(query: LooseQuery = {}): Rows<Row> {
    return new StrongRows(this.core, query, this.#snapshots)
  }

  async count(query: LooseQuery = {}): Promise<number> {
    await reachLevel(this.core, query)
    const { core } = this
    if (isWhole(query))
      return storedTotal(core.node.store, core.definition.id, core.node.shards).rows
    return countWalk(core, this.#snapshots, planWalk(core, query), query.signal)
  }

  /** @see StrongTable */
  insert(row: unknown, options: WriteOptions = NO_OPTIONS): Promise<Written<Row>> {
    return this.#first('insert', row, options)
  }

  put(row: unknown, options: WriteOptions = NO_OPTIONS): Promise<Written<Row>> {
    return this.#first('put', row, options)
  }

  async update(
    given: Key,
    change: (row: Row) => unknown,
    options: WriteOptions = NO_OPTIONS,
  ): Promise<Written<Row>> {
    checkFunction('update', change)
    checkCall(options)
    this.core.assertDurable()
    const key = ownKey(given)
    if (options.idempotencyKey === undefined) return this.#updates.update(key, change, options)
    return this.#once(['update', this.name, key], options, (tx) =>
      tx.update(this.core, key, change),
    )
  }

  async delete(given: Key, options: WriteOptions = NO_OPTIONS): Promise<Deleted> {
    const { core } = this
    core.assertDurable()
    const key = ownKey(given)
    if (options.idempotencyKey !== undefined) {
      const request = ['delete', this.name, key as Value]
      const { position, value } = await this.#transactor.once(request, options, (tx) =>
        tx.delete(core, key),
      )
      return core.deleted(position, value === true)
    }
    const what = `a delete in ${this.name}`
    return untilWon(core.node, what, options, async ({ remainingMs, fresh }) => {
      const definition = core.definition
      const ref = core.node.refOfKey(definition, key)
      const draft = new Draft(core.node)
      const stored = draft.read(ref)
      if (stored === undefined) {
        return fresh ? core.deleted(draft.readPosition, false) : UNCONFIRMED
      }
      if (hasUnique(definition)) {
        setUnique(draft, definition, ref.key, rowBefore(draft, ref), undefined)
      }
      draft.set(deleteOp(ref), ref.storeKey)
      const deadlineMs = remainingMs
      const fate = await core.node.proposer.propose(draft.transaction(), { ...options, deadlineMs })
      return fate.verdict === 'committed' ? core.deleted(fate.position, true) : LOST
    })
  }

  increment(key: Key, amounts: Amounts, options?: ModifyOptions<unknown>): Promise<Written<Row>> {
    return this.#modify(key, { increment: checkAmounts(amounts) }, options)
  }

  decrement(key: Key, amounts: Amounts, options?: ModifyOptions<unknown>): Promise<Written<Row>> {
    return this.#modify(key, { increment: negated(amounts) }, options)
  }

  min(key: Key, values: Fields, options?: ModifyOptions<unknown>): Promise<Written<Row>> {
    return this.#modify(key, { min: values }, options)
  }

  max(key: Key, values: Fields, options?: ModifyOptions<unknown>): Promise<Written<Row>> {
    return this.#modify(key, { max: values }, options)
  }

  append(key: Key, elements: Fields, options?: ModifyOptions<unknown>): Promise<Written<Row>> {
    return this.#modify(key, { append: elements as { [field: string]: Value[] } }, options)
  }

  async patch(
    key: Key,
    fields: { readonly [field: string]: Value | undefined },
    options?: ModifyOptions<unknown>,
  ): Promise<Written<Row>> {
    const covered = coveredNames(this.core)
    if (Object.keys(fields).some((field) => covered.has(field)) && options?.create === undefined) {
      const { patch, remove = [] } = decodeValue(encodeValue(patchOf(fields) as Value)) as Patched
      const gone = Object.fromEntries(remove.map((field) => [field, undefined]))
      return this.update(key, (row) => ({ ...row, ...patch, ...gone }), options)
    }
    return this.#modify(key, patchOf(fields), options)
  }

  insertMany(
    rows: Iterable<unknown>,
    options: CallOptions = NO_OPTIONS,
  ): Promise<RowResult<Written<Row>>[]> {
    return bulk(rows, (row) => this.insert(row, options))
  }

  putMany(
    rows: Iterable<unknown>,
    options: CallOptions = NO_OPTIONS,
  ): Promise<RowResult<Written<Row>>[]> {
    return bulk(rows, (row) => this.put(row, options))
  }

  deleteMany(
    keys: Iterable<Key>,
    options: CallOptions = NO_OPTIONS,
  ): Promise<RowResult<Deleted>[]> {
    return bulk(keys, (key) => this.delete(key, options))
  }

  watch(options: PacedWatchOptions = NO_OPTIONS): AsyncIterable<Change<Row, Key>> {
    return watchTable(this.core, this.#snapshots, options, this.core.node.loop.flushed)
  }

  /**
   * The first attempt of a write to a table without unique indexes, which mostly is the last: one
   * promise, no retry loop. What loses, and everything else, goes the long way.
   */
  #first(kind: 'insert' | 'put', input: unknown, options: WriteOptions): Promise<Written<Row>> {
    return new Promise((resolve, reject) => {
      if (options !== NO_OPTIONS) checkCall(options)
      const { core } = this
      const { node } = core
      core.assertDurable()
      const prepared = core.prepare(input)
      const { definition, row, key, ref, value } = prepared
      if (options.idempotencyKey !== undefined) {
        resolve(this.#writeOnce(kind, prepared, options))
        return
      }
      if (hasUnique(definition)) {
        resolve(this.#write(kind, prepared, options))
        return
      }
      let readAt: Position | -1 = -1
      if (kind === 'insert') {
        if (node.store.get(ref.storeKey) !== undefined) {
          if (!node.shared) throw alreadyExists(this.name, key)
          resolve(this.#write(kind, prepared, options))
          return
        }
        readAt = node.loop.flushed
      }
      const settle = (fate: Fate): void => {
        if (fate.verdict === 'committed') resolve(core.written(fate.position, value))
        else resolve(this.#write(kind, prepared, options, true))
      }
      const op = putOp(definition, ref, row, value, readAt)
      node.proposer.submit(single(op), options, settle, reject)
    })
  }

  /** `first` is what the first attempt writes; later ones make it anew of its bytes. */
  #write(
    kind: 'insert' | 'put',
    first: Prepared,
    options: WriteOptions,
    /** Whether the first attempt was made already, and lost. */
    hasLost = false,
  ): Promise<Written<Row>> {
    const { core } = this
    const { node } = core
    let prepared = first
    let tried = hasLost
    return untilWon(
      node,
      `a write to ${this.name}`,
      options,
      async ({ remainingMs: deadlineMs }) => {
        if (tried) prepared = core.prepareAgain(prepared)
        tried = true
        const { definition, row, key, ref, value } = prepared
        const unique = hasUnique(definition)
        if (kind === 'put' && !unique) {
          const op = putOp(definition, ref, row, value)
          return this.#won(
            await node.proposer.propose(single(op), { ...options, deadlineMs }),
            value,
          )
        }
        const draft = new Draft(node)
        const stored = draft.read(ref)
        if (kind === 'insert' && stored !== undefined) throw alreadyExists(this.name, key)
        if (unique) setUnique(draft, definition, ref.key, rowBefore(draft, ref), row)
        draft.set(putOp(definition, ref, row, value), ref.storeKey)
        return this.#won(
          await node.proposer.propose(draft.transaction(), { ...options, deadlineMs }),
          value,
        )
      },
    )
  }

  #writeOnce(
    kind: 'insert' | 'put',
    prepared: Prepared,
    options: WriteOptions,
  ): Promise<Written<Row>> {
    const { core } = this
    const expect = kind === 'insert' ? 'absent' : 'any'
    return this.#once([kind, this.name, prepared.row as Value], options, (tx) =>
      tx.putPrepared(core, core.prepareAgain(prepared), expect),
    )
  }

  #won(fate: Fate, value: Bytes): Written<Row> | typeof LOST {
    return fate.verdict === 'committed' ? this.core.written(fate.position, value) : LOST
  }

  async #modify(
    givenKey: Key,
    modification: Modification,
    options: ModifyOptions<unknown> = NO_OPTIONS,
  ): Promise<Written<Row>> {
    const { core } = this
    const { node } = core
    core.assertDurable()
    checkElements(core, modification)
    const given: Modification =
      options.create === undefined
        ? modification
        : { ...modification, create: core.validate(options.create) as never }
    const key = ownKey(givenKey)
    const body = encodeValue(given as Value)
    // What later attempts go by: the caller may change what was given.
    const full = decodeValue(body) as Modification
    if (options.idempotencyKey !== undefined) return this.#modifyOnce(key, full, options)
    return untilWon(node, `an op on ${this.name}`, options, async ({ remainingMs: deadlineMs }) => {
      // At each attempt anew: the table may have got an index, or a new version, meanwhile.
      const { definition } = core
      checkModification(core, definition, key, full)
      const attempt = { ...options, deadlineMs }
      if (needsItsRow(definition, full)) return this.#modifyOnce(key, full, attempt)
      const fate = await node.proposer.propose(single(modifyOp(core.ref(key), body)), attempt)
      if (fate.verdict !== 'committed') return LOST
      const result = fate.results.get(fate.ordinal)
      if (result === undefined) throw new HoldfastError('Bug', 'a stateful op has no result')
      if (!result.ok) throw opRefused(this.name, key, result.code, result.field)
      return core.written(fate.position, result.value)
    })
  }

  #modifyOnce(key: Key, full: Modification, options: WriteOptions): Promise<Written<Row>> {
    const { core } = this
    const request = ['modify', this.name, key as Value, full as Value]
    return this.#once(request, options, (tx) => {
      // Inside a transaction it would not refuse; this call does, as it does without a key.
      const outcome = modify(tx.get(core, key), full)
      if (!outcome.ok) throw opRefused(this.name, key, outcome.code, outcome.field)
      tx.modify(core, key, full)
      return tx.get(core, key)
    })
  }

  /** A write with an idempotency key: a transaction whose outcome is kept. */
  async #once(
    request: Value,
    options: WriteOptions,
    run: Parameters<Transactor['once']>[2],
  ): Promise<Written<Row>> {
    const { position, value } = await this.#transactor.once(request, options, run)
    return this.core.written(position, this.core.encode(value as Row))
  }
}

type Amounts = { readonly [field: string]: number | bigint }
type Fields = { readonly [field: string]: Value }
type Patched = { readonly patch: Fields; readonly remove?: readonly string[] }

function single(op: ReturnType<typeof putOp>): {
  reads: readonly never[]
  guard: undefined
  ops: readonly [typeof op]
} {
  return { reads: [], guard: undefined, ops: [op] }
}

function checkAmounts(amounts: Amounts): Amounts {
  for (const [field, amount] of Object.entries(amounts)) {
    if (typeof amount !== 'bigint' && !Number.isFinite(amount)) {
      throw new HoldfastError(
        'InvalidArgument',
        `the amount for ${field} is not a finite number or a bigint`,
      )
    }
  }
  return amounts
}

function negated(amounts: Amounts): Amounts {
  return Object.fromEntries(
    Object.entries(checkAmounts(amounts)).map(([field, amount]) => [field, -amount]),
  )
}

/** Undefined does not survive encoding: fields to remove are named apart. */
function patchOf(fields: { readonly [field: string]: Value | undefined }): Modification {
  const remove = Object.keys(fields).filter((field) => fields[field] === undefined)
  const patch = Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  )
  return remove.length === 0 ? { patch } : { patch, remove }
}

function coveredNames(core: TableCore): Set<string> {
  const { key, indexes, ttl } = core.definition
  return new Set([...key, ttl, ...indexes.flatMap(({ fields }) => fields)])
}

/** Runs each item on its own, some thousand at a time; results in their order. */
async function bulk<I, T>(
  items: Iterable<I>,
  run: (item: I) => Promise<T>,
): Promise<RowResult<T>[]> {
  checkList('a call for many rows', items)
  const results: RowResult<T>[] = []
  let pending: Promise<RowResult<T>>[] = []
  for (const item of items) {
    pending.push(
      run(item).then(
        (value): RowResult<T> => ({ ok: true, value }),
        (error: unknown): RowResult<T> => ({ ok: false, error: error as Error }),
      ),
    )
    if (pending.length >= BULK_AT_ONCE) {
      for (const result of await Promise.all(pending)) results.push(result)
      pending = []
    }
  }
  for (const result of await Promise.all(pending)) results.push(result)
  return results
}
