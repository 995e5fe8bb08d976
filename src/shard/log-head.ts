/** How a log begins, as a history that may go on under it sees it (S7, S15). */
import { equalBytes, hex, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { decodeGenesis, frameIdentity } from '../log/entry-codec.ts'
import type { Log, Position } from '../log/log.ts'
import { readFromFirst } from '../log/read-log.ts'
import { parentIn, type Genesis, type Parent } from './genesis.ts'
import { goesOn, type LineageState } from './lineage.ts'

export interface Begun {
  readonly position: Position
  readonly identity: Bytes
  readonly genesis: Genesis
}

export interface LogHead {
  /** The oldest position kept, or the next one of an empty log. */
  readonly first: Position
  /** The first genesis that goes on from exactly the state. */
  readonly follows: Begun | undefined
  /** The first genesis that names a parent, or else the first of all. */
  readonly begun: Begun | undefined
  /** Whether entries of the state's own log are in it. */
  readonly isOwn: boolean
}

/** Frames looked at: a log's genesis comes behind a few that are nobody's, at the most. */
const FRAMES_MAX = 1_000

/** Reads how the log begins. Throws `LogUnavailable`. */
export async function readHead(env: Env, log: Log, state: LineageState): Promise<LogHead> {
  let seen = 0
  let [follows, begun]: [Begun | undefined, Begun | undefined] = [undefined, undefined]
  let isOwn = false
  const first = await readFromFirst(env, log, (position, frame) => {
    const identity = frameIdentity(frame)
    const entry = decodeGenesis(frame)
    if (identity !== undefined && entry?.kind === 'genesis') {
      const genesis = entry.value as unknown as Genesis
      const one = { position, identity, genesis }
      if (goesOn(state, genesis)) follows = one
      if (begun === undefined || (parentIn(begun.genesis) === undefined && parentIn(genesis)))
        begun = one
    }
    isOwn ||= identity !== undefined && equalBytes(identity, state.identity)
    return follows !== undefined || isOwn || ++seen >= FRAMES_MAX
  })
  return { first, follows, begun, isOwn }
}

/** Throws `LogMismatch` when the log goes on from a place before the state, or from another history. */
export function assertNotLost(state: LineageState, { begun }: LogHead): void {
  const parent = begun && ownParent(state, begun)
  if (parent === undefined || parent.position > state.position) return
  const lost =
    parent.position < state.position
      ? `entries ${parent.position + 1} to ${state.position} of this folder are lost`
      : 'this folder has another history'
  throw new HoldfastError(
    'LogMismatch',
    `the log goes on from position ${parent.position}: ${lost}`,
    {
      details: {
        position: state.position,
        goesOnFrom: parent.position,
        next: 'keep the folder aside, and start the node with an empty one',
      },
    },
  )
}

/** Throws `LogMismatch` for a log of which this state cannot be. */
export function assertKin(state: LineageState, { begun, first }: LogHead): void {
  if (begun === undefined || ownParent(state, begun) !== undefined) return
  // Several logs may lie between: its parent's parent may be ours, which only a snapshot can tell.
  if (parentIn(begun.genesis) !== undefined && first > state.position + 1) return
  throw new HoldfastError('LogMismatch', `the log is of another database, ${hex(begun.identity)}`, {
    details: { position: state.position },
  })
}

function ownParent(state: LineageState, { genesis }: Begun): Parent | undefined {
  const parent = parentIn(genesis)
  return parent !== undefined && equalBytes(parent.identity, state.identity) ? parent : undefined
}
