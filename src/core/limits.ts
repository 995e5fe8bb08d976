/**
 * Every limit, in one place, with the relations between them asserted at load.
 * They are refused at the edge, with the figure (DESIGN §4).
 */
import { assert } from './assert.ts'
import { DEADLINE_MS, VALUE_DEPTH } from './shared-limits.ts'

const KiB = 1024

export const LIMITS = {
  /** Bytes of an encoded primary key (the key codec's form, tag and terminator included). */
  keyBytes: 1 * KiB,
  /** Bytes of the encoded value of an indexed field, or of a compound of them. */
  indexValueBytes: 768,
  /** Bytes of an encoded row. */
  rowBytes: 256 * KiB,
  /** Bytes of one transaction: its read set, its ops' headers, keys and rows. */
  transactionBytes: 384 * KiB,
  /** Bytes of one log entry, frame included. */
  entryBytes: 512 * KiB,
  /** Bytes at which the proposer seals an entry although more is waiting. */
  entryTargetBytes: 40 * KiB,
  /** The same on a log that nodes share. */
  sharedEntryTargetBytes: 128 * KiB,
  /** Bytes of writes that wait to be sealed; beyond it they are refused as `Overloaded`. */
  stagedBytes: 256 * KiB * KiB,
  /** Transactions in one entry. */
  entryTransactions: 4096,
  /** Bytes of a key in a store: LMDB's own limit with 4 KiB pages is 1978. */
  storeKeyBytes: 1978,
  /** Nesting of a value. */
  valueDepth: VALUE_DEPTH,
  /** Characters of a table's, field's or index's name. */
  nameChars: 64,
  /** Indexes of one table. */
  tableIndexes: 32,
  /** Tables of one database. */
  tables: 4096,
  /** Shards of one database. */
  shards: 256,
  /** Rows of a read set kept one by one; beyond it they coarsen to ranges (S4). */
  readSetEntries: 4096,
  /** Bytes of an idempotency key, as UTF-8. */
  idempotencyKeyBytes: 256,
  /** Bytes of the stored result of a transaction with an idempotency key. */
  idempotencyResultBytes: 64 * KiB,
  /** Milliseconds a call waits by default. */
  deadlineMs: DEADLINE_MS,
  /** Milliseconds a snapshot for cursors is kept after its last use. */
  snapshotIdleMs: 30_000,
  /** Milliseconds a snapshot may be held at the most: a held one makes the file grow. */
  snapshotMaxMs: 300_000,
  /** Snapshots held at once. */
  snapshots: 32,
  /** Milliseconds one slice of the apply loop may take before it yields (S14). */
  applySliceMs: 5,
} as const

/** Order-preserving prefixes carry this many bytes (S4). */
export const PREFIX_BYTES = 12

assert(LIMITS.rowBytes + LIMITS.keyBytes < LIMITS.transactionBytes, 'a row fits a transaction')
assert(LIMITS.transactionBytes + 64 * KiB <= LIMITS.entryBytes, 'a transaction fits an entry')
assert(LIMITS.entryTargetBytes < LIMITS.entryBytes, 'an entry is sealed before it is full')
assert(
  LIMITS.indexValueBytes + LIMITS.keyBytes + 64 <= LIMITS.storeKeyBytes,
  'an index entry is a store key',
)
