/**
 * Writes to a database and acks what it was promised: `database-worker.mjs <folder> <mode> <writes>`.
 * Mode `synced` is the database as everyone opens it, `no-sync` one whose store never syncs.
 */
import { writeSync } from 'node:fs'
import { openRows, openUnsynced, putOne, transactOne } from './database-rows.mjs'

const [folder = '.', mode = 'synced', writes = '60'] = process.argv.slice(2)
const db = await (mode === 'no-sync' ? openUnsynced(folder) : openRows(folder))

let next = 0
async function lane() {
  while (next < Number(writes)) {
    const id = next++
    await (id % 2 === 0 ? putOne(db, id) : transactOne(db, id))
    writeSync(1, `ack ${id % 2 === 0 ? 'p' : 't'}${id}\n`)
  }
}
// Five at a time: while one is acked, others are written.
await Promise.all([lane(), lane(), lane(), lane(), lane()])
await db.close()
