/**
 * A transaction being made: what it read, at which positions, and what it will write. The read set
 * and the ops of a commit come from here (S4).
 */
import { binaryString, EMPTY, equalBytes, type Bytes } from '../../core/bytes.ts'
import { LIMITS } from '../../core/limits.ts'
import { decodeValue, encodeValue } from '../../core/value-codec.ts'
import { prefixOf, type IndexAdd, type Op, type Read, type Transaction } from '../../log/entry.ts'
import type { Position } from '../../log/log.ts'
import {
  fitValue,
  hiddenDefinition,
  indexEntries,
  indexValue,
  type TableDefinition,
} from '../../shard/definitions.ts'
import type { Node, RowRef } from '../../shard/node.ts'
import { BODY_HEADER_BYTES, decodeRow, encodeBody, type Row } from '../../shard/row-codec.ts'
import { HoldfastError } from '../../core/errors.ts'
import { definitionMark } from '../../shard/resolver.ts'
import type { StoreReader } from '../../store/store.ts'

interface PointRead {
  readonly table: number
  readonly hi: number
  readonly lo: number
  readonly at: Position
}

const NO_ADDS: readonly IndexAdd[] = []
const NO_READS: readonly Read[] = []

interface DefinitionRead {
  readonly version: number
  readonly at: Position
}

/** One state of the store that a draft reads all of. */
export interface Moment {
  /** Throws `SnapshotExpired` when it was held too long. */
  reader(): StoreReader
  readonly position: Position
}

export class Draft {
  readonly node: Node
  readonly #moment: Moment | undefined
  /** By store key. The first read of a row counts: a later one may only have seen more. */
  readonly #reads = new Map<string, PointRead>()
  readonly #ranges: Read[] = []
  readonly ops = new Map<string, Op>()
  /** Definitions of the tables that were read, by id. */
  readonly #definitions = new Map<number, DefinitionRead>()
  /** The newest state that anything was read from, a row read for the second time included. */
  #latest: Position = 0

  /** Reads the newest flushed state at each read, or `moment` at all of them. */
  constructor(node: Node, moment?: Moment) {
    this.node = node
    this.#moment = moment
  }

  /** What rows are read from now. */
  get reader(): StoreReader {
    return this.#moment === undefined ? this.node.store : this.#moment.reader()
  }

  /** The position of the state that reads in this step see. */
  get readPosition(): Position {
    return this.#moment === undefined ? this.node.loop.visible() : this.#moment.position
  }

  /** The stored row in flushed state, borrowed; the read is recorded. */
  read(ref: RowRef): Bytes | undefined {
    this.note(ref)
    return this.reader.get(ref.storeKey)
  }

