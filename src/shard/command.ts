/**
 * Commands: changes of log-wide state, carried in a batch like transactions, so that they too take
 * effect exactly once (S3). Pure.
 */
import { assert } from '../core/assert.ts'
import { LIMITS } from '../core/limits.ts'
import type { Value } from '../core/value-codec.ts'
import type { Position } from '../log/log.ts'
import type { TableDefinition } from './definitions.ts'
import { tableNamed, type LogState } from './log-state.ts'
import { enterDefinition } from './resolver.ts'
import type { Window, WindowSize } from './window.ts'

export type Command =
  /** Creates a table (`expect` 0) or changes it, if its version still is `expect`. */
  | { readonly type: 'define'; readonly expect: number; readonly definition: TableDefinition }
  /** Drops the table with this id. */
  | { readonly type: 'drop'; readonly table: number }
  /** Raw entries and changes below this position may go (S8). */
  | { readonly type: 'trim'; readonly below: Position }
  | { readonly type: 'window'; readonly size: WindowSize }

export interface CommandResult {
  readonly ok: boolean
  /** Why it was refused: others came first. */
  readonly reason: '' | 'version' | 'name' | 'unknown' | 'limit'
  readonly command: Command
}

export function commandValue(command: Command): Value {
  return command as unknown as Value
}

export function runCommand(
  state: LogState,
  window: Window,
  position: Position,
  value: { readonly [field: string]: Value },
): CommandResult {
  const command = value as unknown as Command
  enterCommand(command, window, position)
  const reason = run(state, window, position, command)
  return { ok: reason === '', reason, command }
}

/** Enters what a command that was carried out, or refused, writes to the window. */
export function enterCommand(command: Command, window: Window, position: Position): void {
  if (command.type === 'define') enterDefinition(command.definition.id, window, position)
  if (command.type === 'drop') enterDefinition(command.table, window, position)
}

function run(
  state: LogState,
  window: Window,
  position: Position,
  command: Command,
): CommandResult['reason'] {
  switch (command.type) {
    case 'define':
      return define(state, command.expect, command.definition)
    case 'drop':
      if (!state.definitions.delete(command.table)) return 'unknown'
      state.definitionsVersion++
      return ''
    case 'trim':
      assert(command.below <= position, 'a trim lies below its own entry')
      state.trimmed = Math.max(state.trimmed, trimBound(state, window, command.below))
      return ''
    case 'window':
      state.windowSize = command.size
      window.resize(command.size)
      return ''
  }
}

/** A window that nodes share is made of kept entries again when one of them restarts (S8). */
function trimBound(state: LogState, window: Window, below: Position): Position {
  return state.alone ? below : Math.min(below, window.floor + 1)
}

function define(
  state: LogState,
  expect: number,
  definition: TableDefinition,
): CommandResult['reason'] {
  const current = state.definitions.get(definition.id)
  if ((current?.version ?? 0) !== expect) return 'version'
  const namesake = tableNamed(state, definition.name)
  if (namesake !== undefined && namesake.id !== definition.id) return 'name'
  if (current === undefined && state.definitions.size >= LIMITS.tables) return 'limit'
  state.definitions.set(definition.id, definition)
  state.definitionsVersion++
  return ''
}
