/** What every Store owes its callers (store.ts), as tests. */
import fc from 'fast-check'
import { afterEach, describe, expect, it as vitestIt } from 'vitest'
import { compareBytes, copyBytes, hex, type Bytes } from '../core/bytes.ts'
import { isHoldfastError } from '../core/errors.ts'
import { turn, type Env } from '../core/env.ts'
import { LIMITS } from '../core/limits.ts'
import { systemEnv } from '../core/system-env.ts'
import { StoreBatch, type Store, type StoreReader, type StoreSnapshot } from './store.ts'
import {
  batchOf,
  bytesOf,
  collect,
  countOf,
  filled,
  get,
  keysOf,
  linesOf,
  rangeOf,
  show,
  textOf,
} from './store-samples.contract.ts'

export interface OpenedStore {
  readonly store: Store
  /** Opens the same data again, where the store outlives its closing. Called after `close`. */
  readonly reopen?: () => Promise<Store>
}

export type OpenStore = () => Promise<OpenedStore>

/** Where the stores live: the real world, or one whose time has to be let pass. */
export interface StoreWorld {
  readonly env: Env
  /** Lets time pass until `done` settles. */
  readonly run: <T>(done: Promise<T>) => Promise<T>
}

const REAL: StoreWorld = { env: systemEnv, run: (done) => done }

interface Suite {
  readonly world: StoreWorld
  /** A test whose time passes. */
  readonly it: (name: string, test: () => Promise<void>) => void
  /** Opens a store that is closed after the test. */
  readonly use: () => Promise<Store>
}

export function storeContract(name: string, open: OpenStore, world: StoreWorld = REAL): void {
  const opened: Store[] = []
  const suite: Suite = {
    world,
    // oxlint-disable-next-line vitest/valid-title, vitest/expect-expect -- the suite gives both
    it: (promise, test) => vitestIt(promise, () => world.run(test())),
    use: async () => {
      const { store } = await open()
      opened.push(store)
      return store
    },
  }
  afterEach(async () => {
    for (const store of opened.splice(0)) await world.run(store.close())
  })
  describe(`${name}: reads and writes`, () => readsAndWrites(suite))
  describe(`${name}: ranges`, () => ranges(suite))
  describe(`${name}: borrowed bytes`, () => borrowedBytes(suite))
  describe(`${name}: batches`, () => batches(suite))
  describe(`${name}: snapshots`, () => snapshots(suite))
  describe(`${name}: against a plain map`, () => differential(suite))
  describe(`${name}: closing`, () => closing(suite, open))
}

function readsAndWrites({ world, it, use }: Suite): void {
  it('gives back what was put, of every size', async () => {
    const store = await use()
    const sizes = [0, 1, 2_000, 4_096, 16_384, 32_768, 300_000]
    const pairs = sizes.map((size): [Bytes, Bytes] => [bytesOf(`v${size}`), filled(size, size)])
    await store.write(batchOf(pairs))
    for (const [key, value] of pairs) expect(get(store, key)).toBe(show(value))
    expect(collect(store)).toEqual(linesOf(pairs.toSorted(([a], [b]) => compareBytes(a, b))))
    expect(store.get(bytesOf('none'))).toBeUndefined()
    expect(store.get(bytesOf('v'))).toBeUndefined()
  })

  it('takes keys of 1 byte and of the limit, and refuses others before anything is written', async () => {
    const store = await use()
    const longest = new Uint8Array(LIMITS.storeKeyBytes).fill(0xff)
    const long = filled(LIMITS.storeKeyBytes, 3)
    const keys = [...Array.from({ length: 255 }, (_, i) => Uint8Array.of(i + 1)), longest, long]
    await store.write(batchOf(keys.map((key) => [key, key])))
    for (const key of keys) expect(get(store, key)).toBe(show(key))
    expect(keysOf(store)).toEqual(keys.toSorted(compareBytes).map(hex))
    expect(keysOf(store, { reverse: true })).toEqual(
      keys.toSorted(compareBytes).map(hex).toReversed(),
    )
    const batch = new StoreBatch()
    const refused = [new Uint8Array(0), filled(LIMITS.storeKeyBytes + 1, 1), Uint8Array.of(0, 1)]
    for (const key of refused) {
      expect(() => batch.put(key, key)).toThrow(/store key/)
      expect(() => batch.remove(key)).toThrow(/store key/)
    }
    expect(batch.size).toBe(0)
  })

  it('overwrites with longer and shorter values, and removes', async () => {
    const store = await use()
    const key = bytesOf('k')
    for (const size of [10, 5_000, 0, 100_000, 3, 4_096]) {
      await store.write(batchOf([[key, filled(size)]]))
      expect(get(store, key)).toBe(show(filled(size)))
    }
    await store.write(batchOf([[key, undefined]]))
    expect(store.get(key)).toBeUndefined()
    await store.write(batchOf([[key, undefined]]))
    expect(collect(store)).toEqual([])
  })

  it('takes keys and values that are parts of large shared buffers', async () => {
    const store = await use()
    const shared = Buffer.from(filled(1_000_000))
    // Subarrays that overlap are none the worse for it.
    const pairs = Array.from({ length: 50 }, (_, i): [Bytes, Bytes] => [
      shared.subarray(i + 1, i + 12),
      shared.subarray(i * 7_777 + 3, i * 7_777 + 3 + i * 400),
    ])
    const expected = pairs.map(([key, value]): [Bytes, Bytes] => [copyBytes(key), copyBytes(value)])
    await store.write(batchOf(pairs))
    // Once settled, the memory is the caller's again.
    shared.fill(0)
    for (const [key, value] of expected) expect(get(store, key)).toBe(show(value))
  })

  it('counts keys and bytes', async () => {
    const store = await use()
    expect(countOf(store)).toBe(0)
    await store.write(
      batchOf(Array.from({ length: 1_000 }, (_, i) => [bytesOf(`k${i}`), filled(500)])),
    )
    const full = store.stats()
    expect(countOf(store)).toBe(1_000)
    expect(full.bytes).toBeGreaterThanOrEqual(500_000)
    await store.write(batchOf(Array.from({ length: 900 }, (_, i) => [bytesOf(`k${i}`), undefined])))
    expect(countOf(store)).toBe(100)
    // What is neither free nor given back is still used; a store may take its time to see it.
    for (;;) {
      const { bytes, freeBytes } = store.stats()
      if (bytes - freeBytes < full.bytes / 2) break
      await turn(world.env)
    }
  })
}

