/**
 * Feeds: what happened at a position, read back from the raw entry and the record of its decisions
 * (S12). In order, without gaps, down to the trim.
 */
import { copyBytes, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { decodeKey, type Key } from '../core/key-codec.ts'
import { decodeValue, type Value } from '../core/value-codec.ts'
import { decodeEntry } from '../log/entry-codec.ts'
import type { Op } from '../log/entry.ts'
import { readEntry } from '../log/entry-store.ts'
import type { Position } from '../log/log.ts'
import { decodeChangeRecord, type ChangeRecord } from './change-record.ts'
import type { Command } from './command.ts'
import { changeKey } from './layout.ts'
import { identityAt } from './lineage.ts'
import type { Node } from './node.ts'
import { BODY_HEADER_BYTES, type Row } from './row-codec.ts'

export interface Change {
  readonly kind: 'insert' | 'update' | 'delete'
  readonly table: number
  readonly key: Key
  /** The row after the change; undefined for a delete. */
  readonly row: Row | undefined
  /** The version of the row's shape when it was written. */
  readonly rowVersion: number
  readonly position: Position
  /** Which op of the entry it was. */
  readonly ordinal: number
}

/** What happened to a table at a position. */
export interface TableChanges {
  readonly changes: readonly Change[]
  /** The table was made there: what came before was another's, under the same name. */
  readonly isMade: boolean
}

const NOTHING: TableChanges = { changes: [], isMade: false }

/**
 * The changes of the table with this id at `position`, which is flushed. Throws `FeedTrimmed` when
 * the entry is no longer kept.
 */
export function changesAt(node: Node, position: Position, table: number): TableChanges {
  const { store, loop } = node
  const record = store.get(changeKey(position))
  // No record, no committed transaction; but a trimmed one has none either.
  if (record === undefined && position >= loop.oldest) return NOTHING
  const decided = record === undefined ? undefined : decodeChangeRecord(position, copyBytes(record))
  const frame = decided === undefined ? undefined : readEntry(store, position)
  if (frame === undefined || decided === undefined) {
    throw new HoldfastError(
      'FeedTrimmed',
      `the changes at position ${position} are no longer kept`,
      {
        details: { position, oldest: loop.oldest },
      },
    )
  }
  const entry = decodeEntry(frame, identityAt(loop.state, position))
  if (entry?.kind !== 'batch') return NOTHING
  const changes: Change[] = []
  let ordinal = 0
  for (const [i, transaction] of entry.transactions.entries()) {
    const committed = decided.verdicts[i] === 'committed'
    for (const op of transaction.ops) {
      const change =
        committed && op.table === table ? changeOf(op, decided, position, ordinal) : undefined
      if (change !== undefined) changes.push(change)
      ordinal++
    }
  }
  return { changes, isMade: entry.commands.some((command) => makes(command, table)) }
}

function makes(value: Value, table: number): boolean {
  const command = value as unknown as Command
  return command.type === 'define' && command.expect === 0 && command.definition.id === table
}

function changeOf(
  op: Op,
  decided: ChangeRecord,
  position: Position,
  ordinal: number,
): Change | undefined {
  const existed = decided.existed(ordinal)
  const rowVersion = decided.rowVersion(op.table)
  const base = { table: op.table, key: decodeKey(op.key), rowVersion, position, ordinal }
  switch (op.kind) {
    case 'put':
      return { ...base, kind: existed ? 'update' : 'insert', row: decodeBody(op.body) }
    case 'delete':
      return existed ? { ...base, kind: 'delete', row: undefined } : undefined
    case 'modify': {
      const result = decided.results.get(ordinal)
      if (result?.ok !== true) return undefined
      return { ...base, kind: existed ? 'update' : 'insert', row: decodeValue(result.value) as Row }
    }
    case 'reindex':
      return undefined
  }
}

function decodeBody(body: Bytes): Row {
  return decodeValue(body, BODY_HEADER_BYTES) as Row
}
