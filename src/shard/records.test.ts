/** Records that are kept beside rows: of changes, and of each shard's statistics. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { systemEnv } from '../core/system-env.ts'
import { openMemoryStore } from '../store/memory-store.ts'
import { StoreBatch } from '../store/store.ts'
import { ChangeDraft, decodeChangeRecord } from './change-record.ts'
import { statsKey } from './layout.ts'
import { VERDICTS } from './resolver.ts'
import { addRow, decodeStat, emptyStat, removeRow, ShardStats, storedTotal } from './shard-stats.ts'

const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const out = Uint8Array.from(bytes)
  out[at] = (out[at] as number) ^ 0x10
  return out
}

describe('a record of changes', () => {
  it('is read as it was written', () => {
    const refusal = fc.record({
      ok: fc.constant(false as const),
      code: fc.string(),
      field: fc.string(),
    })
    const kept = fc.record({
      ok: fc.constant(true as const),
      value: fc.uint8Array({ maxLength: 40 }),
    })
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...VERDICTS), { maxLength: 20 }),
        fc.uniqueArray(fc.nat({ max: 50 })),
        fc.array(fc.tuple(fc.nat({ max: 50 }), fc.oneof(refusal, kept)), { maxLength: 10 }),
        fc.nat({ max: 2 ** 40 }),
        (verdicts, existed, results, position) => {
          const draft = new ChangeDraft(51)
          for (const ordinal of existed) draft.existed(ordinal)
          for (const [ordinal, result] of results) draft.results.set(ordinal, result)
          const record = decodeChangeRecord(
            position,
            Uint8Array.from(draft.encode(position, verdicts)),
          )
          expect(record.verdicts).toEqual(verdicts)
          for (let i = 0; i <= 50; i++) expect(record.existed(i)).toBe(existed.includes(i))
          expect(record.existed(500)).toBe(false)
          expect([...record.results.keys()]).toEqual([...draft.results.keys()])
          for (const [ordinal, result] of draft.results) {
            const got = record.results.get(ordinal)
            if (result.ok && got?.ok === true)
              expect(Buffer.compare(got.value, result.value)).toBe(0)
            else expect(got).toEqual(result)
          }
        },
      ),
    )
  })

  it('is refused after any flip, and at another position', () => {
    const draft = new ChangeDraft(9)
    draft.existed(3)
    draft.results.set(1, { ok: false, code: 'NotFound', field: 'x' })
    const bytes = Uint8Array.from(draft.encode(7, ['committed', 'conflict']))
    for (let at = 0; at < bytes.length; at++)
      expect(() => decodeChangeRecord(7, flipped(bytes, at))).toThrow(/damaged/)
    expect(() => decodeChangeRecord(8, bytes)).toThrow(/damaged/)
    expect(() => decodeChangeRecord(7, bytes.subarray(0, 3))).toThrow(/damaged/)
  })
})

describe('statistics of shards', () => {
  it('are the same in whatever order rows came and went', () => {
    const rows = fc.array(fc.tuple(fc.nat({ max: 0xffffffff }), fc.nat({ max: 1_000 })), {
      maxLength: 30,
    })
    fc.assert(
      fc.property(rows, rows, (stay, go) => {
        const [one, two] = [emptyStat(), emptyStat()]
        for (const [check, bytes] of [...stay, ...go]) addRow(one, check, bytes)
        for (const [check, bytes] of go) removeRow(one, check, bytes)
        for (const [check, bytes] of stay.toReversed()) addRow(two, check, bytes)
        expect(one).toEqual(two)
      }),
    )
  })

  it('tell a row from another one', () => {
    const [one, two] = [emptyStat(), emptyStat()]
    addRow(one, 1, 10)
    addRow(one, 4, 10)
    addRow(two, 2, 10)
    addRow(two, 3, 10)
    expect(one.sumA).toBe(two.sumA)
    expect(one.sumB).not.toBe(two.sumB)
  })

  it('are kept in the store, and loaded from it', async () => {
    const store = openMemoryStore(systemEnv)
    const stats = new ShardStats()
    const tables = [1, 0x01020304, 0x80000001, 0xfffffffe]
    for (const table of tables) {
      for (const shard of [0, 3, 255]) {
        const stat = stats.of(table, shard)
        addRow(stat, table ^ shard, 100 + shard)
        stats.touch(stat)
      }
    }
    const batch = new StoreBatch()
    stats.save(batch)
    expect(batch.size).toBe(12)
    await store.write(batch)
    const again = ShardStats.load(store)
    for (const table of tables) {
      for (const shard of [0, 3, 255])
        expect(again.of(table, shard)).toEqual(stats.of(table, shard))
      expect(storedTotal(store, table, 256)).toEqual({ rows: 3, bytes: 558 })
    }
    const empty = new StoreBatch()
    again.save(empty)
    expect(empty.size).toBe(0)
    again.drop(1)
    expect([...again.all()].filter(({ table }) => table === 1)).toEqual([])
  })

  it('are refused after any flip', async () => {
    const store = openMemoryStore(systemEnv)
    const stats = new ShardStats()
    addRow(stats.of(9, 1), 77, 88)
    stats.touch(stats.of(9, 1))
    const batch = new StoreBatch()
    stats.save(batch)
    await store.write(batch)
    const key = statsKey(1, 9)
    const value = Uint8Array.from(store.get(key) ?? [])
    expect(decodeStat(key, value)).toMatchObject({ rows: 1, bytes: 88 })
    for (let at = 0; at < value.length; at++)
      expect(() => decodeStat(key, flipped(value, at))).toThrow(/damaged/)
    expect(() => decodeStat(statsKey(2, 9), value)).toThrow(/damaged/)
  })
})
