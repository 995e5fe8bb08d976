/** Begins a log that goes on with a history: of several who try, the first genesis in it counts (S15). */
import { equalBytes, hex, type Bytes } from '../core/bytes.ts'
import { delay, type Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import type { Log, Position } from '../log/log.ts'
import { encodeGenesis, type Parent } from './genesis.ts'
import { parentOf } from './lineage.ts'
import { readHead, type Begun } from './log-head.ts'
import type { LogState } from './log-state.ts'

/** Milliseconds until a log that takes nothing is given up. */
const WITHIN_MS = 30_000
const RETRY_MS = 200

/**
 * Appends a genesis with the identity `next` that goes on from `state`, unless there is one, and
 * returns the first: whose it is says its identity. Can be called again after whatever went wrong.
 * Throws `LogUnavailable`, and `LogMismatch` for a log whose beginning is gone.
 */
export async function beginLog(env: Env, log: Log, state: LogState, next: Bytes): Promise<Begun> {
  const { shards } = state
  const parent = parentOf(state)
  const untilMs = env.clock.monotonicMs() + WITHIN_MS
  for (let attempt = 1; ; attempt++) {
    const { follows, first } = await readHead(env, log, state)
    if (follows !== undefined) return follows
    if (first > state.position + 1) throw wentOn(first, parent)
    const timeMs = env.clock.wallMs()
    const frame = encodeGenesis(next, { shards, timeMs, alone: false, parent })
    try {
      await log.append(frame, `${hex(next)}.genesis.${attempt}`)
    } catch (cause) {
      if (!isHoldfastError(cause, 'LogUnavailable', 'OutcomeUnknown')) throw cause
      if (env.clock.monotonicMs() >= untilMs) {
        throw new HoldfastError('LogUnavailable', 'the log took no genesis', { cause })
      }
      await delay(env, RETRY_MS)
    }
  }
}

/** Its genesis was trimmed long ago, and another would count for nobody. */
function wentOn(first: Position, { position }: Parent): HoldfastError {
  return new HoldfastError(
    'LogMismatch',
    `the log that goes on from position ${position} begins at ${first} by now: others use it`,
    { details: { position, first } },
  )
}

/** The place that a log goes on from, as text: what the log is made for, and for nothing else. */
export function markOf(state: LogState): string {
  const { identity, position, entryChain, decisionChain } = parentOf(state)
  return [hex(identity), position, hex(entryChain), hex(decisionChain)].join('.')
}

export function isBegunBy(begun: Begun, next: Bytes): boolean {
  return equalBytes(begun.identity, next)
}
