/**
 * What the tripwires guard, and what stands in for it in users' code. A target without a virtual
 * version throws inside the simulation.
 */
/* oxlint-disable eslint/no-restricted-imports -- these very modules are patched here */
/* oxlint-disable eslint/no-restricted-globals -- and so are these globals */
import childProcess from 'node:child_process'
import cluster from 'node:cluster'
import nodeCrypto from 'node:crypto'
import dgram from 'node:dgram'
import dns from 'node:dns'
import fs from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import timers from 'node:timers'
import timersPromises from 'node:timers/promises'
import tls from 'node:tls'
import workerThreads from 'node:worker_threads'
import zlib from 'node:zlib'
import type { Ambient } from './ambient.ts'
import {
  clearVirtual,
  timeoutMs,
  virtualDeadline,
  virtualImmediate,
  virtualInterval,
  virtualTicks,
  virtualTimeout,
  virtualWait,
} from './virtual-timers.ts'

/** Gives the result; for a constructor, the arguments of the real one. */
type Virtual = (ambient: Ambient, args: unknown[], constructs: boolean) => unknown

export interface Target {
  /** As users know it. */
  readonly api: string
  readonly object: object
  readonly key: PropertyKey
  readonly virtual?: Virtual | undefined
  /** Asked of each call, in a step or not; true: it has been dealt with. */
  readonly always?: (args: unknown[]) => boolean
}

/** After a change of a module's exports: those who imported it by name see it too. */
export function syncModules(): void {
  syncBuiltinESMExports()
}

/** Node makes these at their first use, by the very functions that are guarded: sooner, then. */
export function settleLazyGlobals(): void {
  for (const lazy of LAZY) void lazy()
}

const LAZY = [() => process.stdout, () => process.stderr, () => globalThis.Response]

export function listTargets(): Target[] {
  return [
    ...clockTargets(),
    ...timerTargets(),
    ...randomTargets(),
    ...memoryTargets(),
    ...webTargets(),
    ...moduleTargets(),
  ]
}

function clockTargets(): Target[] {
  const nanoseconds = (ambient: Ambient): bigint =>
    BigInt(Math.floor(ambient.monotonicMs() * 1_000)) * 1_000n
  const hrtime: Virtual = (ambient, args) => {
    const now = nanoseconds(ambient)
    const since = args[0] as [number, number] | undefined
    const base = since === undefined ? 0n : BigInt(since[0]) * NANOSECONDS + BigInt(since[1])
    return [Number((now - base) / NANOSECONDS), Number((now - base) % NANOSECONDS)]
  }
  const date: Virtual = (ambient, _, constructs) =>
    constructs ? [ambient.wallMs()] : new Date(ambient.wallMs()).toString()
  return [
    { api: 'Date.now', object: Date, key: 'now', virtual: (ambient) => ambient.wallMs() },
    { api: 'Date', object: globalThis, key: 'Date', virtual: date },
    {
      api: 'performance.now',
      object: Object.getPrototypeOf(performance) as object,
      key: 'now',
      virtual: (ambient) => ambient.monotonicMs(),
    },
    { api: 'process.hrtime.bigint', object: process.hrtime, key: 'bigint', virtual: nanoseconds },
    { api: 'process.hrtime', object: process, key: 'hrtime', virtual: hrtime },
    {
      api: 'process.uptime',
      object: process,
      key: 'uptime',
      virtual: (ambient) => ambient.monotonicMs() / 1_000,
    },
    { api: 'Atomics.wait', object: Atomics, key: 'wait' },
  ]
}

const NANOSECONDS = 1_000_000_000n

function timerTargets(): Target[] {
  const both = (key: string, virtual: Virtual): Target[] => [
    { api: key, object: globalThis, key, virtual },
    { api: `timers.${key}`, object: timers, key, virtual },
  ]
  const clear = (key: string): Target[] => {
    const always = (args: unknown[]): boolean => clearVirtual(args[0])
    // In a step there are no real timers to clear.
    const virtual = (): undefined => undefined
    return both(key, virtual).map((target) => ({ ...target, always }))
  }
  const waits = (key: string, virtual: Virtual): Target => ({
    api: `timers/promises.${key}`,
    object: timersPromises,
    key,
    virtual,
  })
  const schedules = (key: string, virtual: Virtual): Target => ({
    api: `timers/promises.scheduler.${key}`,
    object: Object.getPrototypeOf(timersPromises.scheduler) as object,
    key,
    virtual,
  })
  const wait: Virtual = (ambient, [ms, value, options]) =>
    virtualWait(ambient, timeoutMs(ms), value, options)
  return [
    ...both('setTimeout', virtualTimeout),
    ...both('setInterval', virtualInterval),
    ...both('setImmediate', virtualImmediate),
    ...['clearTimeout', 'clearInterval', 'clearImmediate'].flatMap(clear),
    waits('setTimeout', wait),
    waits('setImmediate', (ambient, [value, options]) => virtualWait(ambient, 0, value, options)),
    waits('setInterval', virtualTicks),
    schedules('wait', (ambient, [ms, options]) => wait(ambient, [ms, undefined, options], false)),
    schedules('yield', (ambient) => virtualWait(ambient, 0, undefined, undefined)),
    {
      api: 'AbortSignal.timeout',
      object: AbortSignal,
      key: 'timeout',
      virtual: (ambient, [ms]) => virtualDeadline(ambient, Number(ms)),
    },
  ]
}

