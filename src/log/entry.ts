/** What a log entry says (S1); entry-codec.ts has it as bytes. */
import type { Bytes } from '../core/bytes.ts'
import { PREFIX_BYTES } from '../core/limits.ts'
import type { Value } from '../core/value-codec.ts'
import type { Position } from './log.ts'

export const ENTRY_KINDS = ['genesis', 'open', 'close', 'batch', 'barrier', 'release'] as const
export type EntryKind = (typeof ENTRY_KINDS)[number]

export const OP_KINDS = ['put', 'delete', 'modify', 'reindex'] as const
export type OpKind = (typeof OP_KINDS)[number]

/** An index entry that an op adds: which index, and the prefix of its value. */
export interface IndexAdd {
  readonly index: number
  readonly prefix: Bytes
}

/** One mutation of one row. */
export interface Op {
  readonly kind: OpKind
  /** The table's id and the version of its definition that the op was made under (S10). */
  readonly table: number
  readonly version: number
  readonly shard: number
  /** 64 bits that stand for table and key in the window. */
  readonly hi: number
  readonly lo: number
  readonly prefix: Bytes
  readonly adds: readonly IndexAdd[]
  /** The position at which this op's own row was read, or -1 when it was not: the op is blind. */
  readonly readAt: Position | -1
  readonly key: Bytes
  /** put: checksum and row. modify: the modification. Empty otherwise. */
  readonly body: Bytes
}

export type Read =
  /** One row, or its absence. */
  | { readonly kind: 'point'; readonly hi: number; readonly lo: number; readonly at: Position }
  /**
   * All rows of `table` whose key (index 0), or whose value in that index, has a prefix in
   * [low, high], both inclusive; `at` has one position, or one for each shard.
   */
  | {
      readonly kind: 'range'
      readonly table: number
      readonly index: number
      readonly low: Bytes
      readonly high: Bytes
      readonly at: readonly Position[]
    }
  /** The whole table. */
  | { readonly kind: 'table'; readonly table: number; readonly at: Position }

/** A guard that its transaction's commit depends on: the epoch of an ownership (C3). */
export interface Guard {
  readonly resource: string
  readonly epoch: number
}

export interface Transaction {
  readonly reads: readonly Read[]
  readonly guard: Guard | undefined
  readonly ops: readonly Op[]
}

/** A position with the hashes of both chains there, so that nodes find out when they differ (S7). */
export interface Carried {
  readonly position: Position
  readonly entryChain: Bytes
  readonly decisionChain: Bytes
}

export interface Batch {
  readonly kind: 'batch'
  readonly session: Position
  readonly number: number
  readonly settledBelow: number
  readonly carried: Carried
  readonly digest: Bytes
  /** The proposer's wall clock when it was sealed. */
  readonly timeMs: number
  /** Commands on log-wide state, carried out after the transactions. */
  readonly commands: readonly Value[]
  readonly transactions: readonly Transaction[]
}

/**
 * A node's word on what the log need not keep for it (S8). It stands in no session: it may come twice,
 * late, or never, and a session may be waiting for room that only this makes.
 */
export interface Release {
  readonly kind: 'release'
  /** The node that says so. */
  readonly node: Bytes
  /** What that node has flushed to its disk. */
  readonly flushed: Position
  /** Entries below it need not be kept in the log, as far as its tail goes. */
  readonly below: Position
  /** How many nodes must have flushed an entry before the log lets it go. */
  readonly copies: number
}

export type Entry =
  | { readonly kind: 'genesis'; readonly value: Value }
  | { readonly kind: 'open'; readonly value: Value }
  | { readonly kind: 'close'; readonly session: Position }
  /** Changes nothing: whoever reads it back has read all that was in the log before it (S6). */
  | { readonly kind: 'barrier'; readonly nonce: Bytes }
  | Release
  | Batch

/**
 * The first bytes of a key or index value: order-preserving (S4). A shorter one stands for itself
 * padded with zeros, and is written so.
 */
export function prefixOf(bytes: Bytes): Bytes {
  return bytes.length <= PREFIX_BYTES ? bytes : bytes.subarray(0, PREFIX_BYTES)
}

/** Bytes that an op takes in an entry, at most. */
export function opBytes(op: Op): number {
  return 64 + op.adds.length * (PREFIX_BYTES + 4) + op.key.length + op.body.length
}

/** Bytes that a read takes in an entry, at most. */
export function readBytes(read: Read): number {
  return read.kind === 'range' ? 2 * PREFIX_BYTES + 16 + 8 * read.at.length : 24
}
