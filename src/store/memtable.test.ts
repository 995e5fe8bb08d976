// Layers of writes over what is below, read as one: against a plain map.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { binaryString, compareBytes, type Bytes } from '../core/bytes.ts'
import { systemEnv } from '../core/system-env.ts'
import { openMemoryStore } from './memory-store.ts'
import { getThrough, LayeredSnapshot, Memtable, scanThrough, type Layer } from './memtable.ts'
import { batchOf, bytesOf, collect, get, rangeOf, show, textOf } from './store-samples.contract.ts'
import type { RangeOptions, Store, StoreReader } from './store.ts'

type Writes = readonly (readonly [Bytes, Bytes | undefined])[]

/** Keys that meet often, and of which some begin with others. */
const keys = fc
  .tuple(fc.constantFrom(1, 0x61, 0xff), fc.array(fc.constantFrom(0, 0x61, 0xff), { maxLength: 3 }))
  .map(([first, rest]) => Uint8Array.of(first, ...rest))
const values = fc.uint8Array({ maxLength: 3 })
const writes = fc.array(fc.tuple(keys, fc.option(values, { nil: undefined, freq: 2 })), {
  maxLength: 25,
})
const ranges = fc.record({
  gte: fc.option(keys, { nil: undefined }),
  lt: fc.option(keys, { nil: undefined }),
  reverse: fc.boolean(),
  limit: fc.option(fc.nat(6), { nil: undefined }),
})
/** What is below, an older layer, and a newer one. */
const states = fc.tuple(writes, writes, writes)

function memtableOf(pairs: Writes): Memtable {
  const table = new Memtable()
  for (const [key, value] of pairs) table.put(binaryString(key), value ?? null)
  return table
}

function modelOf(...written: readonly Writes[]): Map<string, Bytes> {
  const model = new Map<string, Bytes>()
  for (const [key, value] of written.flat()) {
    if (value === undefined) model.delete(textOf(key))
    else model.set(textOf(key), value)
  }
  return model
}

async function storeOf(pairs: Writes): Promise<Store> {
  const store = openMemoryStore(systemEnv)
  await store.write(batchOf(pairs))
  return store
}

const through = (layers: readonly Layer[], below: StoreReader): StoreReader => ({
  get: (key) => getThrough(layers, below, key),
  scan: (range, visit) => scanThrough(layers, below, range, visit),
})

describe('layers over a reader', () => {
  it('read as the map that all of them were written into', async () => {
    const asked = fc.tuple(fc.array(ranges, { minLength: 1, maxLength: 8 }), fc.array(keys))
    await fc.assert(
      fc.asyncProperty(states, asked, async ([below, older, newer], [scans, looks]) => {
        const layers = [memtableOf(newer), memtableOf(older)]
        const reader = through(layers, await storeOf(below))
        const model = modelOf(below, older, newer)
        for (const range of [{}, { reverse: true }, ...scans]) {
          const expected = rangeOf(model, range)
          expect(collect(reader, range)).toEqual(expected)
          expect(reader.scan(range, () => undefined)).toBe(expected.length)
        }
        const written = [...below, ...older, ...newer].map(([key]) => key)
        for (const key of [...looks, ...written]) {
          expect(get(reader, key)).toBe(show(model.get(textOf(key))))
        }
      }),
      { numRuns: 400 },
    )
  })

  it('end a scan where its visitor stops or throws, wherever that is', async () => {
    await fc.assert(
      fc.asyncProperty(states, ranges, async ([below, older, newer], range) => {
        const layers = [memtableOf(newer), memtableOf(older)]
        const reader = through(layers, await storeOf(below))
        const expected = rangeOf(modelOf(below, older, newer), range)
        for (let count = 1; count <= expected.length; count++) {
          expect(visitsUntil(reader, range, count, 'stop')).toBe(count)
          expect(visitsUntil(reader, range, count, 'throw')).toBe(count)
        }
        expect(collect(reader, range)).toEqual(expected)
      }),
      { numRuns: 150 },
    )
  })

  it('are read as they were, by a snapshot, whatever is written after', async () => {
    await fc.assert(
      fc.asyncProperty(states, writes, async ([below, older, newer], later) => {
        const tables = [memtableOf(newer), memtableOf(older)]
        const store = await storeOf(below)
        const layers = tables.map((table) => table.frozen())
        const snapshot = new LayeredSnapshot(layers, store.snapshot(), () => undefined)
        for (const table of tables) {
          for (const [key, value] of later) table.put(binaryString(key), value ?? null)
        }
        await store.write(batchOf(later))
        const model = modelOf(below, older, newer)
        expect(collect(snapshot)).toEqual(rangeOf(model, {}))
        for (const [key] of later) expect(get(snapshot, key)).toBe(show(model.get(textOf(key))))
        expect(collect(through(tables, store))).toEqual(
          rangeOf(modelOf(below, older, newer, later), {}),
        )
      }),
      { numRuns: 150 },
    )
  })

  it('hide the keys that are the own of what is below', () => {
    const asked: Bytes[] = []
    const below: StoreReader = {
      get(key) {
        asked.push(key)
        return key
      },
      scan: () => 0,
    }
    expect(getThrough([new Memtable()], below, Uint8Array.of(0, 1))).toBeUndefined()
    expect(getThrough([new Memtable()], below, bytesOf('a'))).toEqual(bytesOf('a'))
    expect(asked).toEqual([bytesOf('a')])
  })
})

/** How many keys were visited by one who stops, or throws, at the `count`th. */
function visitsUntil(
  reader: StoreReader,
  range: RangeOptions,
  count: number,
  how: 'stop' | 'throw',
): number {
  const fault = new Error('of the visitor')
  let visited = 0
  const scan = (): number =>
    reader.scan(range, () => {
      if (++visited < count) return true
      if (how === 'throw') throw fault
      return false
    })
  if (how === 'stop') expect(scan()).toBe(count)
  else expect(scan).toThrow(fault)
  return visited
}

describe('a memtable', () => {
  it('counts the bytes of its keys, and of the values that are the last', () => {
    fc.assert(
      fc.property(writes, (pairs) => {
        const last = new Map(pairs.map(([key, value]) => [textOf(key), value]))
        let bytes = 0
        for (const [key, value] of last) bytes += key.length + (value?.length ?? 0)
        const table = memtableOf(pairs)
        expect(table.bytes).toBe(bytes)
        expect(table.size).toBe(last.size)
        const inOrder = [...table.ordered.entries()].map(([key]) => bytesOf(key))
        expect(inOrder).toEqual(inOrder.toSorted(compareBytes))
      }),
    )
  })
})
