/** Arguments that nothing but TypeScript has checked: what is of another type is refused by name. */
import { HoldfastError } from '../core/errors.ts'
import type { CallOptions } from './handles.ts'

/** Throws `InvalidArgument` unless `value` can be called. */
export function checkFunction(what: string, value: unknown): void {
  if (typeof value !== 'function') throw refused(`${what} takes a function`)
}

/** Throws `InvalidArgument` unless `value` can be iterated, and is no text. */
export function checkList(what: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || !(Symbol.iterator in value)) {
    throw refused(`${what} takes a list`)
  }
}

/** Throws `InvalidArgument` for a signal that is none, or a deadline that is no number. */
export function checkCall(options: CallOptions): void {
  const { signal, deadlineMs } = given(options)
  // Not `instanceof`: a simulated app, or another realm, has a class of its own.
  if (signal !== undefined && !isSignal(signal)) {
    throw refused('signal is an AbortSignal')
  }
  // A negative one has passed already, as what is left of a longer time may have.
  if (deadlineMs !== undefined && (typeof deadlineMs !== 'number' || Number.isNaN(deadlineMs))) {
    throw refused('deadlineMs is a number of milliseconds')
  }
}

function isSignal(value: unknown): boolean {
  const { addEventListener } = (value ?? {}) as Partial<AbortSignal>
  return typeof addEventListener === 'function'
}

function given(options: unknown): { readonly signal?: unknown; readonly deadlineMs?: unknown } {
  if (typeof options !== 'object' || options === null) throw refused('options are an object')
  return options
}

function refused(message: string): HoldfastError {
  return new HoldfastError('InvalidArgument', message)
}
