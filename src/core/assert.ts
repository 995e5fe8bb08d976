/**
 * Assertions for bugs of ours, never for bad input: bad input gets a coded error (errors.ts).
 * They stay on in production; a broken invariant must stop the node before it spreads.
 */
import { HoldfastError } from './errors.ts'

/** Throws `Bug` when `condition` is false. `message` may be a function, so that text is free. */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw bug(typeof message === 'string' ? message : message())
}

/** Returns `value`, or throws `Bug` when it is null or undefined. */
export function must<T>(value: T | null | undefined, message: string): T {
  if (value === null || value === undefined) throw bug(message)
  return value
}

/** For the default branch of an exhaustive switch. */
export function unreachable(value: never): never {
  throw bug(`unreachable: ${String(value)}`)
}

function bug(message: string): HoldfastError {
  return new HoldfastError('Bug', `an invariant of Holdfast does not hold: ${message}`)
}
