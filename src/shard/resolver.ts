/**
 * The resolver (S4): which transactions of the log commit. Pure: a transaction and the window in,
 * a verdict out; every node decides alike. A transaction commits iff nothing in its read set was
 * written in (the position it was read at, its own place).
 *
 * Optimistic validation as in FoundationDB's resolver (SIGMOD 2021, §2.4), over one log's order.
 */
import { EMPTY } from '../core/bytes.ts'
import { digest64 } from '../core/hash.ts'
import type { Op, Read, Transaction } from '../log/entry.ts'
import type { Position } from '../log/log.ts'
import type { Window } from './window.ts'

/** Sets marks of definitions apart from the rows of the same table. */
const DEFINITION_SALT = 0x5bd1e995

/**
 * - `committed`
 * - `conflict`: something it read was written since
 * - `stale`: it read before what the window covers
 * - `definition`: it was made under another version of a table's definition (S10)
 * - `guard`: the ownership it depends on is over (C3)
 */
export const VERDICTS = ['committed', 'conflict', 'stale', 'definition', 'guard'] as const
export type Verdict = (typeof VERDICTS)[number]

/** Judges the reads of a transaction at its place in the log. */
export function judge(transaction: Transaction, window: Window): Verdict {
  const { floor } = window
  for (const op of transaction.ops) {
    if (op.readAt < 0) continue
    if (op.readAt < floor) return 'stale'
    if (window.lastWrite(op.hi, op.lo) > op.readAt) return 'conflict'
  }
  for (const read of transaction.reads) {
    const verdict = judgeRead(read, window, floor)
    if (verdict !== 'committed') return verdict
  }
  return 'committed'
}

function judgeRead(read: Read, window: Window, floor: Position): Verdict {
  const at = read.kind === 'range' ? Math.min(...read.at) : read.at
  if (at < floor) return 'stale'
  switch (read.kind) {
    case 'point':
      return window.lastWrite(read.hi, read.lo) > at ? 'conflict' : 'committed'
    case 'table':
      return window.lastTableWrite(read.table) > at ? 'conflict' : 'committed'
    case 'range':
      return window.rangeWritten(read.table, read.index, read.low, read.high, at)
        ? 'conflict'
        : 'committed'
  }
}

/** Enters the writes of a committed transaction: the next one in the entry is judged by them. */
export function enter(transaction: Transaction, window: Window, position: Position): void {
  for (const op of transaction.ops) enterOp(op, window, position)
}

/**
 * What stands for a table's definition in the window, as if it were one more row of the table:
 * whoever read the table read it, and a change or a drop of the table writes it (S10).
 */
export function definitionMark(table: number): { readonly hi: number; readonly lo: number } {
  const mark = { hi: 0, lo: 0 }
  digest64(EMPTY, 0, 0, (table ^ DEFINITION_SALT) >>> 0, mark)
  return mark
}

/**
 * Enters a change of a table's definition, whether it was made or refused: reads of the table from
 * before it are over. So the window is a function of entries that were applied.
 */
export function enterDefinition(table: number, window: Window, position: Position): void {
  const { hi, lo } = definitionMark(table)
  window.recordKey(position, hi, lo)
}

function enterOp(op: Op, window: Window, position: Position): void {
  window.recordKey(position, op.hi, op.lo)
  window.record(position, op.table, 0, op.prefix)
  for (const add of op.adds) window.record(position, op.table, add.index, add.prefix)
}
