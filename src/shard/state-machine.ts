/**
 * The state machine: one entry and the state before it in, decisions and the state after it out.
 * Every node that reads the log does the same. No I/O, no clock (S4, S13).
 */
import { copyBytes, equalBytes, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { digest } from '../core/hash.ts'
import type { Value } from '../core/value-codec.ts'
import { decodeEntry, decodeGenesis, frameIdentity } from '../log/entry-codec.ts'
import type { Batch, Entry } from '../log/entry.ts'
import type { Position } from '../log/log.ts'
import { runCommand, type CommandResult } from './command.ts'
import { HIDDEN_TABLES } from './definitions.ts'
import type { Genesis } from './genesis.ts'
import { goesOn, goOn, stand } from './lineage.ts'
import type { LogState } from './log-state.ts'
import { forgetWords, release } from './release.ts'
import { enter, judge, VERDICTS, type Verdict } from './resolver.ts'
import { admit, applied, close, newSession, type Admission } from './session.ts'
import type { Window } from './window.ts'

/** Closed sessions are kept for this many positions: retirement is by position, never by a clock. */
const SESSION_RETIRES_AFTER = 65_536

/** What the entry that opens a session says. */
export interface Opening {
  readonly nonce: Bytes
  /** The node's own, for ever, and this incarnation's of it. */
  readonly node: Bytes
  readonly incarnation: Bytes
  readonly timeMs: number
}

export type Decision =
  /** A frame that is not ours, or a second genesis: a counted no-op (S1). */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'genesis' }
  | { readonly kind: 'opened'; readonly session: Position; readonly nonce: Bytes }
  | { readonly kind: 'closed'; readonly session: Position }
  | { readonly kind: 'barrier'; readonly nonce: Bytes }
  | { readonly kind: 'released' }
  | {
      readonly kind: 'batch'
      readonly batch: Batch
      readonly admission: Admission
      /** One for each transaction when it was admitted to apply, else none. */
      readonly verdicts: readonly Verdict[]
      readonly commands: readonly CommandResult[]
    }

/**
 * Decides the entry at `position`, which follows the state's. Throws, and the node halts, on a gap,
 * on damage, on a newer format, and on an entry whose carried chains differ from ours (S7).
 *
 * `recorded`: the verdicts as they fell, for a replay that starts without the window of the time
 * (shard/backup/); the decision chain shows whether they are those.
 */
export function decide(
  state: LogState,
  window: Window,
  position: Position,
  frame: Bytes,
  recorded?: readonly Verdict[],
): Decision {
  if (position !== state.position + 1) {
    throw new HoldfastError(
      'EntryCorrupt',
      `entry ${position} follows ${state.position}: the log has a gap`,
    )
  }
  const entry =
    decodeEntry(frame, state.shards === 0 ? undefined : state.identity) ?? decodeGenesis(frame)
  const decision =
    entry === undefined
      ? ({ kind: 'foreign' } as const)
      : decideEntry(state, window, position, entry, frame, recorded)
  if (decision.kind === 'foreign') state.foreign++
  stand(state, decision.kind !== 'foreign')
  state.position = position
  state.windowFloor = window.floor
  state.entryChain = digest(state.entryChain, frame)
  state.decisionChain = digest(state.decisionChain, decisionBytes(decision))
  state.recent.add(position, state.entryChain, state.decisionChain)
  retire(state, position)
  return decision
}

function decideEntry(
  state: LogState,
  window: Window,
  position: Position,
  entry: Entry,
  frame: Bytes,
  recorded: readonly Verdict[] | undefined,
): Decision {
  if (entry.kind === 'genesis') {
    return begin(state, window, position, entry.value as unknown as Genesis, frame)
  }
  // Before its genesis a log has no identity: nothing in it counts (S15).
  if (state.shards === 0) return { kind: 'foreign' }
  switch (entry.kind) {
    case 'open':
      return open(state, window, position, entry.value as unknown as Opening)
    case 'barrier':
      return { kind: 'barrier', nonce: entry.nonce }
    case 'release':
      release(state, position, entry)
      return { kind: 'released' }
    case 'close': {
      const session = state.sessions.get(entry.session)
      if (session?.open === true) close(session, position)
      return { kind: 'closed', session: entry.session }
    }
    case 'batch':
      return decideBatch(state, window, position, entry, recorded)
  }
}

/** The first genesis founds a log; one that names this very state as its parent goes on with it (S15). */
function begin(
  state: LogState,
  window: Window,
  position: Position,
  value: Genesis,
  frame: Bytes,
): Decision {
  const founds = state.shards === 0
  if (founds ? value.parent !== undefined : !goesOn(state, value)) return { kind: 'foreign' }
  const identity = copyBytes(frameIdentity(frame) ?? state.identity)
  if (founds) {
    state.identity = identity
    state.shards = value.shards
  } else {
    goOn(state, identity)
    // Whoever read before this reads again: so nodes that come from a snapshot judge alike.
    window.clear(position)
    // What nodes said of entries behind the place that this goes on from is said of no entry here.
    state.flushedBy.clear()
  }
  state.timeMs = Math.max(state.timeMs, value.timeMs)
  state.alone = value.alone
  return { kind: 'genesis' }
}

