import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Bytes } from '../core/bytes.ts'
import { digest64 } from '../core/hash.ts'
import { prefixOf, type Op, type Read, type Transaction } from '../log/entry.ts'
import {
  ResolverModel,
  type ModelRead,
  type ModelTransaction,
  type ModelWrite,
} from '../../test/model/resolver-model.ts'
import { enter, judge, type Verdict } from './resolver.ts'
import { Window, type WindowSize } from './window.ts'

function digestOf(table: number, key: Bytes): { hi: number; lo: number } {
  const out = { hi: 0, lo: 0 }
  digest64(key, 0, key.length, table, out)
  return out
}

function opOf({ table, key, adds, readAt }: ModelWrite): Op {
  return {
    kind: 'put',
    table,
    version: 1,
    shard: 0,
    ...digestOf(table, key),
    prefix: prefixOf(key),
    adds: adds.map(({ index, value }) => ({ index, prefix: prefixOf(value) })),
    readAt,
    key,
    body: key,
  }
}

function readOf(read: ModelRead): Read {
  switch (read.kind) {
    case 'point':
      return { kind: 'point', ...digestOf(read.table, read.key), at: read.at }
    case 'range':
      return { ...read, low: prefixOf(read.low), high: prefixOf(read.high), at: [read.at] }
    case 'table':
      return read
  }
}

const transactionOf = ({ reads, writes }: ModelTransaction): Transaction => ({
  reads: reads.map(readOf),
  guard: undefined,
  ops: writes.map(opOf),
})

/** Keys that prefixes tell apart, and long ones that share theirs. */
const shortKey = fc.uint8Array({ minLength: 1, maxLength: 3, min: 1, max: 4 })
const longKey = fc
  .tuple(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 4, max: 3 }))
  .map(([head, tail]) => Uint8Array.from([...new Uint8Array(12).fill(head), ...tail]))

