/**
 * Feeds of one table (S12): its changes in the order of the log, without gaps, from a token, from
 * now, from the oldest kept, or behind a snapshot of the rows there are.
 *
 *   from: 'snapshot'   rows as of position p ──▶ changes at p+1, p+2, ...
 *
 * Nothing is handed out before it is flushed (S6).
 */
import type { Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { decodeKey, type Key } from '../../core/key-codec.ts'
import { onAbort } from '../../core/on-abort.ts'
import type { Position } from '../../log/log.ts'
import { changesAt } from '../../shard/feed.ts'
import { statePosition } from '../../shard/apply-loop.ts'
import { ROW_KEY_AT } from '../../shard/layout.ts'
import { presentName } from '../../shard/lineage.ts'
import type { Row } from '../../shard/row-codec.ts'
import type { Change, WatchOptions } from '../handles.ts'
import { formatToken, parseToken, type Token } from '../token.ts'
import { planWalk, readSlice } from './query.ts'
import { unknownTable } from './refusals.ts'
import { cancelled, throwIfCancelled } from './retry.ts'
import type { Snapshots } from './snapshots.ts'
import type { TableCore } from './table-core.ts'

const SLICE = 256

const PLACES: readonly unknown[] = [undefined, 'now', 'start', 'snapshot']

/** What feeds of the HTTP API ask for besides. */
export interface PacedWatchOptions extends WatchOptions {
  /**
   * Called when every change up to `position` has been handed out and taken, and the next is yet to
   * come. Returning true ends the feed there.
   */
  readonly caughtUp?: ((position: Position) => boolean) | undefined
}

export async function* watchTable(
  core: TableCore,
  snapshots: Snapshots,
  options: PacedWatchOptions,
  /** The position that `now` means: that of the call, not of the first change asked for. */
  now: Position,
): AsyncGenerator<Change<Row, Key>, undefined, undefined> {
  const { node } = core
  const { loop } = node
  const table = core.definition.id
  const log = presentName(loop.state)
  if (options.after !== undefined && options.from !== undefined) {
    throw new HoldfastError(
      'InvalidArgument',
      'a feed starts either after a token or from a named place',
    )
  }
  if (!PLACES.includes(options.from)) {
    throw new HoldfastError('InvalidArgument', "`from` is 'now', 'start' or 'snapshot'")
  }
  let token: Token = { position: now, ordinal: Number.POSITIVE_INFINITY }
  if (options.after !== undefined) token = parseToken(node, options.after)
  if (options.from === 'start') {
    token = { position: Math.max(0, loop.oldest - 1), ordinal: Number.POSITIVE_INFINITY }
  }
  if (options.from === 'snapshot') {
    const position = yield* rowsOf(core, snapshots, log)
    token = { position, ordinal: Number.POSITIVE_INFINITY }
  }
  // A token in the middle of an entry goes on inside it.
  let position = token.ordinal === Number.POSITIVE_INFINITY ? token.position + 1 : token.position
  for (; ; position++) {
    if (position > loop.flushed) {
      // Only when all that was decided is flushed: a drop may still be on its way.
      const settled = loop.flushed === loop.state.position
      if (settled && !loop.state.definitions.has(table)) throw unknownTable(core.name)
      if (options.caughtUp?.(position - 1) === true) return
      await nextFlush(core, position, options.signal)
    }
    core.node.assertOpen()
    const { changes, isMade } = changesAt(node, position, table)
    if (isMade && token.ordinal !== Number.POSITIVE_INFINITY) throw madeAnew(core.name, position)
    for (const change of changes) {
      if (position === token.position && change.ordinal <= token.ordinal) continue
      throwIfCancelled(options.signal)
      yield {
        kind: change.kind,
        key: change.key,
        row: change.row === undefined ? undefined : core.current(change.row, change.rowVersion),
        position,
        token: formatToken(log, position, change.ordinal),
      }
    }
    if (position % SLICE === 0 && position < loop.flushed) await node.pause()
  }
}

/** A token in the middle of an entry was handed out by a feed, of a table that is gone. */
function madeAnew(name: string, position: Position): HoldfastError {
  return new HoldfastError(
    'FeedTrimmed',
    `the token is of a table ${name} that was dropped; the one there is now was made later`,
    { details: { table: name, position } },
  )
}

/** The rows of one moment; returns the position of that moment. */
async function* rowsOf(
  core: TableCore,
  snapshots: Snapshots,
  log: string,
): AsyncGenerator<Change<Row, Key>, Position, undefined> {
  const held = snapshots.hold()
  try {
    // The snapshot's own record says where it stands: it may be newer than what was reported.
    const position = statePosition(held.reader)
    const walk = planWalk(core, {})
    let after: Bytes | undefined
    for (;;) {
      const slice = readSlice(core, snapshots.use(held), walk, after, SLICE)
      for (const { storeKey, row } of slice) {
        const key = decodeKey(storeKey, ROW_KEY_AT)
        yield { kind: 'row', key, row, position, token: formatToken(log, position) }
      }
      after = slice.at(-1)?.at
      if (slice.length < SLICE) return position
    }
  } finally {
    snapshots.release(held)
  }
}

/** Resolves once `position` is flushed; rejects when the signal aborts or the node stops first. */
function nextFlush(
  core: TableCore,
  position: Position,
  signal: AbortSignal | undefined,
): Promise<void> {
  const reached = core.node.reached(position)
  if (signal === undefined) return reached
  throwIfCancelled(signal)
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(cancelled(signal))
    const leave = onAbort(signal, abort)
    reached.then(resolve, reject).finally(leave)
  })
}
