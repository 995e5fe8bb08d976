/** An app that reaches for what a simulation has none of, a function for each. */
import { exec } from 'node:child_process'
import { generateKeyPairSync, randomBytes, scrypt } from 'node:crypto'
import { readFileSync, promises as files } from 'node:fs'
import { createServer } from 'node:http'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzip, gzipSync } from 'node:zlib'

export const calls: Record<string, () => unknown> = {
  'fs.readFileSync': () => readFileSync('/etc/hosts'),
  'fs.promises.readFile': () => files.readFile('/etc/hosts'),
  'http.createServer': () => createServer(),
  'child_process.exec': () => exec('true'),
  'crypto.generateKeyPairSync': () => generateKeyPairSync('ed25519'),
  'crypto.subtle.generateKey': () => crypto.subtle.generateKey('Ed25519', false, ['sign']),
  'zlib.gzip': () => gzip('x', () => undefined),
  SharedArrayBuffer: () => new SharedArrayBuffer(8),
  MessageChannel: () => new MessageChannel(),
  'Atomics.wait': () => Atomics.wait(new Int32Array(1), 0, 0),
  'process.kill': () => process.kill(1),
}

/** As validators and template engines make their functions. */
// oxlint-disable-next-line typescript/no-implied-eval
const compiled = new Function('a', 'return a + Date.now()') as (a: number) => number

export async function allowed(): Promise<unknown> {
  await sleep(5)
  const key = await promisify(scrypt)('secret', 'salt', 16)
  return {
    host: hostname(),
    pid: process.pid,
    cwd: process.cwd(),
    bytes: randomBytes(4).toString('hex'),
    key: (key as Buffer).toString('hex'),
    zipped: gzipSync('x').length > 0,
    digest: new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(0))).length,
    global: globalThis.Date.now() === Date.now(),
    made: compiled(1) === Date.now() + 1,
    weak: new WeakRef({ held: true }).deref()?.held,
    self: typeof Reflect.get(globalThis, 'self'),
    today: new Intl.DateTimeFormat('en', { timeZone: 'UTC', dateStyle: 'short' }).format(),
    year: new Date().getUTCFullYear(),
  }
}

export function ambient(): Record<string, () => unknown> {
  return {
    'Date.now': () => Date.now(),
    'new Date': () => new Date(),
    setTimeout: () => setTimeout(() => undefined, 1),
    'Math.random': () => Math.random(),
    'crypto.randomUUID': () => crypto.randomUUID(),
    'performance.now': () => performance.now(),
    queueMicrotask: () => queueMicrotask(() => undefined),
    'process.hrtime': () => process.hrtime(),
    console: () => console.log('still here'),
  }
}

export async function fetches(): Promise<unknown> {
  return fetch('http://node-1/')
}

export function throws(): void {
  throw new RangeError('thrown on purpose')
}

export function throwsLater(): void {
  setTimeout(() => {
    throw new RangeError('thrown later')
  }, 10)
}

export function exits(): void {
  setTimeout(() => process.exit(3), 10)
}
