import { expect, test } from 'vitest'
import { z } from 'zod'
import { open, strong, unique, unvalidated } from '../src/index.ts'

interface Account { id: string; owner: string; balance: bigint; email?: string; tags?: string[] }
test('smoke', async () => {
  await using db = await open({ memory: true, tables: {
    accounts: strong({ row: unvalidated<Account>(), key: 'id', indexes: { byOwner: 'owner', byEmail: unique('email') } }),
    plain: strong<Account>({ key: 'id', indexes: { byOwner: 'owner' } }),
    zod: strong({ row: z.object({ a: z.string(), b: z.number(), c: z.number().default(3) }), key: ['a', 'b'] }),
    nums: strong({ row: unvalidated<{ k: number; n: number; list: number[] }>(), key: 'k' }),
  } })
  const w = await db.accounts.insert({ id: 'a1', owner: 'ada', balance: 10n, email: 'x@y' })
  expect(w.durability).toBe('memory')
  await expect(db.accounts.insert({ id: 'a1', owner: 'ada', balance: 10n })).rejects.toMatchObject({ code: 'AlreadyExists' })
  await expect(db.accounts.insert({ id: 'a2', owner: 'ada', balance: 10n, email: 'x@y' })).rejects.toMatchObject({ code: 'UniqueViolation' })
  await db.accounts.update('a1', (row) => ({ ...row, balance: row.balance - 5n }))
  expect(await db.accounts.get('a1')).toEqual({ id: 'a1', owner: 'ada', balance: 5n, email: 'x@y' })
  await db.accounts.insert({ id: 'a3', owner: 'ada', balance: 1n })
  const rows = await db.accounts.query({ index: 'byOwner', eq: 'ada', limit: 100 }).toArray()
  expect(rows.map((r) => r.id)).toEqual(['a1', 'a3'])
  expect((await db.accounts.query({ index: 'byEmail', eq: 'x@y' }).first())?.id).toBe('a1')
  const r = await db.transact(async (tx) => {
    const a = await tx.accounts.get('a1'); const b = await tx.accounts.get('a3')
    await tx.accounts.put({ ...a!, balance: a!.balance - 1n }); await tx.accounts.put({ ...b!, balance: b!.balance + 1n })
    return (await tx.accounts.query({ index: 'byOwner', eq: 'ada' }).toArray()).map((x) => x.balance)
  })
  expect(r).toEqual([4n, 2n])
  await db.zod.insert({ a: 'x', b: 1 })
  expect(await db.zod.get(['x', 1])).toEqual({ a: 'x', b: 1, c: 3 })
  await expect(db.zod.insert({ a: 'x', b: 'no' } as never)).rejects.toMatchObject({ code: 'InvalidRow' })
  await db.nums.insert({ k: 1, n: 0, list: [] })
  await Promise.all(Array.from({ length: 500 }, () => db.nums.increment(1, { n: 1 })))
  await Promise.all(Array.from({ length: 500 }, () => db.nums.update(1, (x) => ({ ...x, n: x.n + 1 }))))
  expect((await db.nums.append(1, { list: [4] })).row).toEqual({ k: 1, n: 1000, list: [4] })
  await Promise.all(Array.from({ length: 50 }, () => db.transact(async (tx) => { const x = await tx.nums.get(1); await tx.nums.put({ ...x!, n: x!.n + 1 }) })))
  expect((await db.nums.get(1))?.n).toBe(1050)
  expect(await db.accounts.count()).toBe(2)
  const seen: string[] = []
  for await (const c of db.accounts.watch({ from: 'start' })) { seen.push(c.kind + ':' + c.key); if (seen.length === 5) break }
  expect(seen).toEqual(['insert:a1', 'update:a1', 'insert:a3', 'update:a1', 'update:a3'])
  expect(await db.accounts.delete('a1')).toMatchObject({ existed: true })
  const report = await db.check()
  expect(report.problems).toEqual([])
  const one = await db.accounts.insert({ id: 'k', owner: 'o', balance: 1n }, { idempotencyKey: 'q' })
  const two = await db.accounts.insert({ id: 'k', owner: 'o', balance: 1n }, { idempotencyKey: 'q' })
  expect(two.position).toBe(one.position)
  await expect(db.accounts.insert({ id: 'k2', owner: 'o', balance: 1n }, { idempotencyKey: 'q' })).rejects.toMatchObject({ code: 'IdempotencyMismatch' })
})
