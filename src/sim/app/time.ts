/** Virtual time as an app sees it: `Date`, `Intl`, timers, `performance`, `AbortSignal.timeout`. */
import { promisify } from 'node:util'
import type { Cancel } from '../../core/env.ts'
import { host } from './host.ts'
import type { Realm } from './realm.ts'

type AnyFunction = (...args: unknown[]) => unknown

/** A `Date` whose now is virtual. Its instances are real ones, and `instanceof` holds both ways. */
export function virtualDate(realm: Realm): DateConstructor {
  const RealDate = host.Date
  function VirtualDate(...args: unknown[]): unknown {
    if (new.target === undefined) return new RealDate(realm.wallMs('Date')).toString()
    const given = args.length === 0 ? [realm.wallMs('new Date')] : args
    const made: unknown = new.target === VirtualDate ? RealDate : new.target
    return Reflect.construct(RealDate, given, made as DateConstructor)
  }
  Object.defineProperties(VirtualDate, {
    name: { value: 'Date' },
    length: { value: RealDate.length },
    prototype: { value: RealDate.prototype, writable: false },
    now: { value: () => realm.wallMs('Date.now'), writable: true, configurable: true },
    parse: { value: RealDate.parse, writable: true, configurable: true },
    UTC: { value: RealDate.UTC, writable: true, configurable: true },
  })
  return VirtualDate as unknown as DateConstructor
}

/** `Intl` whose formatters take the virtual now when they are given no date. */
export function virtualIntl(realm: Realm): typeof Intl {
  const now = (): number => realm.wallMs('Intl.DateTimeFormat')
  const Real = host.Intl.DateTimeFormat
  class DateTimeFormat extends Real {
    override formatToParts(date?: Date | number): Intl.DateTimeFormatPart[] {
      return super.formatToParts(date ?? now())
    }
  }
  Object.defineProperty(DateTimeFormat.prototype, 'format', {
    get(this: Intl.DateTimeFormat) {
      const format = Reflect.get(Real.prototype, 'format', this)
      return (date?: Date | number) => format(date ?? now())
    },
  })
  const callable = new Proxy(DateTimeFormat, {
    apply: (target, _this, args: ConstructorParameters<typeof DateTimeFormat>) =>
      new target(...args),
  })
  const own = Object.getOwnPropertyDescriptors(host.Intl)
  return Object.defineProperties({}, { ...own, DateTimeFormat: { value: callable } }) as typeof Intl
}

/** As Node has it: whole milliseconds from 1 on; what does not fit fires at once. */
function delayOf(given: unknown): number {
  const ms = Number(given)
  return ms >= 1 && ms <= DELAY_MAX_MS ? Math.trunc(ms) : 1
}

const DELAY_MAX_MS = 2 ** 31 - 1

/** What `setTimeout` and its like return. */
class Timer {
  readonly #start: (timer: Timer) => Cancel
  readonly #id: number
  readonly #timers: Map<number, Timer>
  #cancel: Cancel | undefined
  #isReferenced = true

  constructor(timers: Map<number, Timer>, id: number, start: (timer: Timer) => Cancel) {
    this.#timers = timers
    this.#id = id
    this.#start = start
    this.refresh()
  }

  refresh(): this {
    this.#cancel?.()
    this.#timers.set(this.#id, this)
    this.#cancel = this.#start(this)
    return this
  }

  close(): this {
    this.#cancel?.()
    this.#timers.delete(this.#id)
    return this
  }

  /** Fired, and not to fire again unless it is refreshed. */
  done(): void {
    this.#timers.delete(this.#id)
  }

  get isActive(): boolean {
    return this.#timers.get(this.#id) === this
  }

  // A simulated process ends when it is told to, so that these change nothing but what they tell.
  ref(): this {
    this.#isReferenced = true
    return this
  }

  unref(): this {
    this.#isReferenced = false
    return this
  }

  hasRef(): boolean {
    return this.#isReferenced
  }

  [Symbol.toPrimitive](): number {
    return this.#id
  }
}

export interface VirtualTimers {
  /** `setTimeout` and its like, as globals and as `node:timers`. */
  readonly globals: Readonly<Record<string, unknown>>
  /** `node:timers/promises`. */
  readonly promises: Readonly<Record<string, unknown>>
}

