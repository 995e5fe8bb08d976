/**
 * Tokens: a log's identity and a position in it, as text. They stand for "at least this much", and
 * are refused where that history is not known (S6).
 */
import { hex } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Position } from '../log/log.ts'
import type { Node } from '../shard/node.ts'

const FORM = /^hf1\.([0-9a-f]{32})\.(\d{1,15})(?:\.(\d{1,6}))?$/

export interface Token {
  readonly position: Position
  /** How many of the position's ops a feed has handed out; Infinity: all of them. */
  readonly ordinal: number
}

export function formatToken(identity: string, position: Position, ordinal?: number): string {
  return ordinal === undefined
    ? `hf1.${identity}.${position}`
    : `hf1.${identity}.${position}.${ordinal}`
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
  const { identity, position: applied } = node.loop.state
  const position = Number(parts[2])
  // On a shared log others may be ahead of this node, and their tokens with them.
  if (parts[1] !== hex(identity) || (position > applied && !node.shared)) {
    throw new HoldfastError(
      'TokenMismatch',
      'the token is of a history that this database does not have',
    )
  }
  return { position, ordinal: parts[3] === undefined ? Number.POSITIVE_INFINITY : Number(parts[3]) }
}
