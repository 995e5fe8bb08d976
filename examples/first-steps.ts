import { open, strong, unvalidated } from 'holdfast'

type Account = { id: string; owner: string; balance: bigint }
const accounts = strong({ row: unvalidated<Account>(), key: 'id', indexes: { byOwner: 'owner' } })

const db = await open({ dir: './bank', tables: { accounts } })
await db.accounts.put({ id: 'a1', owner: 'ada', balance: 10n })
await db.accounts.put({ id: 'b1', owner: 'bob', balance: 3n })
await db.transact(async (tx) => {
  await tx.accounts.update('a1', (row) => ({ ...row, balance: row.balance - 5n }))
  await tx.accounts.update('b1', (row) => ({ ...row, balance: row.balance + 5n }))
})
for await (const row of db.accounts.query({ index: 'byOwner', eq: 'ada' })) console.log(row)
await db.close()