function ranges({ it, use }: Suite): void {
  const keys = [
    '\x01',
    '\x01\x00',
    '\x02',
    'a',
    'ab',
    'b',
    'b\xff',
    'b\xff\xff',
    'c',
    '\xfe',
    '\xff',
    '\xff\x00',
    '\xff\xff',
  ]
  const bounds = [
    ...keys,
    '',
    '\x00',
    '\x00\x01',
    '\x01\x01',
    '\x05',
    'aa',
    'b\x00',
    'bz',
    '\xfe\xff',
    '\xff\xff\xff',
  ]

  it('agree with the definition for every pair of bounds, direction and limit', async () => {
    const store = await use()
    const model = new Map(keys.map((key) => [key, filled(key.length * 3)]))
    await store.write(batchOf(keys.map((key) => [bytesOf(key), filled(key.length * 3)])))
    const options = [undefined, ...bounds.map(bytesOf)]
    let mismatches = 0
    for (const gte of options) {
      for (const lt of options) {
        for (const reverse of [undefined, false, true]) {
          for (const limit of [undefined, 0, 1, 2, 100]) {
            const range = { gte, lt, reverse, limit }
            const expected = rangeOf(model, range)
            const given = collect(store, range)
            if (JSON.stringify(given) !== JSON.stringify(expected)) mismatches++
            if (store.scan(range, () => undefined) !== expected.length) mismatches++
          }
        }
      }
    }
    expect(mismatches).toBe(0)
  })

  it('of an empty store are empty', async () => {
    const store = await use()
    for (const reverse of [false, true]) {
      expect(collect(store, { reverse })).toEqual([])
      expect(collect(store, { gte: bytesOf('a'), lt: bytesOf('b'), reverse })).toEqual([])
    }
  })

  it('stop when the visitor says so, and count what was visited', async () => {
    const store = await use()
    await store.write(batchOf(keys.map((key) => [bytesOf(key), bytesOf(key)])))
    for (const reverse of [false, true]) {
      const seen: string[] = []
      const visited = store.scan({ reverse }, (key) => {
        seen.push(textOf(key))
        return seen.length < 3
      })
      expect(visited).toBe(3)
      expect(seen).toEqual((reverse ? keys.toReversed() : keys).slice(0, 3))
    }
  })

  it('throw on what the visitor throws, and go on afterwards', async () => {
    const store = await use()
    await store.write(batchOf(keys.map((key) => [bytesOf(key), bytesOf(key)])))
    const snapshot = store.snapshot()
    for (const reader of [store, snapshot]) {
      for (let i = 0; i < 300; i++) {
        const fault = new Error('of the visitor')
        const scan = (): number =>
          reader.scan({ reverse: i % 2 === 0 }, () => {
            throw fault
          })
        expect(scan).toThrow(fault)
      }
      expect(collect(reader).length).toBe(keys.length)
    }
    snapshot.close()
  })
}

