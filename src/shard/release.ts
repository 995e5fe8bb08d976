/**
 * What a shared log may let go (S8). Nodes say in the log what they have flushed to their disks, and
 * what their log's tail need not have; a position is released once enough of them have flushed all
 * below it. That is a function of entries: no message, clock or guess about who is alive is in it.
 *
 * Pure.
 */
import { equalBytes, hex, type Bytes } from '../core/bytes.ts'
import type { Release } from '../log/entry.ts'
import type { Position } from '../log/log.ts'
import type { LogState } from './log-state.ts'

/** Takes the word of a node, in the entry at `position`. */
export function release(state: LogState, position: Position, word: Release): void {
  const { flushedBy } = state
  const node = hex(word.node)
  // Nobody has flushed what was not in the log yet.
  const flushed = Math.min(word.flushed, position - 1)
  flushedBy.set(node, Math.max(flushed, flushedBy.get(node) ?? 0))
  const bound = flushedByAll(flushedBy, word.copies)
  if (bound > 0) state.released = Math.max(state.released, Math.min(word.below, bound + 1))
  for (const [known, upTo] of flushedBy) if (upTo < state.released) flushedBy.delete(known)
}

/**
 * A node starts. What it said before is of no use: its folder may be an older copy. One that nobody
 * knows may have the place of one whose disk was lost, and whose word must not count beside its own:
 * then all say it again.
 */
export function forgetWords({ flushedBy, sessions }: LogState, node: Bytes): void {
  const isKnown = [...sessions.values()].some((session) => equalBytes(session.node, node))
  if (isKnown) flushedBy.delete(hex(node))
  else flushedBy.clear()
}

/** What `copies` nodes at least have flushed, by their own words; 0 when there are not so many. */
export function flushedByAll(flushedBy: LogState['flushedBy'], copies: number): Position {
  const descending = [...flushedBy.values()].toSorted((a, b) => b - a)
  return descending[copies - 1] ?? 0
}
