/**
 * Moves money about in a folder until it is killed: a line `ready` once it does. What it
 * starts from is put there by itself.
 */
import { open, strong, unvalidated } from '../../dist/index.js'

/** @typedef {{ id: number, balance: number }} Account */
/** @typedef {{ id: number, from: number, to: number, text: string }} Move */

const [dir = '', accounts = '8'] = process.argv.slice(2)
const tables = {
  accounts: strong({
    row: /** @type {typeof unvalidated<Account>} */ (unvalidated)(),
    key: 'id',
  }),
  moves: strong({ row: /** @type {typeof unvalidated<Move>} */ (unvalidated)(), key: 'id' }),
}
const db = await open({ dir, tables, shards: 4 })
const count = Number(accounts)
await db.accounts.putMany(Array.from({ length: count }, (_, id) => ({ id, balance: 100 })))
let moves = 0

const dice = () => Math.floor(Math.random() * count)

async function move() {
  for (;;) {
    const [from, to] = [dice(), dice()]
    await db.transact(async (tx) => {
      const id = moves++
      await tx.accounts.update(from, (row) => ({ ...row, balance: row.balance - 1 }))
      await tx.accounts.update(to, (row) => ({ ...row, balance: row.balance + 1 }))
      await tx.moves.put({ id, from, to, text: 'x'.repeat(200) })
    })
  }
}

process.stdout.write('ready\n')
await Promise.all(Array.from({ length: 32 }, move))
