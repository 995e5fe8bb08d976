/** The first entry of a log: it founds a history, or goes on with one (S15). */
import type { Bytes } from '../core/bytes.ts'
import type { Value } from '../core/value-codec.ts'
import { encodeControl } from '../log/entry-codec.ts'
import type { Position } from '../log/log.ts'

/** A place in a history, with both chains there. */
export interface Place {
  readonly position: Position
  readonly entryChain: Bytes
  readonly decisionChain: Bytes
}

/** Where a log goes on: the last place of the one before it that counted. */
export interface Parent extends Place {
  readonly identity: Bytes
}

export interface Genesis {
  readonly shards: number
  readonly timeMs: number
  /** One node writes this log: an embedded database's. */
  readonly alone: boolean
  /** The history that it goes on with; absent where it founds one. */
  readonly parent?: Parent
}

export function encodeGenesis(identity: Bytes, genesis: Genesis): Bytes {
  return encodeControl(identity, { kind: 'genesis', value: genesis as unknown as Value })
}

/** The parent that a genesis names; anybody may have written it, so what is no parent is none. */
export function parentIn(genesis: Genesis): Parent | undefined {
  const { parent } = genesis
  if (typeof parent !== 'object' || parent === null) return undefined
  const { identity, entryChain, decisionChain } = parent
  const all = [identity, entryChain, decisionChain]
  return all.every((bytes) => bytes instanceof Uint8Array) ? parent : undefined
}