function borrowedBytes({ it, use }: Suite): void {
  it('hold until the next call, and a copy for ever', async () => {
    const store = await use()
    const pairs = Array.from({ length: 200 }, (_, i): [Bytes, Bytes] => [
      bytesOf(`key-${String(i).padStart(4, '0')}-${'x'.repeat(i)}`),
      filled((i * 997) % 70_000, i),
    ])
    await store.write(batchOf(pairs))
    const copies: [Bytes, Bytes][] = []
    let at = 0
    store.scan({}, (key, value) => {
      const [expectedKey, expectedValue] = pairs[at++] ?? [bytesOf(''), bytesOf('')]
      // Both are whole at once, while the visitor runs.
      expect(compareBytes(key, expectedKey)).toBe(0)
      expect(compareBytes(value, expectedValue)).toBe(0)
      copies.push([copyBytes(key), copyBytes(value)])
    })
    for (const [key] of pairs.toReversed()) store.get(key)
    await store.write(batchOf(pairs.map(([key]) => [key, filled(40_000, 9)])))
    collect(store)
    for (const [i, [key, value]] of copies.entries()) {
      expect(compareBytes(key, pairs[i]?.[0] ?? key)).toBe(0)
      expect(compareBytes(value, pairs[i]?.[1] ?? bytesOf('?'))).toBe(0)
    }
  })

  it('of one store are not confused with those of another', async () => {
    const [a, b] = [await use(), await use()]
    const key = bytesOf('k')
    await Promise.all([
      a.write(batchOf([[key, filled(100, 1)]])),
      b.write(batchOf([[key, filled(50_000, 2)]])),
    ])
    for (let i = 0; i < 20; i++) {
      expect(get(a, key)).toBe(show(filled(100, 1)))
      expect(get(b, key)).toBe(show(filled(50_000, 2)))
      expect(collect(a)).toEqual(linesOf([[key, filled(100, 1)]]))
      expect(collect(b)).toEqual(linesOf([[key, filled(50_000, 2)]]))
    }
  })
}

function batches({ world, it, use }: Suite): void {
  it('apply the last operation of a key', async () => {
    const store = await use()
    const [a, b, c] = [bytesOf('a'), bytesOf('b'), bytesOf('c')]
    await store.write(
      batchOf([
        [a, filled(1)],
        [a, filled(9_000)],
        [b, filled(5)],
        [b, undefined],
        [c, undefined],
        [c, filled(3)],
        [a, filled(2)],
      ]),
    )
    expect(collect(store)).toEqual(
      linesOf([
        [a, filled(2)],
        [c, filled(3)],
      ]),
    )
  })

  it('may be empty', async () => {
    const store = await use()
    await store.write(new StoreBatch())
    await Promise.all([
      store.write(new StoreBatch()),
      store.write(batchOf([[bytesOf('a'), filled(1)]])),
      store.write(new StoreBatch()),
    ])
    expect(countOf(store)).toBe(1)
  })

  it('take effect in the order of the calls, and are visible once resolved', async () => {
    const store = await use()
    const key = bytesOf('k')
    const settled: number[] = []
    const writes = Array.from({ length: 300 }, async (_, i) => {
      await store.write(
        batchOf([
          [key, bytesOf(String(i))],
          [bytesOf(`k${i}`), filled(i * 10)],
        ]),
      )
      settled.push(i)
      expect(get(store, bytesOf(`k${i}`))).toBe(show(filled(i * 10)))
      const newest = Number(textOf(store.get(key) ?? bytesOf('-1')))
      expect(newest).toBeGreaterThanOrEqual(i)
    })
    await Promise.all(writes)
    expect(settled).toEqual(settled.toSorted((a, b) => a - b))
    expect(textOf(store.get(key) ?? bytesOf(''))).toBe('299')
  })

  it('are flushed when a flush resolves, which waits for those on their way', async () => {
    const store = await use()
    const writing = store.write(batchOf([[bytesOf('k'), bytesOf('v')]]))
    await store.flush()
    expect(get(store, bytesOf('k'))).toBe(show(bytesOf('v')))
    await writing
    await store.flush()
  })

  it('are seen whole or not at all, by scans that run meanwhile, and never go back', async () => {
    const store = await use()
    const keys = Array.from({ length: 1_500 }, (_, i) => bytesOf(`row-${i}`))
    let done = false
    let last = -1
    const write = async (): Promise<void> => {
      for (let round = 0; round < 20; round++) {
        await store.write(batchOf(keys.map((key) => [key, bytesOf(`${round}`)])))
      }
      done = true
    }
    const writing = write()
    while (!done) {
      const values = valuesOf(store)
      expect(new Set(values).size).toBeLessThanOrEqual(1)
      const seen = Number(values[0] ?? -1)
      expect(seen).toBeGreaterThanOrEqual(last)
      last = seen
      expect(values.length).toBe(last >= 0 ? keys.length : 0)
      await turn(world.env)
    }
    await writing
    expect(new Set(valuesOf(store))).toEqual(new Set(['19']))
  })

  it('may be large', async () => {
    const store = await use()
    const pairs = Array.from({ length: 20_000 }, (_, i): [Bytes, Bytes] => [
      bytesOf(`key-${String(i).padStart(6, '0')}`),
      filled(i % 500 === 0 ? 200_000 : 200, i),
    ])
    await store.write(batchOf(pairs))
    expect(countOf(store)).toBe(pairs.length)
    let at = 0
    store.scan({}, (key, value) => {
      const [expectedKey, expectedValue] = pairs[at++] ?? [bytesOf(''), bytesOf('')]
      if (compareBytes(key, expectedKey) !== 0 || compareBytes(value, expectedValue) !== 0)
        at = -1e9
    })
    expect(at).toBe(pairs.length)
  })
}

