// Transfers between accounts, many at once. Each reads two rows and writes both, or neither; those
// that meet are run again, so that no money is made or lost, and no account goes below zero.
import { open, strong, unvalidated } from 'holdfast'

interface Account {
  id: number
  balance: bigint
}

const db = await open({
  memory: true,
  tables: { accounts: strong({ row: unvalidated<Account>(), key: 'id' }) },
})

class Overdrawn extends Error {}

async function transfer(from: number, to: number, amount: bigint): Promise<void> {
  await db.transact(async (tx) => {
    const [source, target] = await tx.accounts.getMany([from, to])
    if (source === undefined || target === undefined) throw new Error('no such account')
    // What a transaction throws cancels it: nothing of it is applied.
    if (source.balance < amount) throw new Overdrawn(`account ${from} has ${source.balance}`)
    await tx.accounts.put({ ...source, balance: source.balance - amount })
    await tx.accounts.put({ ...target, balance: target.balance + amount })
  })
}

await db.accounts.insertMany(Array.from({ length: 10 }, (_, id) => ({ id, balance: 100n })))
await Promise.all(Array.from({ length: 200 }, (_, i) => transfer(i % 10, (i * 7 + 1) % 10, 1n)))

const refused = await transfer(0, 1, 10_000n).catch((error: unknown) => error)
console.log('refused:', refused instanceof Overdrawn)

const rows = await db.accounts.query().toArray()
console.log(
  'total:',
  rows.reduce((sum, row) => sum + row.balance, 0n),
)
await db.close()
