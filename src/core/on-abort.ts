/**
 * Who waits for a signal, by one listener however many they are: calls for many rows share a signal,
 * and an event target takes longer for each listener, and warns of a leak beyond ten.
 */
const waiting = new WeakMap<AbortSignal, Waiting>()

interface Waiting {
  readonly callbacks: Set<() => void>
  readonly fire: () => void
}

/** Calls `callback` once when the signal aborts, unless what is returned was called before. */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const known = waiting.get(signal) ?? listen(signal)
  const { callbacks, fire } = known
  callbacks.add(callback)
  return () => {
    if (!callbacks.delete(callback) || callbacks.size > 0) return
    signal.removeEventListener('abort', fire)
    if (waiting.get(signal) === known) waiting.delete(signal)
  }
}

function listen(signal: AbortSignal): Waiting {
  const callbacks = new Set<() => void>()
  const fire = (): void => {
    waiting.delete(signal)
    // Who leaves meanwhile is not called.
    for (const callback of callbacks) callback()
  }
  signal.addEventListener('abort', fire, { once: true })
  const made = { callbacks, fire }
  waiting.set(signal, made)
  return made
}