function valuesOf(reader: StoreReader): string[] {
  const values: string[] = []
  reader.scan({}, (_key, value) => {
    values.push(textOf(value))
  })
  return values
}

function snapshots({ it, use }: Suite): void {
  it('do not move, several at once, whatever is written', async () => {
    const store = await use()
    const model = new Map<string, Bytes>()
    const held: { snapshot: StoreSnapshot; expected: string[]; model: Map<string, Bytes> }[] = []
    for (let round = 0; round < 12; round++) {
      const pairs = Array.from({ length: 40 }, (_, i): [Bytes, Bytes | undefined] => [
        bytesOf(`k${(i * 7 + round) % 60}`),
        (i + round) % 5 === 0 ? undefined : filled((i * 401 * (round + 1)) % 30_000, round),
      ])
      await store.write(batchOf(pairs))
      for (const [key, value] of pairs) {
        if (value === undefined) model.delete(textOf(key))
        else model.set(textOf(key), value)
      }
      held.push({ snapshot: store.snapshot(), expected: rangeOf(model, {}), model: new Map(model) })
      // Reads of the store between make it move on, and reuse what it can.
      expect(collect(store, { reverse: true, limit: 5 })).toEqual(
        rangeOf(model, { reverse: true, limit: 5 }),
      )
      for (const { snapshot, expected, model } of held) {
        expect(collect(snapshot)).toEqual(expected)
        expect(collect(snapshot, { reverse: true })).toEqual(expected.toReversed())
        for (let i = 0; i < 60; i++) {
          expect(get(snapshot, bytesOf(`k${i}`))).toBe(show(model.get(`k${i}`)))
        }
      }
      if (round % 4 === 3) held.splice(1, 1)[0]?.snapshot.close()
    }
    for (const { snapshot } of held) snapshot.close()
  })

  it('of one state read alike, and closing one leaves the other', async () => {
    const store = await use()
    await store.write(batchOf([[bytesOf('a'), filled(1)]]))
    const [first, second] = [store.snapshot(), store.snapshot()]
    first.close()
    await store.write(batchOf([[bytesOf('a'), filled(2)]]))
    expect(get(second, bytesOf('a'))).toBe(show(filled(1)))
    expect(get(store, bytesOf('a'))).toBe(show(filled(2)))
    second.close()
    const third = store.snapshot()
    expect(get(third, bytesOf('a'))).toBe(show(filled(2)))
    third.close()
  })

  it('hold what was resolved before they began', async () => {
    const store = await use()
    for (let i = 0; i < 50; i++) {
      await store.write(batchOf([[bytesOf('n'), bytesOf(String(i))]]))
      const snapshot = store.snapshot()
      expect(textOf(snapshot.get(bytesOf('n')) ?? bytesOf(''))).toBe(String(i))
      snapshot.close()
    }
  })

  it('throw Closed once closed; closing again does nothing', async () => {
    const store = await use()
    const snapshot = store.snapshot()
    snapshot.close()
    snapshot.close()
    expect(code(() => snapshot.get(bytesOf('a')))).toBe('Closed')
    expect(code(() => snapshot.scan({}, () => undefined))).toBe('Closed')
    expect(store.get(bytesOf('a'))).toBeUndefined()
  })
}

