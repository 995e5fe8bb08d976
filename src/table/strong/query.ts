/**
 * Queries outside transactions: rows of one snapshot of the store, read in slices.
 *
 * A plain index has an entry a row, ended by the row's key; a unique one has a hidden row a value,
 * which holds the row's key. Either way the row is then read by its key, on the same snapshot.
 */
import { compareBytes, copyBytes, hex, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { digest } from '../../core/hash.ts'
import { keyEnd } from '../../core/key-codec.ts'
import type { IndexDefinition, TableDefinition } from '../../shard/definitions.ts'
import { INDEX_SPACE, INDEX_VALUE_AT, ROW_SPACE, rowKey, tablePrefix } from '../../shard/layout.ts'
import { corruptRow, type Row } from '../../shard/row-codec.ts'
import type { RangeOptions, StoreReader } from '../../store/store.ts'
import type { Page, ReadOptions, Rows } from '../handles.ts'
import { parseToken } from '../token.ts'
import { behind, byteRange, type LooseBounds } from './bounds.ts'
import { decodeOwner } from './draft.ts'
import { throwIfCancelled } from './retry.ts'
import type { Snapshots } from './snapshots.ts'
import type { TableCore } from './table-core.ts'

/** A query as users give it, types aside. */
export interface LooseQuery extends LooseBounds, ReadOptions {
  readonly index?: string | undefined
  readonly reverse?: boolean | undefined
  readonly limit?: number | undefined
}

/** A query made out: where to walk, and how rows are found from there. */
export interface Walk {
  readonly definition: TableDefinition
  readonly index: IndexDefinition | undefined
  readonly gte: Bytes
  readonly lt: Bytes | undefined
  readonly reverse: boolean
  readonly limit: number
}

/** One row found: the store key of what was walked over, and the row's own. */
export interface Found {
  readonly at: Bytes
  readonly storeKey: Bytes
  readonly row: Row
}

/** Rows read in one go: large enough to be cheap, small enough not to hold up others. */
const SLICE_FIRST = 64
const SLICE_MAX = 512
/** A slice ends behind the row with which it has so many bytes, whatever its count. */
const SLICE_BYTES = 1024 * 1024
/** Keys counted in one go. */
const COUNT_SLICE = 4_096

export function planWalk(core: TableCore, query: LooseQuery): Walk {
  const definition = core.definition
  const index = query.index === undefined ? undefined : core.index(query.index)
  const range = byteRange(query)
  const head =
    index === undefined
      ? tablePrefix(ROW_SPACE, definition.id)
      : index.unique
        ? tablePrefix(ROW_SPACE, index.hidden)
        : tablePrefix(INDEX_SPACE, definition.id, index.id)
  const limit = query.limit ?? Number.POSITIVE_INFINITY
  if (limit !== Number.POSITIVE_INFINITY && (!Number.isInteger(limit) || limit < 0)) {
    throw new HoldfastError('InvalidArgument', 'limit is a whole number from 0')
  }
  return { definition, index, ...behind(head, range), reverse: query.reverse === true, limit }
}

/** At most `count` rows of a walk, behind the store key `after` when it is given. */
export function readSlice(
  core: TableCore,
  reader: StoreReader,
  walk: Walk,
  after: Bytes | undefined,
  count: number,
): Found[] {
  const { definition, index, reverse } = walk
  const found: Found[] = []
  const range = {
    gte: after === undefined || reverse ? walk.gte : successor(after),
    lt: after !== undefined && reverse ? after : walk.lt,
    reverse,
    limit: count,
  }
  if (index === undefined) {
    reader.scan(range, (key, value) => {
      const storeKey = copyBytes(key)
      found.push({ at: storeKey, storeKey, row: core.decode(definition, storeKey, value) })
    })
    return found
  }
  for (const { at, storeKey } of indexedKeys(reader, range, definition, index)) {
    const stored = storedRow(reader, storeKey)
    found.push({ at, storeKey, row: core.decode(definition, storeKey, stored) })
  }
  return found
}

/** Entries of an index, with the store keys of the rows that they lead to. */
function indexedKeys(
  reader: StoreReader,
  range: RangeOptions,
  { id }: TableDefinition,
  { unique }: IndexDefinition,
): { readonly at: Bytes; readonly storeKey: Bytes }[] {
  const keys: { at: Bytes; storeKey: Bytes }[] = []
  reader.scan(range, (key, value) => {
    const at = copyBytes(key)
    const rowBytes = unique ? decodeOwner(at, value) : at.subarray(keyEnd(at, INDEX_VALUE_AT))
    keys.push({ at, storeKey: rowKey(id, rowBytes) })
  })
  return keys
}

function storedRow(reader: StoreReader, storeKey: Bytes): Bytes {
  const stored = reader.get(storeKey)
  if (stored === undefined) throw corruptRow(storeKey)
  return stored
}

/**
 * Counts the keys of a walk without reading rows: a few in one step, many in slices of a snapshot,
 * between which others have a turn. Throws `Cancelled`, `Overloaded`, `SnapshotExpired`.
 */
export async function countWalk(
  core: TableCore,
  snapshots: Snapshots,
  walk: Walk,
  signal: AbortSignal | undefined,
): Promise<number> {
  const few = countSlice(core.node.store, walk, walk.gte, walk.limit)
  if (few.last === undefined) return few.count
  const held = snapshots.hold()
  try {
    let [from, count] = [walk.gte, 0]
    for (;;) {
      const slice = countSlice(snapshots.use(held), walk, from, walk.limit - count)
      count += slice.count
      if (slice.last === undefined) return count
      from = successor(slice.last)
      await core.node.pause()
      throwIfCancelled(signal)
    }
  } finally {
    snapshots.release(held)
  }
}

/** `last`: the key to go on behind; undefined at the end. */
function countSlice(
  reader: StoreReader,
  { lt }: Walk,
  gte: Bytes,
  most: number,
): { readonly count: number; readonly last: Bytes | undefined } {
  let last: Bytes | undefined
  let seen = 0
  const limit = Math.min(most, COUNT_SLICE)
  const count = reader.scan({ gte, lt, limit }, (key) => {
    if (++seen === COUNT_SLICE) last = copyBytes(key)
  })
  return { count, last: count < most ? last : undefined }
}

/** Rows of a slice, and where to go on behind it when there may be more. */
interface RowSlice {
  readonly rows: Row[]
  readonly last: Bytes | undefined
}

/** As `readSlice`, without what only transactions and pages need of each row. */
function readRows(
  core: TableCore,
  reader: StoreReader,
  walk: Walk,
  after: Bytes | undefined,
  count: number,
): RowSlice {
  const { definition, index, reverse } = walk
  const rows: Row[] = []
  let [last, bytes]: [Bytes | undefined, number] = [undefined, 0]
  const range = {
    gte: after === undefined || reverse ? walk.gte : successor(after),
    lt: after !== undefined && reverse ? after : walk.lt,
    reverse,
    limit: count,
  }
  if (index !== undefined) {
    const keys = indexedKeys(reader, range, definition, index)
    for (const { at, storeKey } of keys) {
      const stored = storedRow(reader, storeKey)
      bytes += stored.length
      rows.push(core.decode(definition, storeKey, stored))
      if (rows.length < count && bytes < SLICE_BYTES) continue
      return { rows, last: at }
    }
    return { rows, last }
  }
  reader.scan(range, (key, value) => {
    bytes += value.length
    rows.push(core.decode(definition, key, value))
    if (rows.length < count && bytes < SLICE_BYTES) return true
    // The key is borrowed too: it is copied only where the next slice begins behind it.
    last = copyBytes(key)
    return false
  })
  return { rows, last }
}

export class StrongRows implements Rows<Row> {
  readonly #core: TableCore
  readonly #query: LooseQuery
  readonly #snapshots: Snapshots

  constructor(core: TableCore, query: LooseQuery, snapshots: Snapshots) {
    this.#core = core
    this.#query = query
    this.#snapshots = snapshots
  }

  async toArray(): Promise<Row[]> {
    const rows: Row[] = []
    for await (const slice of this.#slices()) for (const row of slice) rows.push(row)
    return rows
  }

  async first(): Promise<Row | undefined> {
    await this.#fresh()
    const walk = planWalk(this.#core, this.#query)
    return readSlice(this.#core, this.#core.node.store, walk, undefined, Math.min(1, walk.limit))[0]
      ?.row
  }

  [Symbol.asyncIterator](): AsyncIterator<Row> {
    const slices = this.#slices()
    let rows: Row[] = []
    let next = 0
    const more = async (): Promise<IteratorResult<Row>> => {
      const step = await slices.next()
      if (step.done === true) return { done: true, value: undefined }
      rows = step.value
      next = 1
      return { done: false, value: rows[0] as Row }
    }
    return {
      next: () =>
        next < rows.length ? Promise.resolve({ done: false, value: rows[next++] as Row }) : more(),
      return: async (): Promise<IteratorResult<Row>> => {
        await slices.return(undefined)
        return { done: true, value: undefined }
      },
    }
  }

  async page(options: { limit: number; cursor?: string | undefined }): Promise<Page<Row>> {
    const { limit = 0, cursor } = (options ?? {}) as Partial<typeof options>
    if (!Number.isInteger(limit) || limit < 1) {
      throw new HoldfastError('InvalidArgument', 'a page has a limit of at least 1')
    }
    await this.#fresh()
    const walk = planWalk(this.#core, this.#query)
    const shape = hex(
      digest(walk.gte, walk.lt ?? walk.gte, Uint8Array.of(walk.reverse ? 1 : 0)),
    ).slice(0, 8)
    const from = cursor === undefined ? undefined : parseCursor(cursor, shape)
    if (from !== undefined && !isInside(walk, from.after)) {
      throw new HoldfastError('InvalidCursor', 'the cursor lies outside its query')
    }
    const held = from === undefined ? this.#snapshots.hold() : this.#snapshots.named(from.snapshot)
    const done = from?.done ?? 0
    const count = Math.min(limit, walk.limit - done)
    const found = readSlice(this.#core, this.#snapshots.use(held), walk, from?.after, count)
    const last = found.at(-1)
    if (last === undefined || found.length < count || done + found.length >= walk.limit) {
      this.#snapshots.release(held)
      return { rows: found.map(({ row }) => row), cursor: undefined }
    }
    const snapshot = from?.snapshot ?? this.#snapshots.name(held)
    const next = [CURSOR, snapshot, shape, done + found.length, hex(last.at)].join('.')
    return { rows: found.map(({ row }) => row), cursor: next }
  }

  async *#slices(): AsyncGenerator<Row[], undefined, undefined> {
    if (mayWait(this.#core, this.#query)) await this.#fresh()
    const core = this.#core
    const walk = planWalk(core, this.#query)
    if (walk.limit <= SLICE_MAX) {
      // One slice is read in one step, on one state: it needs no snapshot. Unless rows are large.
      const { rows, last } = readRows(core, core.node.store, walk, undefined, walk.limit)
      if (last === undefined || rows.length >= walk.limit) {
        if (rows.length > 0) yield rows
        return
      }
    }
    const held = this.#snapshots.hold()
    try {
      let left = walk.limit
      let after: Bytes | undefined
      for (let size = SLICE_FIRST; left > 0; size = Math.min(SLICE_MAX, size * 2)) {
        throwIfCancelled(this.#query.signal)
        const count = Math.min(size, left)
        const { rows, last } = readRows(core, this.#snapshots.use(held), walk, after, count)
        left -= rows.length
        after = last
        // A scan that ends here is not held by whoever takes its last rows.
        const ended = last === undefined || left === 0
        if (ended) this.#snapshots.release(held)
        if (rows.length > 0) yield rows
        if (ended) return
      }
    } finally {
      this.#snapshots.release(held)
    }
  }

  #fresh(): Promise<void> {
    return reachLevel(this.#core, this.#query)
  }
}

/** Whether a read has anything to wait for, or to refuse: the hot path has not. */
export function mayWait(core: TableCore, options: ReadOptions | undefined): boolean {
  return core.node.shared || options?.after !== undefined || options?.signal !== undefined
}

/** Waits until a read here is as fresh as was asked: by its token, and by its level (S6). */
export async function reachLevel(core: TableCore, options: ReadOptions = {}): Promise<void> {
  const { node } = core
  const { level = 'linearizable', after, signal, deadlineMs } = options
  throwIfCancelled(signal)
  if (after !== undefined) {
    const { position } = parseToken(node, after)
    if (node.shared) await node.reachedWithin(position, options)
    else await node.reached(position)
  }
  if (!node.shared || level === 'local' || level === 'session') return
  if (typeof level === 'object' && node.stalenessMs() <= level.maxStalenessMs) return
  await node.barrier({ deadlineMs, signal })
}

function isInside(walk: Walk, at: Bytes): boolean {
  if (compareBytes(at, walk.gte) < 0) return false
  return walk.lt === undefined || compareBytes(at, walk.lt) < 0
}

const CURSOR = 'hfc1'

function parseCursor(
  text: string,
  shape: string,
): { snapshot: string; after: Bytes; done: number } {
  const [form, snapshot, made, done, after] = String(text).split('.')
  if (
    form !== CURSOR ||
    snapshot === undefined ||
    after === undefined ||
    !/^[0-9a-f]+$/.test(after)
  ) {
    throw new HoldfastError('InvalidCursor', 'this is not a cursor of a query')
  }
  if (made !== shape || !/^\d{1,15}$/.test(done ?? '')) {
    throw new HoldfastError('InvalidCursor', 'the cursor belongs to another query')
  }
  return { snapshot, after: new Uint8Array(Buffer.from(after, 'hex')), done: Number(done) }
}

/** The least key greater than `key`. */
function successor(key: Bytes): Bytes {
  const out = new Uint8Array(key.length + 1)
  out.set(key)
  return out
}

/** Whether a query is over the whole table by key: it is counted without reading. */
export function isWhole(query: LooseQuery): boolean {
  const { eq, gt, gte, lt, lte, prefix, index, limit } = query
  return [eq, gt, gte, lt, lte, prefix, index, limit].every((part) => part === undefined)
}
