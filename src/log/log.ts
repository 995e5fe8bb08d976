/**
 * The port to one totally ordered log. Its order is the whole of consensus (DESIGN §2).
 * `log.contract.ts` is its test.
 *
 * Obligations
 * - Order: every follower sees the same frames at the same positions, in order, without gaps;
 *   positions rise by one from `first`.
 * - An ack says that the frame was given a place, and no more: it is not a fate (S3).
 * - A rejection is a HoldfastError: `LogUnavailable` and `LogFull` took nothing of this call,
 *   `OutcomeUnknown` and `Closed` may have (an earlier call of the same `messageId` always may). What
 *   may have been taken shows up at any later time, at most once for one `messageId` as long as the
 *   log remembers it.
 * - Connections: those that break are made again behind the port. Followers go on where they were.
 * - Trimming: a follower whose next entry is no longer kept is told `failed` with `LogTrimmed`
 *   ({ position, first } in its details: what it needs, and the oldest kept); it gets nothing else.
 *   Positions go on rising, whatever was trimmed.
 * - Room: a log that keeps its frames by itself says how many bytes it may have. Beyond the share
 *   of them that frames of a `use` may fill (`ROOM_SHARE`), they are refused with `LogFull` (S1).
 * - Durability: `self` means that a frame delivered to a follower is already safe. `with-apply`
 *   means that the follower stores it, together with its effects, in one batch of its store, and
 *   acks nobody before that is flushed (S14).
 * - Bytes: frames handed in and out do not change afterwards.
 */
import type { Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'

/** Counts from 1; 0 is before the first. */
export type Position = number

export interface Appended {
  readonly position: Position
}

export interface LogFollower {
  /** Called for each frame in order; never re-entered. */
  entry(position: Position, frame: Bytes): void
  /** The log can deliver no more; nothing follows. */
  failed(cause: unknown): void
}

/** Ends a follower: nothing more is delivered. */
export type Unfollow = () => void

/**
 * What an entry is for: `data`; `reading`, barriers of readers; `upkeep`, what lets nodes come and go
 * and lets the log be trimmed.
 */
export type EntryUse = 'data' | 'reading' | 'upkeep'

/** How full the log may become by entries of each use: so a full one can still be trimmed (S1). */
export const ROOM_SHARE: Readonly<Record<EntryUse, number>> = {
  data: 0.9,
  reading: 0.95,
  upkeep: 1,
}

/** What a log keeps. */
export interface LogExtent {
  /** The oldest entry kept; one above `last` when there is none. */
  readonly first: Position
  readonly last: Position
  readonly bytes: number
  /** Bytes that it may have. */
  readonly maxBytes: number
}

/** How a log that keeps its frames by itself is kept small. */
export interface LogRoom {
  /** `last()` has heard of it then. Rejects with `LogUnavailable`. */
  extent(): Promise<LogExtent>
  /**
   * Lets the entries below `below`, which is above 1, go; for ever. Those that are gone already are
   * no error. Rejects with `LogUnavailable`: it may have been done, and can be asked for again.
   */
  trim(below: Position): Promise<void>
}

export interface Log {
  readonly durability: 'self' | 'with-apply'
  /** undefined where followers keep the entries, and trim them in their own stores. */
  readonly room?: LogRoom | undefined
  /**
   * The newest position that this port has heard of, 0 when of none. Every ack and entry given out
   * here is at or below it; a shared log may be further on. It goes back only when the log lost
   * entries.
   */
  last(): Position
  /** `use`: default `data`. */
  append(frame: Bytes, messageId: string, use?: EntryUse): Promise<Appended>
  /** Delivers every frame from `from` on, those to come included. */
  follow(from: Position, follower: LogFollower): Unfollow
  close(): Promise<void>
}

/** What a follower is told whose next entry is at `position`, while the oldest kept is `first`. */
export function logTrimmed(position: Position, first: Position): HoldfastError {
  const message = `log entry ${position} was trimmed; the oldest kept is ${first}`
  return new HoldfastError('LogTrimmed', message, { details: { position, first } })
}
