/** The starter with a transaction over two tables. */
import type { Template } from './template.ts'

const tables = `import { strong, unvalidated } from 'holdfast'

export interface Account {
  id: string
  owner: string
  /** In cents. */
  balance: bigint
}

export interface Transfer {
  id: string
  from: string
  to: string
  amount: bigint
  at: Date
}

/** Row, key and index types follow from this: a query by a name that is not here does not compile. */
export const tables = {
  accounts: strong({ row: unvalidated<Account>(), key: 'id', indexes: { byOwner: 'owner' } }),
  transfers: strong({ row: unvalidated<Transfer>(), key: 'id', indexes: { byFrom: 'from' } }),
}
`

const code = `import type { Database } from 'holdfast'
import type { Transfer, tables } from './tables.ts'

type Shop = Database<typeof tables>

/** Opens an account with some money in it; one that is there stays as it is. */
export async function openAccount(db: Shop, id: string, owner: string, balance: bigint) {
  await db.transact(async (tx) => {
    if (!(await tx.accounts.has(id))) await tx.accounts.insert({ id, owner, balance })
  })
}

/**
 * Moves money, all or nothing, whatever else goes on. A transfer with the same id is made once,
 * however often it is asked for: a caller who is not sure asks again.
 */
export async function transfer(db: Shop, asked: Omit<Transfer, 'at'>): Promise<void> {
  const { id, from, to, amount } = asked
  const at = new Date()
  await db.transact(async (tx) => {
    if (await tx.transfers.has(id)) return
    const source = await tx.accounts.get(from)
    const target = await tx.accounts.get(to)
    if (source === undefined || target === undefined) throw new Error('there is no such account')
    if (source.balance < amount) throw new Error(from + ' has not enough')
    await tx.accounts.put({ ...source, balance: source.balance - amount })
    await tx.accounts.put({ ...target, balance: target.balance + amount })
    await tx.transfers.insert({ id, from, to, amount, at })
  })
}
`

const test = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { open } from 'holdfast'
import { openAccount, transfer } from './shop.ts'
import { tables } from './tables.ts'

async function openShop() {
  const db = await open({ memory: true, tables })
  await openAccount(db, 'a', 'Ada', 100n)
  await openAccount(db, 'b', 'Bob', 100n)
  const balance = async (id: string) => (await db.accounts.get(id))?.balance
  return { db, balance }
}

test('transfers at the same time neither make nor lose money', async () => {
  const { db, balance } = await openShop()
  const there = Array.from({ length: 20 }, (_, i) => ({ id: 'ab' + i, from: 'a', to: 'b' }))
  const back = Array.from({ length: 10 }, (_, i) => ({ id: 'ba' + i, from: 'b', to: 'a' }))
  await Promise.all([...there, ...back].map((each) => transfer(db, { ...each, amount: 1n })))
  assert.equal(await balance('a'), 90n)
  assert.equal(await balance('b'), 110n)
  assert.equal(await db.transfers.count(), 30)
  await db.close()
})

test('a transfer is made once, and not at all without the money', async () => {
  const { db, balance } = await openShop()
  const rent = { id: 'rent', from: 'a', to: 'b', amount: 60n }
  await transfer(db, rent)
  await transfer(db, rent)
  await assert.rejects(transfer(db, { ...rent, id: 'more' }), /not enough/)
  assert.equal(await balance('a'), 40n)
  await db.close()
})
`

const main = `await openAccount(db, 'a', 'Ada', 10_000n)
await openAccount(db, 'b', 'Bob', 0n)
const id = 'transfer-' + (await db.transfers.count())
await transfer(db, { id, from: 'a', to: 'b', amount: 25n })

for await (const account of db.accounts.query()) console.log(account.owner, account.balance)
console.log(await db.transfers.count({ index: 'byFrom', eq: 'a' }), 'transfers so far')
`

export const shop: Template = {
  label: 'a shop with accounts and transfers',
  module: 'shop',
  tables,
  code,
  test,
  imports: ['openAccount', 'transfer'],
  main,
  example: { table: 'accounts', key: 'a' },
}
