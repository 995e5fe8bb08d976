/** Whether a store and a log belong together (S15): asked before a node takes part. */
import { equalBytes, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { readEntry } from '../log/entry-store.ts'
import type { Log, Position } from '../log/log.ts'
import type { StoreReader } from '../store/store.ts'
import { statePosition, storedState } from './apply-loop.ts'

/** Milliseconds that the log may take to give one entry. */
const ENTRY_MS = 15_000

/** Throws `LogMismatch` for the store of a cluster's node: others go on with its log. */
export function assertAlone(store: StoreReader): void {
  const state = storedState(store)
  if (state === undefined || state.alone) return
  throw new HoldfastError('LogMismatch', 'the folder belongs to a node of a cluster', {
    details: { position: state.position, next: 'open it with the cluster that it belongs to' },
  })
}

/** Throws `LogMismatch` for the store of an embedded database: its log is in it. */
export function assertShared(store: StoreReader): void {
  const state = storedState(store)
  if (state === undefined || !state.alone) return
  throw new HoldfastError(
    'LogMismatch',
    'the folder holds an embedded database, whose log is in the folder',
    { details: { position: state.position } },
  )
}

/**
 * Compares the newest entry that is both in the store and in the log. Throws `LogMismatch` when they
 * differ, `LogReset` when the log ends before what was applied here, `LogUnavailable` when it gives
 * nothing. A log that was trimmed beyond the store's position is left to who follows it.
 */
export async function assertOwnLog(env: Env, store: StoreReader, log: Log): Promise<void> {
  const position = statePosition(store)
  if (position === 0) return
  const last = log.last()
  if (last < position) {
    throw new HoldfastError(
      'LogReset',
      `the log ends at ${last}, although its entry ${position} was applied here`,
      { details: { position, last } },
    )
  }
  const own = readEntry(store, position)
  const shared = await entryAt(env, log, position)
  if (own === undefined || shared === undefined || equalBytes(own, shared)) return
  throw new HoldfastError(
    'LogMismatch',
    `entry ${position} of the log is not the one that was applied here`,
    { details: { position } },
  )
}

/** undefined: it was trimmed. */
function entryAt(env: Env, log: Log, position: Position): Promise<Bytes | undefined> {
  return new Promise((resolve, reject) => {
    const late = new HoldfastError('LogUnavailable', `the log did not give entry ${position}`)
    const cancel = env.timers.after(ENTRY_MS, () => end(() => reject(late)))
    const end = (settle: () => void): void => {
      cancel()
      // Not within the call that tells: the follower may not be known yet.
      env.timers.soon(() => unfollow())
      settle()
    }
    const unfollow = log.follow(position, {
      entry: (at, frame) => {
        if (at === position) end(() => resolve(frame))
      },
      failed: (cause) => {
        if (isHoldfastError(cause, 'LogTrimmed')) end(() => resolve(undefined))
        else end(() => reject(cause instanceof Error ? cause : late))
      },
    })
  })
}
