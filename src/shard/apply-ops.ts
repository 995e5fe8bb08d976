/** The committed ops of one entry, as changes of rows, index entries and statistics (S14). */
import { binaryString, EMPTY, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32 } from '../core/hash.ts'
import { LIMITS } from '../core/limits.ts'
import { decodeValue, encodeValue, type Value } from '../core/value-codec.ts'
import type { Batch, Op } from '../log/entry.ts'
import type { Position } from '../log/log.ts'
import type { StoreBatch, StoreReader } from '../store/store.ts'
import type { LogState } from './log-state.ts'
import { ChangeDraft } from './change-record.ts'
import {
  HIDDEN_TABLES,
  IDEMPOTENCY_DEFINITION,
  indexEntries,
  type IndexEntry,
  type TableDefinition,
} from './definitions.ts'
import { indexKey, rowKey } from './layout.ts'
import { modify, type Modification } from './modification.ts'
import type { Verdict } from './resolver.ts'
import {
  BODY_HEADER_BYTES,
  decodeRow,
  rowCheck,
  ROW_HEADER_BYTES,
  writeRow,
  type Row,
} from './row-codec.ts'
import { addRow, removeRow, type ShardStats } from './shard-stats.ts'

/** A row written by a batch that is not flushed yet. */
export interface OverlayRow {
  readonly position: Position
  /** The stored row, null when it was removed. */
  readonly stored: Bytes | null
}

/** What ops are applied to. */
export interface ApplyTarget {
  readonly store: StoreReader
  readonly state: LogState
  readonly stats: ShardStats
  /** By the row's store key, as a binary string. */
  readonly overlay: Map<string, OverlayRow>
}

interface Context {
  readonly target: ApplyTarget
  readonly position: Position
  readonly batch: StoreBatch
  readonly touched: string[]
  readonly draft: ChangeDraft
  /** Memory for the rows of this entry. */
  slab: Buffer
  slabAt: number
}

const NO_INDEXES: readonly IndexEntry[] = []

export function applyOps(
  target: ApplyTarget,
  position: Position,
  decided: { readonly batch: Batch; readonly verdicts: readonly Verdict[] },
  batch: StoreBatch,
  touched: string[],
): ChangeDraft {
  let ops = 0
  let bytes = 0
  for (const transaction of decided.batch.transactions) {
    ops += transaction.ops.length
    for (const op of transaction.ops) bytes += ROW_HEADER_BYTES + op.body.length
  }
  const context: Context = {
    target,
    position,
    batch,
    touched,
    draft: new ChangeDraft(ops),
    slab: Buffer.allocUnsafeSlow(Math.max(bytes, 1)),
    slabAt: 0,
  }
  let ordinal = 0
  for (const [i, transaction] of decided.batch.transactions.entries()) {
    if (decided.verdicts[i] !== 'committed') {
      ordinal += transaction.ops.length
      continue
    }
    for (const op of transaction.ops) applyOp(context, op, ordinal++)
  }
  return context.draft
}

function applyOp(context: Context, op: Op, ordinal: number): void {
  const { target, draft } = context
  const definition = definitionOf(target, op.table)
  const storeKey = rowKey(op.table, op.key)
  const name = binaryString(storeKey)
  const kept = target.overlay.get(name)
  // Borrowed from the store: used up before the store is called again.
  const old = kept === undefined ? target.store.get(storeKey) : (kept.stored ?? undefined)
  if (old !== undefined) draft.existed(ordinal)
  if (definition.rowVersion > 0) draft.rowVersions.set(op.table, definition.rowVersion)
  const indexed = definition.indexes.length > 0
  switch (op.kind) {
    case 'put': {
      const before = indexed ? oldEntries(definition, storeKey, old) : NO_INDEXES
      const row = indexed ? (decodeValue(op.body, BODY_HEADER_BYTES) as Row) : undefined
      const crc = new DataView(op.body.buffer, op.body.byteOffset).getUint32(0, true)
      dropStat(target, op, old)
      store(context, op, ordinal, definition, storeKey, name, crc, op.body, BODY_HEADER_BYTES)
      if (row !== undefined)
        reindex(context, definition, op.key, before, indexEntries(definition, row, 'skip'))
      break
    }
    case 'delete': {
      if (old === undefined) break
      const before = indexed ? oldEntries(definition, storeKey, old) : NO_INDEXES
      dropStat(target, op, old)
      context.batch.remove(storeKey)
      overlay(context, name, null)
      reindex(context, definition, op.key, before, NO_INDEXES)
      break
    }
    case 'modify':
      applyModification(context, op, ordinal, definition, storeKey, name, old)
      break
    case 'reindex': {
      if (old === undefined) break
      reindex(context, definition, op.key, NO_INDEXES, oldEntries(definition, storeKey, old))
      break
    }
  }
}

