/** Work in the background that fails is told by name, is tried again, and keeps nobody else from theirs. */
import { describe, expect, test } from 'vitest'
import { strong, unique, unvalidated, type BackgroundProblem } from '../../src/index.ts'
import { declareTable } from '../../src/table/schema-work.ts'
import type { StrongTableHandle } from '../../src/table/strong/strong-table.ts'
import { cleanUp, codeOf, onBothStores, openInside, sleep, within } from './harness.ts'

interface Timed {
  id: string
  at: Date
}
const timed = strong({ row: unvalidated<Timed>(), key: 'id', ttl: 'at' })
const newer = strong({
  row: unvalidated<Timed>(),
  key: 'id',
  ttl: 'at',
  version: 1,
  migrate: (row) => row as unknown as Timed,
})
const past = new Date(Date.now() - 5_000)

async function until(reached: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await reached())) await sleep(20)
}

describe('a round of expiry in which `migrate` throws', () => {
  cleanUp()

  test('is told once, lets other tables go on, and is tried again', async () => {
    const told: BackgroundProblem[] = []
    const tables = { broken: timed, sound: timed }
    const { db, node } = await openInside(tables, { onProblem: (problem) => told.push(problem) })
    await db.broken.put({ id: 'a', at: past })
    // A row of the old version stays, as it does while a large table is being rewritten.
    await declareTable(node, 'broken', newer)
    let works = false
    const handle = db.broken as unknown as StrongTableHandle
    handle.core.code = {
      schema: undefined,
      migrate: (row) => {
        if (works) return row
        throw new RangeError('not of this shape')
      },
    }
    await within(
      10_000,
      until(() => told.length > 0),
    )
    expect(told).toMatchObject([{ work: 'expiry', table: 'broken', cause: { name: 'RangeError' } }])
    expect(db.stats().problems).toEqual([
      { work: 'expiry', table: 'broken', reason: 'not of this shape' },
    ])
    await expect(db.upkeep()).rejects.toThrow('not of this shape')
    await db.sound.put({ id: 'b', at: past })
    await within(
      10_000,
      until(async () => !(await db.sound.has('b'))),
    )
    expect(told).toHaveLength(1)
    works = true
    await within(
      10_000,
      until(async () => !(await db.broken.has('a'))),
    )
    await within(
      10_000,
      until(() => db.stats().problems.length === 0),
    )
    await db.upkeep()
  })
})

onBothStores('`ready`', (openAt) => {
  test('tries again what failed, and resolves once it succeeds', async () => {
    interface Row {
      k: string
      v: number
    }
    const many = strong({ row: unvalidated<Row>(), key: 'k' })
    const other = strong({ row: unvalidated<Row>(), key: 'k', indexes: { byV: 'v' } })
    const wanted = strong({ row: unvalidated<Row>(), key: 'k', indexes: { byV: unique('v') } })
    const db = await openAt({ many })
    // More than are waited for by whoever declares the table.
    const rows = Array.from({ length: 10_001 }, (_, i) => ({ k: `k${i}`, v: i }))
    await db.many.putMany([...rows, { k: 'twin', v: 7 }])
    await db.ready()
    expect(await codeOf(db.define('many', wanted))).toBe('SchemaConflict')
    expect(db.stats().problems).toMatchObject([{ work: 'schema', table: 'many' }])
    expect(await codeOf(db.ready())).toBe('SchemaConflict')
    // Another table's declaration is not the worse for it.
    await db.define('other', other)
    await db.many.delete('twin')
    await db.ready()
    expect(db.stats().problems).toEqual([])
    expect(db.stats().tables.find(({ name }) => name === 'many')?.indexes).toMatchObject([
      { name: 'byV', state: 'ready' },
    ])
    expect((await db.check()).problems).toEqual([])
    await db.ready()
  })
})