function historyOf(key: fc.Arbitrary<Bytes>): fc.Arbitrary<ModelTransaction[][]> {
  const table = fc.constantFrom(1, 2)
  const back = fc.nat({ max: 6 })
  const read: fc.Arbitrary<ModelRead> = fc.oneof(
    fc.record({ kind: fc.constant('point' as const), table, key, at: back }),
    fc
      .record({ table, index: fc.constantFrom(0, 1, 2), a: key, b: key, at: back })
      .map(({ a, b, ...rest }) => {
        const [low, high] = Buffer.compare(a, b) <= 0 ? [a, b] : [b, a]
        return { kind: 'range' as const, low, high, ...rest }
      }),
    fc.record({ kind: fc.constant('table' as const), table, at: back }),
  )
  const write: fc.Arbitrary<ModelWrite> = fc.record({
    table,
    key,
    adds: fc.array(fc.record({ index: fc.constantFrom(1, 2), value: key }), { maxLength: 2 }),
    readAt: fc.oneof(fc.constant(-1), back),
  })
  const transaction = fc.record({
    reads: fc.array(read, { maxLength: 3 }),
    writes: fc.array(write, { maxLength: 3 }),
  })
  return fc.array(fc.array(transaction, { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 25,
  })
}

/** Positions are generated as distances back from the entry. */
function placed(transaction: ModelTransaction, position: number): ModelTransaction {
  const at = (back: number): number => Math.max(0, position - 1 - back)
  return {
    reads: transaction.reads.map((read) => ({ ...read, at: at(read.at) })),
    writes: transaction.writes.map((write) => ({
      ...write,
      readAt: write.readAt < 0 ? -1 : at(write.readAt),
    })),
  }
}

interface Judged {
  readonly verdict: Verdict
  readonly model: boolean
}

/** Both decide the same history; the model keeps only what the real one committed. */
function run(history: readonly ModelTransaction[][], size?: WindowSize): Judged[] {
  const window = new Window(0, size)
  const model = new ResolverModel()
  const judged: Judged[] = []
  for (const [i, entry] of history.entries()) {
    const position = i + 1
    for (const one of entry) {
      const real = placed(one, position)
      const transaction = transactionOf(real)
      const verdict = judge(transaction, window)
      if (verdict === 'committed') {
        judged.push({ verdict, model: model.decide(position, real) })
        enter(transaction, window, position)
      } else {
        // What did not commit leaves nothing in the model either.
        judged.push({ verdict, model: false })
      }
    }
    window.seal()
  }
  return judged
}

describe('the resolver beside its model', () => {
  it('decides alike where prefixes tell keys apart', () => {
    fc.assert(
      fc.property(historyOf(shortKey), (history) => {
        const window = new Window(0)
        const model = new ResolverModel()
        for (const [i, entry] of history.entries()) {
          for (const one of entry) {
            const real = placed(one, i + 1)
            const transaction = transactionOf(real)
            const verdict = judge(transaction, window)
            const commits = model.decide(i + 1, real)
            expect(verdict).toBe(commits ? 'committed' : 'conflict')
            if (commits) enter(transaction, window, i + 1)
          }
          window.seal()
        }
      }),
      { numRuns: 500 },
    )
  })

  it('commits nothing that the model does not, where prefixes coincide', () => {
    fc.assert(
      fc.property(historyOf(fc.oneof(longKey, shortKey)), (history) => {
        for (const { verdict, model } of run(history)) {
          if (verdict === 'committed') expect(model).toBe(true)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('commits nothing more when its window is small: what it forgot is stale', () => {
    fc.assert(
      fc.property(
        historyOf(fc.oneof(longKey, shortKey)),
        fc.record({
          entries: fc.integer({ min: 1, max: 4 }),
          writes: fc.integer({ min: 1, max: 9 }),
        }),
        (history, size) => {
          for (const { verdict, model } of run(history, size)) {
            if (verdict === 'committed') expect(model).toBe(true)
            else expect(['conflict', 'stale']).toContain(verdict)
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it('aborts nothing because of keys it has forgotten', () => {
    // A window that never evicts and one that does agree on whatever the small one can judge.
    fc.assert(
      fc.property(historyOf(shortKey), (history) => {
        const small = new Window(0, { entries: 3, writes: 1_000 })
        const large = new Window(0)
        for (const [i, entry] of history.entries()) {
          for (const one of entry) {
            const transaction = transactionOf(placed(one, i + 1))
            const judged = judge(transaction, small)
            const whole = judge(transaction, large)
            if (judged !== 'stale') expect(judged).toBe(whole)
            if (judged === 'committed') {
              enter(transaction, small, i + 1)
              enter(transaction, large, i + 1)
            }
          }
          small.seal()
          large.seal()
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('verdicts', () => {
  const key = Uint8Array.of(1)
  const write = (readAt: number): Transaction =>
    transactionOf({ reads: [], writes: [{ table: 1, key, adds: [], readAt }] })

  it('are stale for what was read before the window', () => {
    const window = new Window(5)
    expect(judge(write(4), window)).toBe('stale')
    expect(judge(write(5), window)).toBe('committed')
    expect(judge(write(-1), window)).toBe('committed')
  })

  it('see an earlier transaction of the same entry', () => {
    const window = new Window(0)
    expect(judge(write(6), window)).toBe('committed')
    enter(write(6), window, 7)
    expect(judge(write(6), window)).toBe('conflict')
    expect(judge(write(-1), window)).toBe('committed')
  })

  it('take the lowest of several positions of a range', () => {
    const window = new Window(0)
    enter(write(-1), window, 5)
    window.seal()
    const range = (at: readonly number[]): Transaction => ({
      reads: [{ kind: 'range', table: 1, index: 0, low: key, high: key, at }],
      guard: undefined,
      ops: [],
    })
    expect(judge(range([5, 9]), window)).toBe('committed')
    expect(judge(range([9, 4]), window)).toBe('conflict')
  })
})

describe('the window', () => {
  it('keeps what it must through growth and eviction, beside a plain map', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.nat({ max: 3_000 }), { maxLength: 40 }), { maxLength: 200 }),
        fc.integer({ min: 1, max: 300 }),
        (entries, kept) => {
          const window = new Window(0, { entries: kept, writes: 1_000_000 })
          const last = new Map<number, number>()
          for (const [i, numbers] of entries.entries()) {
            for (const number of numbers) {
              const name = Uint8Array.of(number >>> 8, number & 0xff)
              const { hi, lo } = digestOf(1, name)
              window.recordKey(i + 1, hi, lo)
              window.record(i + 1, 1, 0, prefixOf(name))
              last.set(number, i + 1)
            }
            window.seal()
          }
          for (const [number, position] of last) {
            const name = Uint8Array.of(number >>> 8, number & 0xff)
            const { hi, lo } = digestOf(1, name)
            const known = window.lastWrite(hi, lo)
            if (position > window.floor) expect(known).toBe(position)
            else expect([0, position]).toContain(known)
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('shrinks at once when it is told to', () => {
    const window = new Window(0, { entries: 100, writes: 1_000 })
    for (let position = 1; position <= 10; position++) {
      window.record(position, 1, 0, Uint8Array.of(position))
      window.recordKey(position, position, position)
      window.seal()
    }
    expect(window.floor).toBe(0)
    window.resize({ entries: 100, writes: 3 })
    expect(window.writes).toBe(3)
    expect(window.floor).toBe(7)
  })
})