function randomTargets(): Target[] {
  const uuid: Virtual = (ambient) => uuidOf(ambient.random.bytes(16))
  const fill: Virtual = (ambient, [array]) => filled(ambient, array as ArrayBufferView)
  const bytes: Virtual = (ambient, [count, callback]) =>
    answer(ambient, Buffer.from(ambient.random.bytes(count as number)), callback)
  const int: Virtual = (ambient, args) => {
    const [least, end] = (typeof args[1] === 'number' ? args : [0, args[0]]) as [number, number]
    return answer(ambient, ambient.random.int(least, end - 1), callbackIn(args))
  }
  const fillPart: Virtual = (ambient, args) => {
    const [array, offset, size] = args as [ArrayBufferView, unknown, unknown]
    const from = typeof offset === 'number' ? offset : 0
    const count = typeof size === 'number' ? size : array.byteLength - from
    filled(ambient, new Uint8Array(array.buffer, array.byteOffset + from, count))
    return answer(ambient, array, callbackIn(args))
  }
  const ofModule = (key: string, virtual?: Virtual): Target => ({
    api: `crypto.${key}`,
    object: nodeCrypto,
    key,
    virtual,
  })
  const web = Object.getPrototypeOf(nodeCrypto.webcrypto) as object
  const math: Virtual = (ambient) => ambient.random.float()
  return [
    { api: 'Math.random', object: Math, key: 'random', virtual: math },
    { api: 'crypto.randomUUID', object: web, key: 'randomUUID', virtual: uuid },
    { api: 'crypto.getRandomValues', object: web, key: 'getRandomValues', virtual: fill },
    ofModule('randomUUID', uuid),
    ofModule('getRandomValues', fill),
    ofModule('randomBytes', bytes),
    ofModule('pseudoRandomBytes', bytes),
    ofModule('randomInt', int),
    ofModule('randomFillSync', fillPart),
    ofModule('randomFill', fillPart),
    ...THREADED_CRYPTO.map((key) => ofModule(key)),
    ...methodsOf('crypto.subtle', Object.getPrototypeOf(nodeCrypto.webcrypto.subtle) as object),
  ]
}

/** Random without a stand-in, or done on other threads. */
const THREADED_CRYPTO = [
  'checkPrime',
  'generateKey',
  'generateKeyPair',
  'generateKeyPairSync',
  'generateKeySync',
  'generatePrime',
  'generatePrimeSync',
  'hkdf',
  'pbkdf2',
  'scrypt',
]

/** When memory is reclaimed depends on the machine: in the simulation it never is. */
function memoryTargets(): Target[] {
  const held: unknown[] = []
  const strong: Virtual = (_, args) => {
    held.push(args[0])
    return args
  }
  const never: Virtual = () => [() => undefined]
  return [
    { api: 'WeakRef', object: globalThis, key: 'WeakRef', virtual: strong },
    {
      api: 'FinalizationRegistry',
      object: globalThis,
      key: 'FinalizationRegistry',
      virtual: never,
    },
  ]
}

function webTargets(): Target[] {
  const fetching: Virtual = (ambient, args) =>
    ambient.fetch?.(...(args as Parameters<typeof globalThis.fetch>))
  return [
    { api: 'fetch', object: globalThis, key: 'fetch', virtual: fetching },
    ...named('', globalThis, ['WebSocket', 'EventSource', 'MessageChannel', 'BroadcastChannel']),
    ...named('WebAssembly.', (globalThis as unknown as { WebAssembly: object }).WebAssembly, [
      'compile',
      'compileStreaming',
      'instantiate',
      'instantiateStreaming',
    ]),
  ]
}

function moduleTargets(): Target[] {
  return [
    ...methodsOf('fs', fs),
    ...methodsOf('fs.promises', fs.promises),
    ...methodsOf('net', net, (key) => !key.startsWith('isIP')),
    ...named('net.Socket.', net.Socket.prototype, ['connect']),
    ...named('net.Server.', net.Server.prototype, ['listen']),
    ...named('tls.', tls, ['connect', 'createServer']),
    ...named('dgram.', dgram, ['createSocket']),
    ...named('http.', http, ['request', 'get', 'createServer']),
    ...named('https.', https, ['request', 'get', 'createServer']),
    ...named('http2.', http2, ['connect', 'createServer', 'createSecureServer']),
    ...methodsOf('dns', dns),
    ...methodsOf('dns.promises', dns.promises),
    ...methodsOf('child_process', childProcess),
    ...named('cluster.', cluster, ['fork']),
    ...named('worker_threads.', workerThreads, ['Worker', 'MessageChannel', 'BroadcastChannel']),
    ...methodsOf('zlib', zlib, (key) => !key.endsWith('Sync') && key !== 'crc32'),
  ]
}

function named(prefix: string, object: object, keys: readonly string[]): Target[] {
  return keys.map((key) => ({ api: prefix + key, object, key }))
}

/** Every function of `object` that is no class. */
function methodsOf(
  api: string,
  object: object,
  guards: (key: string) => boolean = () => true,
): Target[] {
  const targets: Target[] = []
  for (const [key, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(object))) {
    const isMethod = typeof descriptor.value === 'function' && /^[a-z]/.test(key)
    if (isMethod && key !== 'constructor' && guards(key)) {
      targets.push({ api: `${api}.${key}`, object, key })
    }
  }
  return targets
}

function callbackIn(args: readonly unknown[]): unknown {
  return args.find((arg) => typeof arg === 'function')
}

/** To a callback later, as Node does; without one at once. */
function answer(ambient: Ambient, value: unknown, callback: unknown): unknown {
  if (typeof callback !== 'function') return value
  const answered = callback as (error: null, value: unknown) => void
  ambient.after(0, () => answered(null, value))
  return undefined
}

function filled(ambient: Ambient, array: ArrayBufferView): ArrayBufferView {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
  bytes.set(ambient.random.bytes(bytes.length))
  return array
}

/** A version 4 UUID (RFC 9562). */
function uuidOf(bytes: Uint8Array): string {
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  const digits = Buffer.from(bytes).toString('hex')
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
