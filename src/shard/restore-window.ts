/**
 * The window after a restart (S8). It is not stored: it is what the kept entries above its floor
 * wrote, by the decisions recorded with them. So a node that restarted decides as one that did not.
 */
import { copied } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { decodeEntry } from '../log/entry-codec.ts'
import { readEntry } from '../log/entry-store.ts'
import type { StoreReader } from '../store/store.ts'
import { decodeChangeRecord } from './change-record.ts'
import { enterCommand, type Command } from './command.ts'
import { changeKey } from './layout.ts'
import type { LogState } from './log-state.ts'
import { enter } from './resolver.ts'
import { Window } from './window.ts'

/** Throws `StoreCorrupt` when an entry that it needs is not there, `EntryCorrupt` for a damaged one. */
export function restoreWindow(store: StoreReader, state: LogState): Window {
  const window = new Window(state.windowFloor, state.windowSize)
  // The next entry of a log with one writer opens a session, and clears the window (state-machine.ts).
  if (state.alone) return window
  for (let position = state.windowFloor + 1; position <= state.position; position++) {
    const record = copied(store.get(changeKey(position)))
    if (record === undefined) continue
    const { admitted, verdicts } = decodeChangeRecord(position, record)
    if (!admitted) continue
    const frame = readEntry(store, position)
    const entry = frame === undefined ? undefined : decodeEntry(frame, state.identity)
    if (entry?.kind !== 'batch') {
      throw new HoldfastError(
        'StoreCorrupt',
        `entry ${position}, which later ones are judged by, is missing`,
      )
    }
    for (const [i, transaction] of entry.transactions.entries()) {
      if (verdicts[i] === 'committed') enter(transaction, window, position)
    }
    window.seal()
    for (const command of entry.commands) {
      enterCommand(command as unknown as Command, window, position)
    }
  }
  return window
}
