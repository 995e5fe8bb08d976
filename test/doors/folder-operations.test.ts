// What writes to a folder that another process has open: the operations over the folder's socket.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Session } from '../../src/cli/session.ts'
import { SocketSession } from '../../src/cli/socket-session.ts'
import { open, strong } from '../../src/index.ts'
import { folderHolder } from '../../src/open.ts'

const openDatabase = (dir: string) =>
  open({
    dir,
    tables: { things: strong<{ id: string; n?: number; m?: number }>({ key: 'id' }) },
  })

let dir: string
let db: Awaited<ReturnType<typeof openDatabase>>
let session: Session

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-operations-'))
  db = await openDatabase(dir)
  const holder = await folderHolder(dir)
  if (holder === undefined) throw new Error('nobody has the folder open')
  const connected = await SocketSession.connect(dir, holder, new AbortController().signal)
  if (connected === undefined) throw new Error('nobody serves the folder')
  session = connected
})
afterEach(async () => {
  await session.close()
  await db.close()
  rmSync(dir, { recursive: true, force: true })
})

it('writes, changes and deletes rows, once with an idempotency key', async () => {
  const row = { id: 'a', n: 1 }
  const written = await session.call('write', { table: 'things', kind: 'insert', row })
  expect(written).toEqual({
    ...{
      position: expect.any(Number) as unknown,
      durability: 'fsynced',
      token: expect.any(String) as unknown,
      row,
    },
  })
  const twice = { table: 'things', kind: 'insert', row } as const
  await expect(session.call('write', twice)).rejects.toMatchObject({ code: 'AlreadyExists' })
  const changes = { increment: { n: 2 }, set: { m: 1 } }
  const change = { table: 'things', key: 'a', changes, idempotencyKey: 'k' } as const
  expect((await session.call('modify', change)).row).toEqual({ id: 'a', n: 3, m: 1 })
  expect((await session.call('modify', change)).row).toEqual({ id: 'a', n: 3, m: 1 })
  expect(await db.things.get('a')).toEqual({ id: 'a', n: 3, m: 1 })
  await expect(
    session.call('modify', { table: 'things', key: 'a', changes: {} }),
  ).rejects.toMatchObject({ code: 'InvalidRequest' })
  const gone = await session.call('delete', { table: 'things', key: 'a' })
  expect(gone).toMatchObject({ existed: true, token: expect.any(String) as unknown })
})

it('writes many rows, each on its own, and transactions as steps', async () => {
  const insert = [{ id: 'a' }, { id: 'a' }, { id: 'b' }]
  const { results } = await session.call('bulk', { table: 'things', insert })
  expect(results).toMatchObject([{ ok: true }, { ok: false, code: 'AlreadyExists' }, { ok: true }])
  const steps = [
    { table: 'things', op: 'delete', key: 'a' },
    { table: 'things', op: 'put', row: { id: 'c' } },
  ] as const
  const answer = await session.call('transaction', { steps })
  expect(answer).toMatchObject({ results: [{ ok: true }, { ok: { id: 'c' } }] })
  expect(await db.things.query().toArray()).toEqual([{ id: 'b' }, { id: 'c' }])
})

it('drops indexes and tables', async () => {
  const spec = { table: 'notes', key: ['id'], indexes: { byTag: ['tag'] } }
  await session.call('define', spec)
  await session.call('dropIndex', { table: 'notes', index: 'byTag' })
  const notes = db.stats().tables.find(({ name }) => name === 'notes')
  expect(notes?.indexes).toEqual([])
  await session.call('drop', { table: 'notes' })
  expect(db.stats().tables.map(({ name }) => name)).toEqual(['things'])
})

it('follows a table, and lets go of it when the reader does', { timeout: 60_000 }, async () => {
  await db.things.putMany(Array.from({ length: 600 }, (_, n) => ({ id: `r${n}`, n })))
  // More readers than a database holds snapshots: each must let go of its own.
  for (let reader = 0; reader < 40; reader++) {
    const seen = []
    for await (const items of session.stream('feed', { table: 'things', from: 'snapshot' })) {
      seen.push(...items)
      if (seen.length >= 600) break
    }
    expect(seen).toHaveLength(600)
  }
  const kinds: [string, string][] = []
  let token: string | undefined
  await db.things.put({ id: 'new' })
  for await (const items of session.stream('feed', { table: 'things', from: 'start' })) {
    for (const { kind, key, token: at } of items) {
      kinds.push([kind, String(key)])
      token = at
    }
    if (kinds.length === 601) break
  }
  expect(kinds.at(-1)).toEqual(['insert', 'new'])
  await db.things.delete('new')
  for await (const items of session.stream('feed', { table: 'things', after: token })) {
    expect(items).toMatchObject([
      { kind: 'delete', key: 'new', position: expect.any(Number) as unknown },
    ])
    break
  }
  await expect(
    session.stream('feed', { table: 'nope' })[Symbol.asyncIterator]().next(),
  ).rejects.toMatchObject({ code: 'UnknownTable' })
})
