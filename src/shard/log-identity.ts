/** Whether a store and a log belong together (S15): asked before a node takes part. */
import { equalBytes, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { readEntry } from '../log/entry-store.ts'
import type { Log, Position } from '../log/log.ts'
import { readLog } from '../log/read-log.ts'
import type { StoreReader } from '../store/store.ts'
import { storedState } from './apply-loop.ts'
import { assertKin, assertNotLost, readHead } from './log-head.ts'
import { readSeal, type Seal } from './seal.ts'

/**
 * Throws `LogMismatch` for the store of a cluster's node: others go on with its log; `LogSealed` for
 * one whose log was sealed, to go on elsewhere.
 */
export function assertAlone(store: StoreReader): void {
  const state = storedState(store)
  if (state === undefined) return
  if (!state.alone) {
    throw new HoldfastError('LogMismatch', 'the folder belongs to a node of a cluster', {
      details: { position: state.position, next: 'open it with the cluster that it belongs to' },
    })
  }
  const seal = readSeal(store, state.identity)
  if (seal !== undefined) throw sealedError(seal)
}

/** Throws `LogMismatch` for the store of an embedded database, unless it goes to this cluster. */
export function assertShared(store: StoreReader, database: string): void {
  const state = storedState(store)
  if (state === undefined || !state.alone) return
  if (readSeal(store, state.identity)?.database === database) return
  throw new HoldfastError(
    'LogMismatch',
    'the folder holds an embedded database, whose log is in the folder',
    { details: { position: state.position, next: 'holdfast adopt --cluster URLS' } },
  )
}

/** Says where a sealed folder goes, and what to do. */
export function sealedError({ kind, database }: Seal): HoldfastError {
  const message =
    kind === 'adopt'
      ? `the folder was carried to the cluster's database ${database}`
      : `the folder waits for the log that goes on with that of the cluster's database ${database}`
  const next =
    kind === 'adopt'
      ? `holdfast start --cluster URLS --database ${database}   (or holdfast adopt again)`
      : `holdfast refound --cluster URLS --database ${database}   (again)`
  return new HoldfastError('LogSealed', message, { details: { database, next } })
}

/**
 * Compares the newest entry that is both in the store and in the log, or where the two meet when none
 * is. Throws `LogMismatch` when they differ, `LogReset` when the log ends before what was applied here,
 * `LogSealed` when the folder applies nothing more of this log, `LogUnavailable` when it gives nothing.
 * A log that was trimmed beyond the store's position is left to who follows it.
 */
export async function assertOwnLog(env: Env, store: StoreReader, log: Log): Promise<void> {
  const state = storedState(store)
  if (state === undefined) return
  const { position } = state
  const last = log.last()
  const shared = last < position ? undefined : await entryAt(env, log, position)
  const own = readEntry(store, position)
  const seal = readSeal(store, state.identity)
  if (shared !== undefined && (own === undefined || equalBytes(own, shared))) {
    if (seal !== undefined) throw sealedError(seal)
    return
  }
  const head = await readHead(env, log, state)
  if (head.follows !== undefined) return
  assertNotLost(state, head)
  if (seal !== undefined) throw sealedError(seal)
  if (last < position) {
    throw new HoldfastError(
      'LogReset',
      `the log ends at ${last}, although its entry ${position} was applied here`,
      { details: { position, last } },
    )
  }
  if (shared !== undefined) {
    throw new HoldfastError(
      'LogMismatch',
      `entry ${position} of the log is not the one that was applied here`,
      { details: { position } },
    )
  }
  if (!head.isOwn) assertKin(state, head)
}

/** The entry of a log at a position that it has come to; undefined when it was trimmed. */
export async function entryAt(env: Env, log: Log, position: Position): Promise<Bytes | undefined> {
  let found: Bytes | undefined
  try {
    await readLog(env, log, position, (at, frame) => {
      if (at === position) found = frame
      return true
    })
  } catch (cause) {
    if (!isHoldfastError(cause, 'LogTrimmed')) throw cause
  }
  return found
}
