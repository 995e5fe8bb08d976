/** The globals of one incarnation: those that `names.ts` lists, and a global object of its own. */
import { host } from './host.ts'
import type { SHADOWED } from './names.ts'
import {
  virtualConsole,
  virtualProcess,
  type ProcessOptions,
  type VirtualProcess,
} from './process.ts'
import { virtualMath, webCrypto } from './randomness.ts'
import type { Realm } from './realm.ts'
import { refused, standIn } from './stand-in.ts'
import {
  performanceParts,
  virtualAbortSignal,
  virtualDate,
  virtualIntl,
  virtualTimers,
} from './time.ts'

type Shadowed = (typeof SHADOWED)[number]

export interface RealmGlobals {
  readonly globals: Record<string, unknown>
  readonly timerPromises: Readonly<Record<string, unknown>>
  readonly process: VirtualProcess
}

export function realmGlobals(
  realm: Realm,
  fetch: typeof globalThis.fetch,
  options: ProcessOptions,
): RealmGlobals {
  const timers = virtualTimers(realm)
  const process = virtualProcess(realm, options)
  const plain: Partial<Record<Shadowed, unknown>> = {
    ...timers.globals,
    Date: virtualDate(realm),
    Intl: virtualIntl(realm),
    Math: virtualMath(realm),
    queueMicrotask: (callback: () => void) => {
      realm.alive('queueMicrotask')
      queueMicrotask(() => realm.guard(callback))
    },
    performance: standIn(
      Object.getPrototypeOf(host.performance) as object,
      performanceParts(realm),
      (name) => realm.refuse(`performance.${name}`, 'use performance.now, mark or measure'),
    ),
    crypto: webCrypto(realm),
    fetch,
    AbortSignal: virtualAbortSignal(realm),
    process: process.process,
    console: virtualConsole(realm),
    WeakRef: HeldRef,
    FinalizationRegistry: IdleRegistry,
    ...refusedGlobals(realm),
  }
  const own = Object.create(host.global) as object
  const globals: Record<string, unknown> = { ...plain, globalThis: own, global: own }
  globals['Function'] = virtualFunction(globals)
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(own, name, { value, writable: true, configurable: true })
  }
  return { globals, timerPromises: timers.promises, process }
}

/** A `WeakRef` as if nothing were ever collected: when that happens depends on no seed. */
class HeldRef {
  readonly #target: object

  constructor(target: object) {
    this.#target = target
  }

  deref(): object {
    return this.#target
  }
}

/** A `FinalizationRegistry` of which nothing is ever collected. */
class IdleRegistry {
  register(): void {}

  unregister(): boolean {
    return false
  }
}

const CHANNELS = 'it delivers outside of virtual time; call the function, or use an EventEmitter'
const STREAMS = 'use fetch, which the simulated network carries'
const THREADS = 'there are no threads that could share or wait'

const REFUSED: Readonly<Record<string, string>> = {
  SharedArrayBuffer: THREADS,
  MessageChannel: CHANNELS,
  BroadcastChannel: CHANNELS,
  WebSocket: STREAMS,
  EventSource: STREAMS,
}

/** Those that this Node has: what it lacks an app must not find. */
function refusedGlobals(realm: Realm): Record<string, unknown> {
  const made: Record<string, unknown> = {}
  for (const [name, why] of Object.entries(REFUSED)) {
    const real: unknown = Reflect.get(host.global, name)
    if (typeof real === 'function') made[name] = refused(real, name, () => realm.refuse(name, why))
  }
  made['WebAssembly'] = without(host.WebAssembly, WASM_ASYNC, (name) =>
    realm.refuse(`WebAssembly.${name}`, 'it compiles in a thread; use new WebAssembly.Module'),
  )
  made['Atomics'] = without(host.Atomics, ['wait', 'waitAsync'], (name) =>
    realm.refuse(`Atomics.${name}`, THREADS),
  )
  const storage = ['localStorage', 'sessionStorage']
  for (const name of storage.filter((name) => name in host.global)) made[name] = undefined
  if ('navigator' in host.global) made['navigator'] = NAVIGATOR
  return made
}

const WASM_ASYNC = ['compile', 'instantiate', 'compileStreaming', 'instantiateStreaming']

const NAVIGATOR = Object.freeze({ hardwareConcurrency: 4, language: 'en-US', platform: 'linux' })

/** A copy of a namespace in which the functions of `names` are refused. */
function without(real: object, names: readonly string[], refuse: (name: string) => never): object {
  const own = Object.getOwnPropertyDescriptors(real)
  const changed = names
    .filter((name) => name in real)
    .map((name) => [name, { value: refused(real, name, refuse), writable: true }] as const)
  return Object.defineProperties({}, { ...own, ...Object.fromEntries(changed) })
}

/** `Function`, whose code finds the realm's globals too: template engines and validators use it. */
function virtualFunction(globals: Readonly<Record<string, unknown>>): unknown {
  const names = [...Object.keys(globals), 'Function']
  const make = (args: unknown[]): unknown => {
    const source = String(host.Function(...args.map(String))).replace(
      /^function anonymous/,
      'function',
    )
    const values = names.map((name) => globals[name])
    // As code of its own it would be sloppy, and its `this` the real global object.
    return Reflect.apply(
      host.Function(...names, `"use strict";return (${source}).bind(globalThis)`),
      undefined,
      values,
    )
  }
  return new Proxy(host.Function, {
    apply: (_target, _this, args: unknown[]) => make(args),
    construct: (_target, args: unknown[]) => make(args) as object,
  })
}
