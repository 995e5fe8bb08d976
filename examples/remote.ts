// One database, two doors: the process that has it open, and a client that reaches it over HTTP.

import { open, strong, unvalidated, type DatabaseLike } from 'holdfast'
import { connect } from 'holdfast/client'
import { serve } from 'holdfast/server'

interface Account {
  id: string
  owner: string
  balance: bigint
}

const tables = { accounts: strong({ row: unvalidated<Account>(), key: 'id' }) }

// Written once, for a database in this process and for one elsewhere.
async function move(
  db: DatabaseLike<typeof tables>,
  from: string,
  to: string,
  amount: bigint,
): Promise<void> {
  await db.transact(async (tx) => {
    await tx.accounts.update(from, (row) => {
      if (row.balance < amount) throw new Error(`${row.owner} has ${row.balance}`)
      return { ...row, balance: row.balance - amount }
    })
    await tx.accounts.update(to, (row) => ({ ...row, balance: row.balance + amount }))
  })
}

const local = await open({ memory: true, tables })
const server = await serve(local, { port: 0 })

// Elsewhere: `import type { tables }` is all that the client needs.
const remote = connect<typeof tables>({ url: server.url })
const feed = remote.accounts.watch()
await remote.accounts.insert({ id: 'a', owner: 'ada', balance: 10n })
await remote.accounts.insert({ id: 'b', owner: 'bob', balance: 0n })

await move(remote, 'a', 'b', 4n)
await move(local, 'b', 'a', 1n)
await move(remote, 'a', 'b', 100n).catch((error: unknown) => console.log(String(error)))
console.log(await remote.accounts.getMany(['a', 'b']))

let seen = 0
for await (const { kind, key, row } of feed) {
  console.log(kind, key, row?.balance)
  if (++seen === 6) break
}

await remote.close()
await server.close()
await local.close()
