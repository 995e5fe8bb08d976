/**
 * `setTimeout` and its relatives under virtual time, for users' code in a simulated step. The
 * handles are objects as Node's are, and coerce to a number as those do.
 */
import type { Ambient } from './ambient.ts'

type Callback = (...args: unknown[]) => void

/** As Node has it: what is not a number from 1 to this waits 1 ms. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1

const byId = new Map<number, VirtualTimer>()
let lastId = 0

/** A handle of `setTimeout`, `setInterval` or `setImmediate`. */
class VirtualTimer {
  readonly #ambient: Ambient
  readonly #delayMs: number
  readonly #repeats: boolean
  readonly #callback: () => void
  readonly #id = ++lastId
  #cancel: (() => void) | undefined

  constructor(ambient: Ambient, delayMs: number, repeats: boolean, callback: () => void) {
    this.#ambient = ambient
    this.#delayMs = delayMs
    this.#repeats = repeats
    this.#callback = callback
    this.refresh()
  }

  refresh(): this {
    this.#cancel?.()
    this.#cancel = this.#ambient.after(this.#delayMs, () => {
      this.#cancel = undefined
      if (this.#repeats) this.refresh()
      else byId.delete(this.#id)
      this.#callback()
    })
    return this
  }

  close(): this {
    this.#cancel?.()
    this.#cancel = undefined
    byId.delete(this.#id)
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  hasRef(): boolean {
    return true
  }

  [Symbol.toPrimitive](): number {
    byId.set(this.#id, this)
    return this.#id
  }

  [(Symbol as { dispose?: symbol }).dispose ?? Symbol.for('nodejs.dispose')](): void {
    this.close()
  }
}

export function virtualTimeout(ambient: Ambient, args: readonly unknown[]): unknown {
  return timer(ambient, args, false)
}

export function virtualInterval(ambient: Ambient, args: readonly unknown[]): unknown {
  return timer(ambient, args, true)
}

export function virtualImmediate(ambient: Ambient, args: readonly unknown[]): unknown {
  const [callback, ...rest] = args as [Callback, ...unknown[]]
  mustBeFunction(callback)
  return new VirtualTimer(ambient, 0, false, () => callback(...rest))
}

/** Clears `handle` and says whether it was a virtual one. */
export function clearVirtual(handle: unknown): boolean {
  const known =
    typeof handle === 'number' || typeof handle === 'string' ? byId.get(Number(handle)) : handle
  if (!(known instanceof VirtualTimer)) return false
  known.close()
  return true
}

/** `setTimeout` of `node:timers/promises`; with a delay of 0 and no options `setImmediate` of it. */
export function virtualWait(
  ambient: Ambient,
  delayMs: number,
  value: unknown,
  options: unknown,
): Promise<unknown> {
  const { signal } = (options ?? {}) as { signal?: AbortSignal }
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      cancel()
      reject(abortError(signal))
    }
    const cancel = ambient.after(delayMs, () => {
      signal?.removeEventListener('abort', aborted)
      resolve(value)
    })
    if (signal?.aborted === true) aborted()
    else signal?.addEventListener('abort', aborted, { once: true })
  })
}

/** `setInterval` of `node:timers/promises`. */
export async function* virtualTicks(
  ambient: Ambient,
  args: readonly unknown[],
): AsyncGenerator<unknown, void, undefined> {
  const delayMs = timeoutMs(args[0])
  for (;;) yield await virtualWait(ambient, delayMs, args[1], args[2])
}

/** `AbortSignal.timeout`. */
export function virtualDeadline(ambient: Ambient, delayMs: number): AbortSignal {
  const controller = new AbortController()
  const message = 'The operation was aborted due to timeout'
  ambient.after(delayMs, () => controller.abort(new DOMException(message, 'TimeoutError')))
  return controller.signal
}

export function timeoutMs(delay: unknown): number {
  const delayMs = Number(delay)
  return delayMs >= 1 && delayMs <= TIMEOUT_MAX_MS ? Math.trunc(delayMs) : 1
}

function timer(ambient: Ambient, args: readonly unknown[], repeats: boolean): VirtualTimer {
  const [callback, delay, ...rest] = args as [Callback, unknown, ...unknown[]]
  mustBeFunction(callback)
  return new VirtualTimer(ambient, timeoutMs(delay), repeats, () => callback(...rest))
}

function mustBeFunction(callback: unknown): void {
  if (typeof callback !== 'function') throw new TypeError('The callback of a timer is a function')
}

function abortError(signal: AbortSignal | undefined): Error {
  const error = new Error('The operation was aborted', { cause: signal?.reason })
  return Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' })
}
