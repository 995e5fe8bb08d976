/** Randomness as an app sees it: `Math.random`, `crypto`, `node:crypto`; hashing is passed on. */
// Its types alone.
// oxlint-disable-next-line eslint/no-restricted-imports
import type * as crypto from 'node:crypto'
import { types } from 'node:util'
import { host, realModule } from './host.ts'
import type { Realm } from './realm.ts'
import { standIn, type Refuse } from './stand-in.ts'

type NodeCrypto = typeof crypto

export function virtualMath(realm: Realm): typeof Math {
  const random = (): number => realm.random('Math.random').float()
  const own = Object.getOwnPropertyDescriptors(host.Math)
  return Object.defineProperties({}, { ...own, random: { value: random, writable: true } }) as Math
}

/** The global `crypto`: random values are drawn, digests computed at once. */
export function webCrypto(realm: Realm): Readonly<Record<string, unknown>> {
  const refuse: Refuse = (name) =>
    realm.refuse(`crypto.subtle.${name}`, 'it runs in a thread; use node:crypto, as createHmac')
  const { webcrypto } = realModule('crypto') as NodeCrypto
  const subtlePrototype = Object.getPrototypeOf(webcrypto.subtle) as object
  return {
    getRandomValues: <T extends NodeJS.TypedArray>(into: T) =>
      fill(realm, 'crypto.getRandomValues', into),
    randomUUID: () => randomUuid(realm),
    subtle: standIn(
      subtlePrototype,
      { digest: (...args: DigestArgs) => subtleDigest(...args) },
      refuse,
    ),
  }
}

type DigestArgs = [
  algorithm: string | { readonly name: string },
  data: ArrayBuffer | ArrayBufferView,
]

// Asynchronous as the real one, so that a bad algorithm rejects.
async function subtleDigest(...[algorithm, data]: DigestArgs): Promise<ArrayBuffer> {
  const { createHash } = realModule('crypto') as NodeCrypto
  const name = typeof algorithm === 'string' ? algorithm : algorithm.name
  const bytes = types.isAnyArrayBuffer(data) ? new Uint8Array(data) : viewed(data)
  const hash = createHash(name.replace(/^SHA-/i, 'sha')).update(bytes).digest()
  return Uint8Array.from(hash).buffer
}

/** `node:crypto`: what is a function of its arguments, randomness from draws, nothing in threads. */
export function nodeCrypto(realm: Realm): object {
  const real = realModule('crypto') as NodeCrypto
  const refuse: Refuse = (name) =>
    realm.refuse(
      `crypto.${name}`,
      'it draws real randomness or runs in a thread; use hashing, the synchronous functions, ' +
        'randomBytes, randomInt or randomUUID',
    )
  const given: Record<string, unknown> = {
    ...randomFunctions(realm),
    ...slowFunctions(realm, real),
  }
  for (const name of PURE) if (name in real) given[name] = real[name as keyof NodeCrypto]
  given['webcrypto'] = webCrypto(realm)
  given['subtle'] = (given['webcrypto'] as Record<string, unknown>)['subtle']
  return standIn(real, given, refuse)
}

const PURE = [
  ...[
    'createHash',
    'createHmac',
    'hash',
    'getHashes',
    'getCiphers',
    'timingSafeEqual',
    'constants',
  ],
  ...['Hash', 'Hmac', 'KeyObject', 'createSecretKey', 'createPublicKey', 'createPrivateKey'],
  ...['createCipheriv', 'createDecipheriv', 'createVerify', 'verify', 'getCipherInfo'],
  ...['pbkdf2Sync', 'scryptSync', 'hkdfSync'],
]

function randomFunctions(realm: Realm): Record<string, unknown> {
  const bytes = (size: number): Buffer =>
    Buffer.from(realm.random('crypto.randomBytes').bytes(size))
  const int = (from: number, to?: number): number => {
    const [low, high] = to === undefined ? [0, from] : [from, to]
    return realm.random('crypto.randomInt').int(low, high - 1)
  }
  const randomInt = (from: number, to?: number | Callback<number>, done?: Callback<number>) => {
    const value = int(from, typeof to === 'function' ? undefined : to)
    return answer(realm, value, typeof to === 'function' ? to : done)
  }
  const fillPart = <T extends NodeJS.ArrayBufferView>(into: T, offset = 0, size?: number): T => {
    const view = viewed(into)
    view.set(bytes(size ?? view.length - offset), offset)
    return into
  }
  return {
    randomBytes: (size: number, done?: Callback<Buffer>) => answer(realm, bytes(size), done),
    randomInt,
    randomUUID: () => randomUuid(realm),
    getRandomValues: <T extends NodeJS.TypedArray>(into: T) =>
      fill(realm, 'crypto.getRandomValues', into),
    randomFillSync: fillPart,
    randomFill: <T extends NodeJS.ArrayBufferView>(into: T, ...rest: unknown[]) => {
      const [offset, size] = rest.filter((part) => typeof part === 'number')
      answer(realm, fillPart(into, offset, size), rest.at(-1) as Callback<T>)
    },
  }
}

type Callback<T> = (error: unknown, value?: T) => void

/** Gives `value` at once, or later to `done` where there is one. */
function answer<T>(realm: Realm, value: T, done?: Callback<T>): T | undefined {
  if (done === undefined) return value
  realm.after('crypto', 0, () => done(null, value))
  return undefined
}

/** What Node computes in a thread, computed at once and answered later. */
function slowFunctions(realm: Realm, real: NodeCrypto): Record<string, unknown> {
  const later =
    (compute: (...args: never[]) => unknown) =>
    (...args: unknown[]) => {
      const done = args.pop() as Callback<unknown>
      const value = compute(...(args as never[]))
      answer(realm, value, done)
    }
  const { pbkdf2Sync, scryptSync, hkdfSync } = real
  return { pbkdf2: later(pbkdf2Sync), scrypt: later(scryptSync), hkdf: later(hkdfSync) }
}

function fill<T extends NodeJS.TypedArray>(realm: Realm, api: string, into: T): T {
  const view = viewed(into)
  view.set(realm.random(api).bytes(view.length))
  return into
}

function viewed(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

/** RFC 9562, version 4, from drawn bits. */
function randomUuid(realm: Realm): string {
  const bytes = realm.random('crypto.randomUUID').bytes(16)
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  const hex = Buffer.from(bytes).toString('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-')
}