function open(state: LogState, window: Window, position: Position, value: Opening): Decision {
  const { node, nonce } = value
  for (const known of state.sessions.values()) {
    // The same entry once more: it opened what it opened.
    if (equalBytes(known.nonce, nonce)) return { kind: 'opened', session: known.id, nonce }
  }
  forgetWords(state, node)
  state.sessions.set(position, newSession(position, copyBytes(node), copyBytes(nonce)))
  state.timeMs = Math.max(state.timeMs, value.timeMs)
  // Nobody is left who read before this: the one node that writes here started anew.
  if (state.alone) window.clear(position)
  return { kind: 'opened', session: position, nonce }
}

function decideBatch(
  state: LogState,
  window: Window,
  position: Position,
  batch: Batch,
  recorded: readonly Verdict[] | undefined,
): Decision {
  checkCarried(state, position, batch)
  const session = state.sessions.get(batch.session)
  const admission = admit(session, batch.number, batch.digest)
  if (admission !== 'apply' || session === undefined) {
    if (admission === 'forked' && session !== undefined) close(session, position)
    return { kind: 'batch', batch, admission, verdicts: [], commands: [] }
  }
  state.timeMs = Math.max(state.timeMs, batch.timeMs)
  const verdicts: Verdict[] = []
  for (const [i, transaction] of batch.transactions.entries()) {
    const verdict =
      recorded === undefined
        ? isCurrent(state, transaction.ops)
          ? judge(transaction, window)
          : 'definition'
        : recordedVerdict(recorded[i], position)
    if (verdict === 'committed') enter(transaction, window, position)
    verdicts.push(verdict)
  }
  window.seal()
  const commands: CommandResult[] = []
  for (const command of batch.commands) {
    commands.push(
      runCommand(state, window, position, command as { readonly [field: string]: Value }),
    )
  }
  const fate = {
    number: batch.number,
    digest: copyBytes(batch.digest),
    verdicts: encodeVerdicts(verdicts),
  }
  applied(session, fate, batch.settledBelow)
  return { kind: 'batch', batch, admission, verdicts, commands }
}

function recordedVerdict(verdict: Verdict | undefined, position: Position): Verdict {
  if (verdict !== undefined) return verdict
  throw new HoldfastError('EntryCorrupt', `entry ${position} has more transactions than verdicts`)
}

function isCurrent(state: LogState, ops: Batch['transactions'][number]['ops']): boolean {
  for (const op of ops) {
    if (op.table >= HIDDEN_TABLES) continue
    if (state.definitions.get(op.table)?.version !== op.version) return false
  }
  return true
}

function checkCarried(state: LogState, position: Position, batch: Batch): void {
  const { carried } = batch
  if (carried.position >= position) {
    throw new HoldfastError(
      'EntryCorrupt',
      `entry ${position} carries position ${carried.position}: the log went back`,
    )
  }
  if (state.recent.disagrees(carried)) {
    throw new HoldfastError(
      'EntryCorrupt',
      `at position ${carried.position} another node has another history`,
    )
  }
}

function retire(state: LogState, position: Position): void {
  if (position % 256 !== 0) return
  for (const session of state.sessions.values()) {
    if (!session.open && position - session.closedAt > SESSION_RETIRES_AFTER) {
      state.sessions.delete(session.id)
    }
  }
}

/** Verdicts, run-length coded: a count, then the verdict's number. */
export function encodeVerdicts(verdicts: readonly Verdict[]): Bytes {
  const runs: number[] = []
  for (let i = 0; i < verdicts.length;) {
    const verdict = verdicts[i] as Verdict
    let end = i + 1
    while (end < verdicts.length && verdicts[end] === verdict && end - i < 255) end++
    runs.push(end - i, VERDICTS.indexOf(verdict))
    i = end
  }
  return Uint8Array.from(runs)
}

export function decodeVerdicts(bytes: Bytes): Verdict[] {
  const verdicts: Verdict[] = []
  for (let i = 0; i < bytes.length; i += 2) {
    const verdict = VERDICTS[bytes[i + 1] as number] as Verdict
    for (let left = bytes[i] as number; left > 0; left--) verdicts.push(verdict)
  }
  return verdicts
}

const ADMISSIONS: readonly Admission[] = ['apply', 'repeated', 'gap', 'closed', 'forked']
const DECISIONS: readonly Decision['kind'][] = [
  'foreign',
  'genesis',
  'opened',
  'closed',
  'batch',
  'barrier',
  'released',
]

/** A decision as the bytes that the decision chain folds. */
function decisionBytes(decision: Decision): Bytes {
  const kind = DECISIONS.indexOf(decision.kind)
  if (decision.kind !== 'batch') return Uint8Array.of(kind)
  const head = Uint8Array.of(kind, ADMISSIONS.indexOf(decision.admission), decision.commands.length)
  const results = decision.commands.map((result) => (result.ok ? 1 : 0))
  return Buffer.concat([head, Uint8Array.from(results), encodeVerdicts(decision.verdicts)])
}
