/**
 * Tokens: a log and a position in it, as text. They stand for "at least this much", and are refused
 * where that history is lost or not known (S6). A log that goes on with another one is named by the
 * identity of the first, its epoch, and the start of its own identity (shard/lineage.ts):
 *
 *   hf1.<identity>.<position>[.<ordinal>]
 *   hf2.<identity of the first>.<epoch>.<half of its identity>.<position>[.<ordinal>]
 */
import { HoldfastError } from '../core/errors.ts'
import type { Position } from '../log/log.ts'
import { endOf } from '../shard/lineage.ts'
import type { Node } from '../shard/node.ts'

const FORM =
  /^(hf1\.[0-9a-f]{32}|hf2\.[0-9a-f]{32}\.\d{1,9}\.[0-9a-f]{16})\.(\d{1,15})(?:\.(\d{1,6}))?$/

export interface Token {
  readonly position: Position
  /** How many of the position's ops a feed has handed out; Infinity: all of them. */
  readonly ordinal: number
}

/** `log`: as `presentName` of its state has it. */
export function formatToken(log: string, position: Position, ordinal?: number): string {
  return ordinal === undefined ? `${log}.${position}` : `${log}.${position}.${ordinal}`
}

/** The log that a token is of, as `formatToken` takes it. */
export function logOf(token: string): string {
  return FORM.exec(token)?.[1] ?? ''
}

/** The place in a history that a token names, whatever history it is; undefined for no token. */
export function placeOf(token: string): Token | undefined {
  const parts = FORM.exec(token)
  if (parts === null) return undefined
  const ordinal = parts[3] === undefined ? Number.POSITIVE_INFINITY : Number(parts[3])
  return { position: Number(parts[2]), ordinal }
}

/**
 * Throws `InvalidCursor` for what is no token, `TokenMismatch` for one of another history; one that a
 * log of this node alone has not come to included.
 */
export function parseToken(node: Node, token: string): Token {
  const parts = FORM.exec(token)
  if (parts === null) throw new HoldfastError('InvalidCursor', 'this is not a token of Holdfast')
  const { state } = node.loop
  const position = Number(parts[2])
  const end = endOf(state, parts[1] as string)
  // On a shared log others may be ahead of this node, and their tokens with them.
  if (end === undefined || (position > state.position && !node.shared)) {
    throw new HoldfastError(
      'TokenMismatch',
      'the token is of a history that this database does not have',
    )
  }
  if (position > end) {
    throw new HoldfastError(
      'TokenMismatch',
      `the token is of position ${position} of a log that was lost beyond ${end}`,
      { details: { position, end } },
    )
  }
  return { position, ordinal: parts[3] === undefined ? Number.POSITIVE_INFINITY : Number(parts[3]) }
}
