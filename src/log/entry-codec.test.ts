import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EMPTY, type Bytes } from '../core/bytes.ts'
import { DIGEST_BYTES } from '../core/hash.ts'
import { LIMITS, PREFIX_BYTES } from '../core/limits.ts'
import {
  decodeEntry,
  encodeBatch,
  encodeControl,
  frameIdentity,
  type BatchDraft,
} from './entry-codec.ts'
import {
  OP_KINDS,
  opBytes,
  prefixOf,
  readBytes,
  type Op,
  type Read,
  type Transaction,
} from './entry.ts'

const IDENTITY = new Uint8Array(16).fill(7)
const u32 = fc.nat({ max: 0xffffffff })
const bytesOf = (max: number): fc.Arbitrary<Bytes> => fc.uint8Array({ maxLength: max })
const exactly = (size: number): fc.Arbitrary<Bytes> =>
  fc.uint8Array({ minLength: size, maxLength: size })
const position = fc.oneof(fc.nat({ max: 1000 }), fc.nat({ max: 2 ** 40 }))
const prefix = fc.oneof(exactly(PREFIX_BYTES), bytesOf(PREFIX_BYTES))

const op: fc.Arbitrary<Op> = fc.record({
  kind: fc.constantFrom(...OP_KINDS),
  table: u32,
  version: fc.nat({ max: 1000 }),
  shard: fc.nat({ max: 255 }),
  hi: u32,
  lo: u32,
  prefix,
  adds: fc.array(fc.record({ index: fc.nat({ max: 60_000 }), prefix }), { maxLength: 3 }),
  readAt: fc.oneof(fc.constant<-1>(-1), position),
  key: bytesOf(40),
  body: bytesOf(200),
})
const read: fc.Arbitrary<Read> = fc.oneof(
  fc.record({ kind: fc.constant('point' as const), hi: u32, lo: u32, at: position }),
  fc.record({
    kind: fc.constant('range' as const),
    table: u32,
    index: fc.nat({ max: 60_000 }),
    low: prefix,
    high: prefix,
    at: fc.array(position, { minLength: 1, maxLength: 16 }),
  }),
  fc.record({ kind: fc.constant('table' as const), table: u32, at: position }),
)
const transaction: fc.Arbitrary<Transaction> = fc.record({
  reads: fc.array(read, { maxLength: 5 }),
  guard: fc.option(fc.record({ resource: fc.string(), epoch: fc.nat() }), { nil: undefined }),
  ops: fc.array(op, { maxLength: 6 }),
})
const draft: fc.Arbitrary<BatchDraft> = fc.record({
  session: position,
  number: fc.nat(),
  settledBelow: fc.nat(),
  carried: fc.record({
    position,
    entryChain: exactly(DIGEST_BYTES),
    decisionChain: exactly(DIGEST_BYTES),
  }),
  nonce: exactly(DIGEST_BYTES),
  timeMs: fc.nat({ max: 2 ** 45 }),
  commands: fc.array(fc.record({ type: fc.string(), below: fc.nat() }), { maxLength: 2 }),
  transactions: fc.array(transaction, { maxLength: 8 }),
})

/** A frame as another process has it: none that was made here. */
const received = (frame: Bytes): Bytes => Uint8Array.from(frame)

function padded(bytes: Bytes): Bytes {
  const out = new Uint8Array(PREFIX_BYTES)
  out.set(bytes)
  return out
}

/** What a reader gets: short prefixes stand for themselves padded, commands are plain values. */
function asRead({ nonce: _, ...made }: BatchDraft, digest: Bytes): unknown {
  return {
    ...made,
    kind: 'batch',
    digest,
    transactions: made.transactions.map(({ reads, guard, ops }) => ({
      guard,
      reads: reads.map((one) =>
        one.kind === 'range' ? { ...one, low: padded(one.low), high: padded(one.high) } : one,
      ),
      ops: ops.map((one) => ({
        ...one,
        prefix: padded(one.prefix),
        adds: one.adds.map((add) => ({ ...add, prefix: padded(add.prefix) })),
        keyLength: one.key.length,
        bodyLength: one.body.length,
      })),
    })),
  }
}