function applyModification(
  context: Context,
  op: Op,
  ordinal: number,
  definition: TableDefinition,
  storeKey: Bytes,
  name: string,
  old: Bytes | undefined,
): void {
  const { target, draft } = context
  const row = old === undefined ? undefined : decodeRow(storeKey, old)
  const outcome = modify(row, decodeValue(op.body) as Modification)
  if (!outcome.ok) {
    draft.results.set(ordinal, { ok: false, code: outcome.code, field: outcome.field })
    return
  }
  const value = encodeValue(outcome.row as Value)
  if (value.length > LIMITS.rowBytes) {
    draft.results.set(ordinal, { ok: false, code: 'RowTooLarge', field: '' })
    return
  }
  dropStat(target, op, old)
  const crc = crc32(value, 0, value.length, crc32(storeKey))
  store(context, op, ordinal, definition, storeKey, name, crc, value, 0)
  draft.results.set(ordinal, { ok: true, value })
}

function dropStat(target: ApplyTarget, op: Op, old: Bytes | undefined): void {
  const stat = target.stats.of(op.table, op.shard)
  if (old !== undefined) removeRow(stat, rowCheck(old), old.length)
  target.stats.touch(stat)
}

/** Stores value[from, ...) as the row, and counts it. */
function store(
  context: Context,
  op: Op,
  ordinal: number,
  definition: TableDefinition,
  storeKey: Bytes,
  name: string,
  crc: number,
  value: Bytes,
  from: number,
): void {
  const length = ROW_HEADER_BYTES + value.length - from
  const stored = claim(context, length)
  const { position, target } = context
  const header = { position, ordinal, rowVersion: definition.rowVersion, shard: op.shard }
  const check = writeRow(stored, 0, header, crc, value, from)
  addRow(target.stats.of(op.table, op.shard), check, length)
  context.batch.put(storeKey, stored)
  overlay(context, name, stored)
}

function overlay(context: Context, name: string, stored: Bytes | null): void {
  context.target.overlay.set(name, { position: context.position, stored })
  context.touched.push(name)
}

function claim(context: Context, length: number): Buffer {
  const at = context.slabAt
  // A stateful op may make its row larger than its body was.
  if (at + length > context.slab.length) return Buffer.allocUnsafeSlow(length)
  context.slabAt = at + length
  return context.slab.subarray(at, at + length)
}

function oldEntries(
  definition: TableDefinition,
  storeKey: Bytes,
  old: Bytes | undefined,
): readonly IndexEntry[] {
  return old === undefined ? NO_INDEXES : indexEntries(definition, decodeRow(storeKey, old), 'skip')
}

function reindex(
  context: Context,
  definition: TableDefinition,
  key: Bytes,
  before: readonly IndexEntry[],
  after: readonly IndexEntry[],
): void {
  const { batch } = context
  for (const { index, value } of before) {
    batch.remove(indexKey(definition.id, index.id, value, key))
  }
  // In this order: an entry that both rows have is put back by the later of the two.
  for (const { index, value } of after) {
    batch.put(indexKey(definition.id, index.id, value, key), EMPTY)
  }
}

function definitionOf(target: ApplyTarget, table: number): TableDefinition {
  if (table >= HIDDEN_TABLES) return IDEMPOTENCY_DEFINITION
  const definition = target.state.definitions.get(table)
  if (definition === undefined)
    throw new HoldfastError('Bug', `an op is for table ${table}, which is not there`)
  return definition
}
