/**
 * The port to ordered, transactional storage on one machine. One keyspace of byte strings, ordered
 * by unsigned bytes; atomic batches; snapshots. `store.contract.ts` is its test.
 *
 * Obligations
 * - Borrowed bytes: every key and value handed out is a view, valid only until the next call on
 *   any store or snapshot of this process, until the visitor returns, and until the current step
 *   of the event loop ends. Copy what you keep; change nothing in it.
 * - Given bytes: keys and values put in a batch must not change until its promise settles.
 * - Order: batches take effect one after another, in the order of the calls to `write`. Each takes
 *   effect whole or not at all, after a crash too; a later batch never survives without an earlier,
 *   and what was flushed always survives.
 * - Visibility: once a batch's promise resolved, every read begun later sees it. Before that a read
 *   may see it, but only when it is already durable (S6): what can be read is never lost in a crash,
 *   unless it is flushed in the background. Reads made one after another never go back.
 * - Failure: a rejected batch took no effect, unless the error says `applied: 'unknown'`. After a
 *   rejection every later write rejects: the caller stops (S14).
 */
import { assert } from '../core/assert.ts'
import type { Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/** Bounds: `gte <= key < lt`; both optional. `limit` counts the keys visited. */
export interface RangeOptions {
  readonly gte?: Bytes | undefined
  readonly lt?: Bytes | undefined
  /** From the end of the range to its start. Default false. */
  readonly reverse?: boolean | undefined
  readonly limit?: number | undefined
}

/** Called for each key in order, with borrowed bytes; `false` stops the scan. */
export type Visit = (key: Bytes, value: Bytes) => boolean | void

export interface StoreReader {
  /** The value of `key`, borrowed, or undefined. */
  get(key: Bytes): Bytes | undefined
  /**
   * Visits a range on one state of the store. Returns how many keys were visited. The visitor
   * calls nothing on any store; what it throws is thrown on, and ends the scan.
   */
  scan(range: RangeOptions, visit: Visit): number
}

/** One state of the store, unmoved by later writes, until `close`. Keep it short: a file grows. */
export interface StoreSnapshot extends StoreReader {
  close(): void
}

/** Keys that begin with this byte are a store's own: nobody else sees or writes them. */
export const OWN_SPACE = 0x00

/** Puts and removes, kept in order; the last one of a key wins. */
export class StoreBatch {
  readonly keys: Bytes[] = []
  /** undefined removes the key. */
  readonly values: (Bytes | undefined)[] = []

  get size(): number {
    return this.keys.length
  }

  put(key: Bytes, value: Bytes): void {
    assert(isStoreKey(key), 'a store key has 1 to 1978 bytes, the first of them not 0')
    this.keys.push(key)
    this.values.push(value)
  }

  remove(key: Bytes): void {
    assert(isStoreKey(key), 'a store key has 1 to 1978 bytes, the first of them not 0')
    this.keys.push(key)
    this.values.push(undefined)
  }
}

function isStoreKey(key: Bytes): boolean {
  return key.length > 0 && key.length <= LIMITS.storeKeyBytes && key[0] !== OWN_SPACE
}

export interface StoreStats {
  /** Bytes the store takes where it lives. */
  readonly bytes: number
  /** Those of them that are free to be used again, or soon will be; approximate. */
  readonly freeBytes: number
}

/** A store that somebody else writes. */
export interface SnapshotSource {
  /** The newest durable state. */
  snapshot(): StoreSnapshot
  close(): Promise<void>
}

export interface Store extends StoreReader, SnapshotSource {
  /**
   * What a resolved `write` means: flushed to the disk; in the system's hands, which keeps it when the
   * process ends and not when the machine does, and flushed in the background; or kept in this
   * process only.
   */
  readonly durability: 'flushed' | 'background' | 'memory'
  /** Takes effect whole, then resolves; see the obligations above. */
  write(batch: StoreBatch): Promise<void>
  /** Resolves once all that was given to `write` before survives what it can. Rejects as `write`. */
  flush(): Promise<void>
  snapshot(): StoreSnapshot
  stats(): StoreStats
  /**
   * Settles what was written, then lets go. Later calls throw `Closed`. Rejects when the store had
   * failed and no write was rejected for it: what was acked is safe all the same.
   */
  close(): Promise<void>
}

/** What every call gets after `close`. */
export function storeClosed(): HoldfastError {
  return new HoldfastError('Closed', 'the store is closed')
}
