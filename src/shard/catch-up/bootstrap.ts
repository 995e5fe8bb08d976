/**
 * How a node begins whose next entry is neither in the log nor in a peer's store: with a snapshot of a
 * peer, in place of the store that it has (S8). What it has is left as it is until the snapshot is
 * whole; who the node is stays.
 */
import type { Bus } from '../../bus/bus.ts'
import { hex } from '../../core/bytes.ts'
import { delay, type Env } from '../../core/env.ts'
import { HoldfastError, isHoldfastError } from '../../core/errors.ts'
import type { Log, Position } from '../../log/log.ts'
import { StoreBatch, type Store } from '../../store/store.ts'
import { storedState } from '../apply-loop.ts'
import { putBeginning } from '../beginning.ts'
import { assertOwnLog } from '../log-identity.ts'
import type { LogState } from '../log-state.ts'
import { putNodeId, readNodeId } from '../node-id.ts'
import { findPeers, isOfHistory, type Offer } from './peers.ts'
import { receiveSnapshot, type SnapshotProgress } from './snapshot-receiver.ts'

/** How long a peer is looked for that helps. */
const PATIENCE_MS = 15_000
const RETRY_MS = 500
const ASKER_BYTES = 8

/** Has an empty store filled, and puts it in the place of the one there was; gives the new one. */
export type ReplaceStore = (fill: (empty: Store) => Promise<void>) => Promise<Store>

export interface BootstrapOptions {
  readonly env: Env
  /** This node's, as it is. */
  readonly store: Store
  readonly log: Log
  readonly bus: Bus
  readonly replace: ReplaceStore
  readonly onProgress?: ((progress: SnapshotProgress) => void) | undefined
}

/**
 * Gives the store that this node goes on with: its own where entries lead on from it, or else one that
 * a peer's snapshot filled. Throws `LogTrimmed` when no peer that answers can help.
 */
export async function bootstrapped(options: BootstrapOptions): Promise<Store> {
  const { env, store, log, bus } = options
  const asker = hex(env.random.bytes(ASKER_BYTES))
  const state = storedState(store)
  const next = (state?.position ?? 0) + 1
  let problem: unknown
  for (const untilMs = env.clock.monotonicMs() + PATIENCE_MS; ; await delay(env, RETRY_MS)) {
    const first = await oldestIn(log)
    if (first <= next) return store
    const offers = (await findPeers(env, bus, asker)).filter((offer) =>
      isAhead(offer, state, first),
    )
    if (offers.some(({ oldest }) => oldest <= next)) return store
    for (const offer of offers) {
      try {
        return await options.replace((empty) => fill(options, empty, offer, asker))
      } catch (cause) {
        // What this peer could not give, another may.
        if (!isHoldfastError(cause)) throw cause
        problem = cause
      }
    }
    if (env.clock.monotonicMs() >= untilMs) throw nobody(next, first, state, problem)
  }
}

/** A log that cannot say what it keeps can be waited for by who follows it. */
async function oldestIn({ room }: Log): Promise<Position> {
  try {
    return room === undefined ? 1 : (await room.extent()).first
  } catch (cause) {
    if (isHoldfastError(cause, 'LogUnavailable')) return 1
    throw cause
  }
}

function isAhead(offer: Offer, state: LogState | undefined, first: Position): boolean {
  return isOfHistory(offer, state) && offer.flushed + 1 >= first
}

async function fill(
  { env, store, log, bus, onProgress }: BootstrapOptions,
  empty: Store,
  offer: Offer,
  asker: string,
): Promise<void> {
  const state = await receiveSnapshot({ bus, asker, offer, store: empty, onProgress })
  // The log has gone on meanwhile, and nobody followed it here.
  await log.room?.extent()
  await assertOwnLog(env, empty, log)
  const batch = new StoreBatch()
  putBeginning(batch, state.windowFloor + 1)
  const id = readNodeId(store)
  if (id !== undefined) putNodeId(batch, id)
  await empty.write(batch)
}

function nobody(
  position: Position,
  first: Position,
  state: LogState | undefined,
  cause: unknown,
): HoldfastError {
  const flushedBy = [...(state?.flushedBy.keys() ?? [])]
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  return new HoldfastError(
    'LogTrimmed',
    `entries ${position} to ${first - 1} are no longer in the log, and no node that answers helps${why}`,
    { cause, details: { position, first, flushedBy } },
  )
}