/** Views into a frame and buffers compare as plain arrays. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Uint8Array.from(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, part]) => part !== undefined)
      .map(([field, part]) => [field, plain(part)]),
  )
}

describe('a batch', () => {
  it('is read as it was written, by whoever receives it', () => {
    fc.assert(
      fc.property(draft, (made) => {
        const { frame, digest } = encodeBatch(IDENTITY, made)
        expect(plain(decodeEntry(received(frame), IDENTITY))).toEqual(plain(asRead(made, digest)))
        expect(plain(frameIdentity(frame))).toEqual(IDENTITY)
      }),
      { numRuns: 300 },
    )
  })

  it('is what it was made of, for the process that made it', () => {
    fc.assert(
      fc.property(draft, (made) => {
        const { frame, digest } = encodeBatch(IDENTITY, made)
        const { nonce: _, ...rest } = made
        expect(plain(decodeEntry(frame, IDENTITY))).toEqual(
          plain({ ...rest, kind: 'batch', digest }),
        )
      }),
      { numRuns: 50 },
    )
  })

  it('takes no more bytes than its parts are said to take', () => {
    fc.assert(
      fc.property(draft, (made) => {
        const empty = encodeBatch(IDENTITY, { ...made, transactions: [] }).frame.length
        const { frame } = encodeBatch(IDENTITY, made)
        let said = 0
        for (const { reads, ops, guard } of made.transactions) {
          said += 8 + (guard === undefined ? 0 : 16 + 4 * guard.resource.length)
          for (const one of reads) said += readBytes(one)
          for (const one of ops) said += opBytes(one)
        }
        expect(frame.length - empty).toBeLessThanOrEqual(said + 8)
      }),
      { numRuns: 300 },
    )
  })

  it('has a digest over its ops and nonce, and over nothing that changes between sends', () => {
    const made = fc.sample(draft, { numRuns: 1, seed: 5 })[0] as BatchDraft
    const { digest } = encodeBatch(IDENTITY, made)
    const resent = encodeBatch(IDENTITY, {
      ...made,
      settledBelow: made.settledBelow + 1,
    })
    expect(resent.digest).toEqual(digest)
    const other = encodeBatch(IDENTITY, { ...made, nonce: new Uint8Array(16).fill(1) })
    expect(other.digest).not.toEqual(digest)
  })

  it('is refused after any flip of any byte', () => {
    const made = fc.sample(draft, { numRuns: 1, seed: 11 })[0] as BatchDraft
    const { frame } = encodeBatch(IDENTITY, made)
    for (let at = 0; at < frame.length; at++) {
      for (const bit of [1, 0x80, 0xff]) {
        const damaged = received(frame)
        damaged[at] = (damaged[at] as number) ^ bit
        // Magic and identity say whose it is: damaged there, it is nobody's, and a counted no-op.
        if (at < 20) expect(decodeEntry(damaged, IDENTITY)).toBeUndefined()
        else expect(() => decodeEntry(damaged, IDENTITY)).toThrow(/checksum|format/)
      }
    }
  })

  it('is refused when it is cut short or has more bytes', () => {
    const made = fc.sample(draft, { numRuns: 1, seed: 3 })[0] as BatchDraft
    const { frame } = encodeBatch(IDENTITY, made)
    for (let length = 0; length < frame.length; length++) {
      const cut = received(frame.subarray(0, length))
      if (length < 26) expect(decodeEntry(cut, IDENTITY)).toBeUndefined()
      else expect(() => decodeEntry(cut, IDENTITY)).toThrow(/checksum/)
    }
    expect(() => decodeEntry(Buffer.concat([frame, Uint8Array.of(0)]), IDENTITY)).toThrow(
      /checksum/,
    )
  })
})

describe('frames that are not ours', () => {
  it('are no entries: of another log, of another system, of noise', () => {
    const { frame } = encodeBatch(IDENTITY, fc.sample(draft, 1)[0] as BatchDraft)
    const other = new Uint8Array(16).fill(8)
    expect(decodeEntry(received(frame), other)).toBeUndefined()
    expect(decodeEntry(frame, other)).toBeUndefined()
    expect(decodeEntry(EMPTY, IDENTITY)).toBeUndefined()
    fc.assert(
      fc.property(bytesOf(200), (noise) => {
        expect(decodeEntry(noise, IDENTITY)).toBeUndefined()
      }),
    )
  })

  it('are accepted by the genesis alone, which names the identity', () => {
    const genesis = encodeControl(IDENTITY, { kind: 'genesis', value: { shards: 3, timeMs: 9 } })
    expect(decodeEntry(genesis, undefined)).toEqual({
      kind: 'genesis',
      value: { shards: 3, timeMs: 9 },
    })
  })
})

describe('control entries', () => {
  it('are read as they were written', () => {
    const open = encodeControl(IDENTITY, { kind: 'open', value: { nonce: IDENTITY, node: 'n' } })
    expect(plain(decodeEntry(open, IDENTITY))).toEqual({
      kind: 'open',
      value: { nonce: IDENTITY, node: 'n' },
    })
    const close = encodeControl(IDENTITY, { kind: 'close', session: 2 ** 40 })
    expect(decodeEntry(close, IDENTITY)).toEqual({ kind: 'close', session: 2 ** 40 })
    const barrier = encodeControl(IDENTITY, { kind: 'barrier', nonce: IDENTITY })
    expect(plain(decodeEntry(barrier, IDENTITY))).toEqual({ kind: 'barrier', nonce: IDENTITY })
  })
})

describe('prefixes', () => {
  it('keep the order of what they are of', () => {
    fc.assert(
      fc.property(bytesOf(20), bytesOf(20), (a, b) => {
        const order = Math.sign(Buffer.compare(a, b))
        const prefixes = Buffer.compare(padded(prefixOf(a)), padded(prefixOf(b)))
        expect([0, order]).toContain(Math.sign(prefixes))
      }),
    )
  })

  it('leave room: a transaction at its limit fits an entry', () => {
    expect(LIMITS.transactionBytes).toBeLessThan(LIMITS.entryBytes)
  })
})
