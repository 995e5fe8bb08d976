/**
 * S10: a change of the rows' shape is whole or not at all, and nobody meets two shapes: not a reader,
 * not a feed, not a handle that was taken before.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { open, strong, unvalidated } from '../../src/index.ts'

interface Old {
  id: string
  name: string
}
interface New {
  id: string
  first: string
}

const before = { people: strong({ row: unvalidated<Old>(), key: 'id' }) }
const after = {
  people: strong({
    row: unvalidated<New>(),
    key: 'id',
    version: 1,
    migrate: (row) => ({ id: String(row['id']), first: String(row['name']) }),
  }),
}

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-shape-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

test('S10: a migrate that throws for one row leaves the table and its version as they were', async () => {
  await using db = await open({ dir, tables: before })
  await db.people.putMany([
    { id: 'a', name: 'Ada' },
    { id: 'b', name: 'Bob' },
  ])
  await db.close()
  const broken = {
    people: strong({
      row: unvalidated<New>(),
      key: 'id',
      version: 1,
      migrate: (row: Record<string, unknown>): New => {
        if (row['id'] === 'b') throw new Error('no name for b')
        return { id: String(row['id']), first: String(row['name']) }
      },
    }),
  }
  await expect(open({ dir, tables: broken })).rejects.toMatchObject({
    code: 'SchemaConflict',
    details: { rows: [{ key: 'b', reason: 'no name for b' }] },
  })
  // Code of the version before still opens, and finds every row as it wrote it.
  await using again = await open({ dir, tables: before })
  expect(await again.people.query().toArray()).toEqual([
    { id: 'a', name: 'Ada' },
    { id: 'b', name: 'Bob' },
  ])
})

test('S10: a migrate that changes the key is refused before anything is changed', async () => {
  await using db = await open({ dir, tables: before })
  await db.people.put({ id: 'a', name: 'Ada' })
  const moved = strong({
    row: unvalidated<New>(),
    key: 'id',
    version: 1,
    migrate: (row) => ({ id: `${String(row['id'])}!`, first: '' }),
  })
  await expect(db.define('people', moved)).rejects.toMatchObject({ code: 'SchemaConflict' })
  expect(await db.people.get('a')).toEqual({ id: 'a', name: 'Ada' })
})

test('S12: a feed gives changes of an older shape in the newest one', async () => {
  await using db = await open({ dir, tables: before })
  await db.people.insert({ id: 'a', name: 'Ada' })
  await db.close()
  await using again = await open({ dir, tables: after })
  await again.ready()
  const rows: unknown[] = []
  for await (const change of again.people.watch({ from: 'start' })) {
    rows.push([change.kind, change.row])
    if (rows.length === 2) break
  }
  expect(rows).toEqual([
    ['insert', { id: 'a', first: 'Ada' }],
    ['update', { id: 'a', first: 'Ada' }],
  ])
})

test('S10: a handle taken before a change writes and reads by the newest declaration', async () => {
  await using db = await open({ memory: true, tables: before })
  const early = db.people
  await early.put({ id: 'a', name: 'Ada' })
  const late = await db.define('people', after.people)
  expect(await early.get('a')).toEqual({ id: 'a', first: 'Ada' })
  expect(await late.get('a')).toEqual({ id: 'a', first: 'Ada' })
  expect(db.people).toBe(early)
})

test('S12: the feed of a dropped table gives what came before, then says so', async () => {
  await using db = await open({ memory: true, tables: before })
  const feed = db.people.watch()[Symbol.asyncIterator]()
  const first = feed.next()
  await db.people.insert({ id: 'a', name: 'Ada' })
  expect((await first).value).toMatchObject({ kind: 'insert', key: 'a' })
  const next = feed.next()
  await Promise.all([
    expect(next).rejects.toMatchObject({ code: 'UnknownTable' }),
    db.drop('people'),
  ])
})

test('S5: an update that waits in a chain keeps its own deadline', async () => {
  await using db = await open({ memory: true, tables: before })
  await db.people.insert({ id: 'a', name: '' })
  const running = db.people.update('a', (row) => ({ ...row, name: `${row.name}1` }))
  const late = db.people.update('a', (row) => ({ ...row, name: `${row.name}2` }), { deadlineMs: 0 })
  await Promise.all([
    running,
    expect(late).rejects.toMatchObject({ code: 'DeadlineExceeded', applied: 'no' }),
  ])
  expect((await db.people.get('a'))?.name).toBe('1')
})

test('W4: writes that nobody awaits are refused by name before they fill memory', async () => {
  await using db = await open({ memory: true, tables: before })
  const name = 'x'.repeat(200_000)
  const calls = Array.from({ length: 2_000 }, (_, i) => db.people.put({ id: String(i), name }))
  const results = await Promise.allSettled(calls)
  const refused = results.filter((result) => result.status === 'rejected')
  expect(refused.length).toBeGreaterThan(0)
  for (const { reason } of refused)
    expect(reason).toMatchObject({ code: 'Overloaded', applied: 'no' })
  expect(await db.people.count()).toBe(results.length - refused.length)
})

test('a database has the shards that it was made with', async () => {
  await using db = await open({ dir, shards: 4, tables: before })
  await db.close()
  await expect(open({ dir, shards: 8 })).rejects.toMatchObject({ code: 'InvalidArgument' })
  await using again = await open({ dir })
  expect(again.stats().shards).toBe(4)
})

test('S9: a transaction whose table is dropped meanwhile is refused by name', async () => {
  await using db = await open({ memory: true, tables: before })
  await db.people.put({ id: 'a', name: 'Ada' })
  const reading = db.transact(async (tx) => {
    await tx.people.get('a')
    await new Promise((resolve) => setTimeout(resolve, 30))
    return tx.people.get('a')
  })
  await Promise.all([
    expect(reading).rejects.toMatchObject({ code: 'UnknownTable', applied: 'no' }),
    db.drop('people'),
  ])
})

test('S2: a receipt has the row as it was stored, whatever its caller did to its own since', async () => {
  await using db = await open({ memory: true, tables: before })
  for (const options of [{}, { idempotencyKey: 'k' }]) {
    const row = { id: 'a', name: 'Ada' }
    const writing = db.people.put(row, options)
    row.name = 'changed'
    expect((await writing).row).toEqual({ id: 'a', name: 'Ada' })
    expect(await db.people.get('a')).toEqual({ id: 'a', name: 'Ada' })
  }
})
