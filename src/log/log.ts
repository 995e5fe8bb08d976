/**
 * The port to one totally ordered log. Its order is the whole of consensus (DESIGN §2).
 * `log.contract.ts` is its test.
 *
 * Obligations
 * - Order: every follower sees the same frames at the same positions, in order, without gaps;
 *   positions rise by one from `first`.
 * - An ack says that the frame was given a place, and no more: it is not a fate (S3). A rejected
 *   append may still show up, at most once for one `messageId` as long as the log remembers it.
 * - Durability: `self` means that a frame delivered to a follower is already safe. `with-apply`
 *   means that the follower stores it, together with its effects, in one batch of its store, and
 *   acks nobody before that is flushed (S14).
 * - Bytes: frames handed in and out do not change afterwards.
 */
import type { Bytes } from '../core/bytes.ts'

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

export interface Log {
  readonly durability: 'self' | 'with-apply'
  /** The position of the last frame that was given a place here, 0 when there is none. */
  last(): Position
  append(frame: Bytes, messageId: string): Promise<Appended>
  /** Delivers every frame from `from` on, those to come included. */
  follow(from: Position, follower: LogFollower): Unfollow
  close(): Promise<void>
}
