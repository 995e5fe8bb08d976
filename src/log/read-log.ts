/** Reads entries of a log once, for whoever has to know what lies in it; nobody follows it for that. */
import type { Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import type { Log, Position } from './log.ts'

/** Milliseconds that the log may take to give one entry. */
const ENTRY_MS = 15_000

/** Returns whether it has read enough. */
export type Take = (position: Position, frame: Bytes) => boolean

/**
 * Hands the log's entries to `take`, from `from` on, until that has read enough or the log's present
 * end is reached. Throws `LogUnavailable` when the log gives nothing, and what a follower is told.
 */
export async function readLog(env: Env, log: Log, from: Position, take: Take): Promise<void> {
  if (from > log.last()) return
  await new Promise<void>((resolve, reject) => {
    let isOver = false
    const end = (settle: () => void): void => {
      isOver = true
      cancel()
      // Not within the call that tells: the follower may not be known yet.
      env.timers.soon(() => unfollow())
      settle()
    }
    const late = new HoldfastError(
      'LogUnavailable',
      `the log did not give its entries from ${from}`,
    )
    const wait = () => env.timers.after(ENTRY_MS, () => end(() => reject(late)))
    let cancel = wait()
    const unfollow = log.follow(from, {
      entry: (position, frame) => {
        if (isOver) return
        if (take(position, frame) || position >= log.last()) return end(resolve)
        cancel()
        cancel = wait()
      },
      failed: (cause) => {
        if (!isOver) end(() => reject(cause instanceof Error ? cause : late))
      },
    })
  })
}

/** As `readLog` from the oldest entry that is kept on; returns its position. */
export async function readFromFirst(env: Env, log: Log, take: Take): Promise<Position> {
  try {
    await readLog(env, log, 1, take)
    return 1
  } catch (cause) {
    if (!isHoldfastError(cause, 'LogTrimmed')) throw cause
    const first = Number(cause.details['first'])
    await readLog(env, log, first, take)
    return first
  }
}