function code(run: () => unknown): string | undefined {
  try {
    run()
  } catch (error) {
    if (isHoldfastError(error)) return error.code
    throw error
  }
  return undefined
}

/** Keys that meet often, and share prefixes. */
const keyArbitrary = fc
  .tuple(
    fc.constantFrom(1, 4, 0x61, 0xfe, 0xff),
    fc.array(fc.constantFrom(0, 1, 4, 5, 0x61, 0xfe, 0xff), { maxLength: 3 }),
  )
  .map(([first, rest]) => Uint8Array.of(first, ...rest))
const valueArbitrary = fc
  .tuple(
    fc.oneof({ weight: 9, arbitrary: fc.nat(60) }, fc.constantFrom(2_000, 4_096, 9_000)),
    fc.nat(255),
  )
  .map(([length, salt]) => filled(length, salt))
const batchArbitrary = fc.array(
  fc.tuple(keyArbitrary, fc.option(valueArbitrary, { nil: undefined, freq: 4 })),
  { maxLength: 30 },
)
const rangeArbitrary = fc.record({
  gte: fc.option(keyArbitrary, { nil: undefined }),
  lt: fc.option(keyArbitrary, { nil: undefined }),
  reverse: fc.boolean(),
  limit: fc.option(fc.nat(10), { nil: undefined }),
})

function differential({ world, use }: Suite): void {
  vitestIt('gives the same answers for thousands of random operations', async () => {
    const step = fc.record({
      batches: fc.array(batchArbitrary, { minLength: 1, maxLength: 3 }),
      ranges: fc.array(rangeArbitrary, { maxLength: 4 }),
      gets: fc.array(keyArbitrary, { maxLength: 4 }),
    })
    // fast-check itself takes real time to tell of a failure.
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const store = await use()
        const model = new Map<string, Bytes>()
        for (const { batches, ranges, gets } of steps) {
          for (const [key, value] of batches.flat()) {
            if (value === undefined) model.delete(textOf(key))
            else model.set(textOf(key), value)
          }
          await world.run(Promise.all(batches.map((pairs) => store.write(batchOf(pairs)))))
          expect(countOf(store)).toBe(model.size)
          for (const range of [{}, ...ranges]) {
            expect(collect(store, range)).toEqual(rangeOf(model, range))
          }
          for (const key of gets) expect(get(store, key)).toBe(show(model.get(textOf(key))))
        }
        await world.run(store.close())
      }),
      { numRuns: 40 },
    )
  })
}

function closing({ it, use }: Suite, open: OpenStore): void {
  it('makes every later call fail with Closed', async () => {
    const store = await use()
    const snapshot = store.snapshot()
    await store.close()
    expect(code(() => store.get(bytesOf('a')))).toBe('Closed')
    expect(code(() => store.scan({}, () => undefined))).toBe('Closed')
    expect(code(() => store.snapshot())).toBe('Closed')
    expect(code(() => store.stats())).toBe('Closed')
    expect(code(() => snapshot.get(bytesOf('a')))).toBe('Closed')
    snapshot.close()
    await expect(store.write(new StoreBatch())).rejects.toMatchObject({ code: 'Closed' })
    await expect(store.write(batchOf([[bytesOf('a'), filled(1)]]))).rejects.toMatchObject({
      code: 'Closed',
    })
    await store.close()
  })

  it('settles what was written first', async () => {
    const { store, reopen } = await open()
    const writes = Array.from({ length: 100 }, (_, i) =>
      store.write(batchOf([[bytesOf(`k${i}`), filled(1_000)]])),
    )
    const settled = await Promise.all([...writes, store.close()])
    expect(settled.length).toBe(101)
    if (reopen === undefined) return
    const again = await reopen()
    expect(countOf(again)).toBe(100)
    await again.close()
  })

  it('keeps all for the next opening, where the store outlives it', async () => {
    const { store, reopen } = await open()
    if (reopen === undefined) {
      await store.close()
      return
    }
    let current = store
    const model = new Map<string, Bytes>()
    for (let round = 0; round < 5; round++) {
      const pairs = Array.from({ length: 200 }, (_, i): [Bytes, Bytes | undefined] => [
        bytesOf(`k${(i * 13 + round * 50) % 400}`),
        i % 3 === 0 ? undefined : filled((i * 97) % 12_000, round),
      ])
      await current.write(batchOf(pairs))
      for (const [key, value] of pairs) {
        if (value === undefined) model.delete(textOf(key))
        else model.set(textOf(key), value)
      }
      await current.close()
      current = await reopen()
      expect(collect(current)).toEqual(rangeOf(model, {}))
    }
    await current.close()
  })
}