export function virtualTimers(realm: Realm): VirtualTimers {
  const timers = new Map<number, Timer>()
  let ids = 0
  const start = (
    api: string,
    ms: number,
    repeat: boolean,
    callback: AnyFunction,
    args: unknown[],
  ) => {
    if (typeof callback !== 'function') throw notAFunction(callback)
    const begin = (timer: Timer): Cancel =>
      realm.after(api, ms, () => {
        if (!repeat) timer.done()
        realm.guard(() => callback.apply(timer, args))
        if (repeat && timer.isActive) timer.refresh()
      })
    return new Timer(timers, ++ids, begin)
  }
  const clear = (timer: unknown): void => {
    const known = timer instanceof Timer ? timer : timers.get(Number(timer))
    known?.close()
  }
  const globals = {
    setTimeout: (callback: AnyFunction, ms?: unknown, ...args: unknown[]) =>
      start('setTimeout', delayOf(ms), false, callback, args),
    setInterval: (callback: AnyFunction, ms?: unknown, ...args: unknown[]) =>
      start('setInterval', delayOf(ms), true, callback, args),
    setImmediate: (callback: AnyFunction, ...args: unknown[]) =>
      start('setImmediate', 0, false, callback, args),
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
  }
  const promises = timerPromises(realm)
  Object.defineProperty(globals.setTimeout, promisify.custom, { value: promises['setTimeout'] })
  Object.defineProperty(globals.setImmediate, promisify.custom, { value: promises['setImmediate'] })
  return { globals, promises }
}

interface WaitOptions {
  readonly signal?: AbortSignal
}

function timerPromises(realm: Realm): Readonly<Record<string, unknown>> {
  const wait = <T>(api: string, ms: number, value: T, { signal }: WaitOptions = {}): Promise<T> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(aborted(signal))
      const abort = (): void => {
        cancel()
        reject(aborted(signal))
      }
      const cancel = realm.after(api, ms, () => {
        signal?.removeEventListener('abort', abort)
        resolve(value)
      })
      signal?.addEventListener('abort', abort, { once: true })
    })
  const after = <T>(ms?: unknown, value?: T, options?: WaitOptions) =>
    wait('timers/promises.setTimeout', delayOf(ms), value, options)
  const immediate = <T>(value?: T, options?: WaitOptions) =>
    wait('timers/promises.setImmediate', 0, value, options)
  async function* every<T>(ms?: unknown, value?: T, options?: WaitOptions) {
    for (;;) yield await wait('timers/promises.setInterval', delayOf(ms), value, options)
  }
  const scheduler = {
    wait: (ms: number, options?: WaitOptions) => after(ms, undefined, options),
    yield: () => immediate(),
  }
  return { setTimeout: after, setImmediate: immediate, setInterval: every, scheduler }
}

function aborted(signal: AbortSignal | undefined): Error {
  const error = new Error('The operation was aborted', { cause: signal?.reason })
  return Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' })
}

function notAFunction(value: unknown): TypeError {
  const error = new TypeError(
    `The "callback" argument must be of type function. Received ${typeof value}`,
  )
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' })
}

/** `performance.now` counts from the start of the incarnation; marks are kept by nobody. */
export function performanceParts(realm: Realm): Record<string, unknown> {
  const startedMs = realm.monotonicMs('performance')
  const timeOrigin = realm.wallMs('performance')
  const now = (): number => realm.monotonicMs('performance.now') - startedMs
  const entry = (entryType: string) => (name: string) => ({
    name,
    entryType,
    startTime: now(),
    duration: 0,
  })
  const nothing = (): void => undefined
  const none = (): unknown[] => []
  return {
    now,
    timeOrigin,
    mark: entry('mark'),
    measure: entry('measure'),
    clearMarks: nothing,
    clearMeasures: nothing,
    getEntries: none,
    getEntriesByName: none,
    getEntriesByType: none,
    toJSON: () => ({ timeOrigin }),
  }
}

/** `AbortSignal` whose timeout is virtual; the signals are real ones. */
export function virtualAbortSignal(realm: Realm): typeof AbortSignal {
  const Real = host.AbortSignal
  const timeout = (ms: number): AbortSignal => {
    const controller = new AbortController()
    realm.after('AbortSignal.timeout', ms, () =>
      controller.abort(
        new DOMException('The operation was aborted due to timeout', 'TimeoutError'),
      ),
    )
    return controller.signal
  }
  const own = Object.getOwnPropertyDescriptors(Real)
  const Virtual = function AbortSignal(): never {
    throw new TypeError('Illegal constructor')
  }
  return Object.defineProperties(Virtual, {
    ...own,
    timeout: { value: timeout, writable: true, configurable: true },
  }) as unknown as typeof AbortSignal
}
