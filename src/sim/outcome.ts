/** What became of an operation, by what its caller was told. */
import { isHoldfastError, type HoldfastError } from '../core/errors.ts'

export type Outcome<T> =
  | { readonly kind: 'ok'; readonly value: T }
  /** It was said, with a code, that nothing was applied. */
  | { readonly kind: 'failed'; readonly error: HoldfastError }
  | { readonly kind: 'unknown'; readonly error: unknown }

/** Rejects with errors of the test itself, and with those that say that Holdfast is wrong. */
export async function settled<T>(work: Promise<T>): Promise<Outcome<T>> {
  try {
    return { kind: 'ok', value: await work }
  } catch (error) {
    // An invariant that does not hold excuses nothing.
    if (isHoldfastError(error) && error.kind !== 'bug') {
      return error.applied === 'no' ? { kind: 'failed', error } : { kind: 'unknown', error }
    }
    // Anything else is an error of the test itself.
    if (isLost(error)) return { kind: 'unknown', error }
    throw error
  }
}

/** What a lost connection, or the caller's own signal, looks like to `fetch`. */
function isLost(error: unknown): boolean {
  if (error instanceof TypeError) return error.message === 'fetch failed'
  return error instanceof DOMException && ['AbortError', 'TimeoutError'].includes(error.name)
}