  note(ref: RowRef): void {
    const at = this.readPosition
    this.#latest = Math.max(this.#latest, at)
    const name = binaryString(ref.storeKey)
    if (this.#reads.has(name)) return
    const { table, hi, lo } = ref
    this.#reads.set(name, { table, hi, lo, at })
  }

  /** The definition that reads went by: with another one they may have been of half an index. */
  noteDefinition({ id, version }: TableDefinition): void {
    if (!this.#definitions.has(id)) {
      this.#definitions.set(id, { version, at: this.readPosition })
    }
  }

  /** Whether every table that was read still has the definition that it was read by (S10). */
  isCurrent(): boolean {
    const { definitions } = this.node.loop.state
    for (const [id, { version }] of this.#definitions) {
      if (definitions.get(id)?.version !== version) return false
    }
    return true
  }

  noteRange(read: Read): void {
    this.#latest = Math.max(this.#latest, ...positionsOf(read))
    this.#ranges.push(read)
  }

  set(op: Op, storeKey: Bytes): void {
    this.ops.set(binaryString(storeKey), op)
  }

  /** Whether the row was read, and so is part of the condition. */
  hasRead(storeKey: Bytes): boolean {
    return this.#reads.has(binaryString(storeKey))
  }

  /** Names of the rows it touched, for latches. */
  rowNames(): string[] {
    const names: string[] = []
    for (const { hi, lo } of this.#reads.values()) names.push(`${hi}.${lo}`)
    for (const { hi, lo } of this.ops.values()) names.push(`${hi}.${lo}`)
    return names
  }

  get empty(): boolean {
    return this.ops.size === 0
  }

  /** Asks that what was read still be so at `position`, which was decided here: see `isConsistent`. */
  asOf(position: Position): void {
    this.#latest = Math.max(this.#latest, position)
  }

  /**
   * Whether all that was read was so at one moment (S4): none of it was written between its own
   * read and the latest of the reads. A write past that moment hides an earlier one: then the answer
   * is no, and the caller tries again.
   */
  isConsistent(): boolean {
    const { window } = this.node.loop
    if (!this.isCurrent()) return false
    const latest = this.#latest
    // What the window has forgotten cannot be judged.
    for (const { hi, lo, at } of this.#reads.values()) {
      if (at < latest && (at < window.floor || window.lastWrite(hi, lo) > at)) return false
    }
    for (const read of this.#ranges) {
      const at = Math.min(...positionsOf(read))
      if (at >= latest) continue
      if (at < window.floor) return false
      if (read.kind === 'range') {
        const { table, index, low, high } = read
        if (window.rangeWritten(table, index, low, high, at)) return false
      } else if (read.kind === 'table') {
        if (window.lastTableWrite(read.table) > at) return false
      }
    }
    return true
  }

  transaction(): Transaction {
    const ops: Op[] = []
    const own = new Set<string>()
    const written = new Set<number>()
    for (const [name, op] of this.ops) {
      const read = this.#reads.get(name)
      own.add(name)
      written.add(op.table)
      ops.push(read === undefined ? op : { ...op, readAt: read.at })
    }
    const reads = [...this.#readSet(own), ...this.#definitionReads(written)]
    return { reads, guard: undefined, ops }
  }

  /** An op says its definition's version itself; tables that were only read are told by a mark. */
  #definitionReads(written: ReadonlySet<number>): Read[] {
    const reads: Read[] = []
    for (const [id, { at }] of this.#definitions) {
      if (!written.has(id)) reads.push({ kind: 'point', ...definitionMark(id), at })
    }
    return reads
  }

  /** Rows that an op of ours covers go with the op. Oversized sets coarsen to whole tables. */
  #readSet(own: ReadonlySet<string>): readonly Read[] {
    const points: PointRead[] = []
    for (const [name, read] of this.#reads) if (!own.has(name)) points.push(read)
    if (points.length === 0 && this.#ranges.length === 0) return NO_READS
    if (points.length + this.#ranges.length <= LIMITS.readSetEntries) {
      return [
        ...points.map(({ hi, lo, at }): Read => ({ kind: 'point', hi, lo, at })),
        ...this.#ranges,
      ]
    }
    const tables = new Map<number, Position>()
    const lower = (table: number, at: Position): void => {
      tables.set(table, Math.min(tables.get(table) ?? at, at))
    }
    for (const { table, at } of points) lower(table, at)
    for (const read of this.#ranges) {
      if (read.kind === 'range') lower(read.table, Math.min(...read.at))
      else if (read.kind === 'table') lower(read.table, read.at)
    }
    return [...tables].map(([table, at]): Read => ({ kind: 'table', table, at }))
  }
}

function positionsOf(read: Read): readonly Position[] {
  return read.kind === 'range' ? read.at : [read.at]
}

export function putOp(
  definition: TableDefinition,
  ref: RowRef,
  row: Row,
  value: Bytes,
  readAt: Position | -1 = -1,
): Op {
  let adds = NO_ADDS
  if (definition.indexes.length > 0) {
    adds = indexEntries(definition, row, 'refuse').map(({ index, value: indexed }) => ({
      index: index.id,
      prefix: prefixOf(indexed),
    }))
  }
  return op('put', ref, adds, encodeBody(ref.storeKey, value), readAt)
}

export function deleteOp(ref: RowRef): Op {
  return op('delete', ref, NO_ADDS, EMPTY)
}

export function modifyOp(ref: RowRef, body: Bytes): Op {
  return op('modify', ref, NO_ADDS, body)
}

export function reindexOp(definition: TableDefinition, ref: RowRef, row: Row): Op {
  const adds = indexEntries(definition, row, 'skip').map(({ index, value }) => ({
    index: index.id,
    prefix: prefixOf(value),
  }))
  return op('reindex', ref, adds, EMPTY)
}

function op(
  kind: Op['kind'],
  ref: RowRef,
  adds: readonly IndexAdd[],
  body: Bytes,
  readAt: Position | -1 = -1,
): Op {
  const { table, version, shard, hi, lo, prefix, key } = ref
  return { kind, table, version, shard, hi, lo, prefix, adds, readAt, key, body }
}

export function hasUnique(definition: TableDefinition): boolean {
  for (const index of definition.indexes) if (index.unique) return true
  return false
}

/**
 * Keeps the hidden rows of unique indexes in step with a row that changes from `before` to `after`,
 * either of which may be missing (S11). Throws `UniqueViolation` when another row has the value.
 */
export function setUnique(
  draft: Draft,
  definition: TableDefinition,
  key: Bytes,
  before: Row | undefined,
  after: Row | undefined,
): void {
  // Collected first: a violation leaves the draft as it was.
  const changes: [RowRef, Op][] = []
  for (const index of definition.indexes) {
    if (!index.unique) continue
    const hidden = hiddenDefinition(definition, index)
    const old = before === undefined ? undefined : fitValue(definition, index, before)
    const value = after === undefined ? undefined : indexValue(definition, index, after)
    if (old !== undefined && value !== undefined && equalBytes(old, value)) continue
    if (old !== undefined) {
      const ref = draft.node.ref(hidden, old)
      const owner = ownerOf(draft, ref)
      // While the index is pending, the old row may not be in it yet.
      if (owner !== undefined && equalBytes(owner, key)) changes.push([ref, deleteOp(ref)])
    }
    if (value === undefined) continue
    const ref = draft.node.ref(hidden, value)
    const owner = ownerOf(draft, ref)
    if (owner !== undefined && !equalBytes(owner, key)) {
      throw new HoldfastError(
        'UniqueViolation',
        `${definition.name}: another row has this ${index.fields.join(', ')} (index ${index.name})`,
        { details: { table: definition.name, index: index.name, fields: index.fields } },
      )
    }
    changes.push([ref, op('put', ref, NO_ADDS, encodeBody(ref.storeKey, encodeOwner(key)))])
  }
  for (const [ref, change] of changes) draft.set(change, ref.storeKey)
}

/**
 * The row as the draft leaves it: its own op's, else the stored one as it is stored, which is what
 * index entries were made of: an older version's row is not brought to this one's shape.
 */
export function rowBefore(draft: Draft, ref: RowRef): Row | undefined {
  const own = draft.ops.get(binaryString(ref.storeKey))
  if (own?.kind === 'put') return decodeValue(own.body, BODY_HEADER_BYTES) as Row
  if (own?.kind === 'delete') return undefined
  const stored = draft.read(ref)
  return stored === undefined ? undefined : decodeRow(ref.storeKey, stored)
}

/** The hidden row of a unique index holds the key of the row that has the value. */
function encodeOwner(key: Bytes): Bytes {
  return encodeValue({ k: new Uint8Array(key) })
}

export function decodeOwner(storeKey: Bytes, stored: Bytes): Bytes {
  return decodeRow(storeKey, stored)['k'] as Bytes
}

/** Which row has the value of a hidden row, as the transaction sees it: its own ops first. */
function ownerOf(draft: Draft, ref: RowRef): Bytes | undefined {
  const own = draft.ops.get(binaryString(ref.storeKey))
  if (own !== undefined) {
    return own.kind === 'put'
      ? (decodeValue(own.body, BODY_HEADER_BYTES) as { k: Bytes }).k
      : undefined
  }
  const stored = draft.read(ref)
  return stored === undefined ? undefined : decodeOwner(ref.storeKey, stored)
}
