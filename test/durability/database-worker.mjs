/**
 * Writes to a database and acks what it was promised: `database-worker.mjs <folder> <mode> <writes>`.
 * Mode `synced` is the database as everyone opens it, `no-sync` one whose store never syncs, and
 * `folding` one whose journal is in tiny segments.
 */
import { writeSync } from 'node:fs'
import { openOver, openRows, putOne, transactOne } from './database-rows.mjs'

const [folder = '.', mode = 'synced', writes = '60'] = process.argv.slice(2)

function openAs() {
  if (mode === 'no-sync') return openOver(folder, { unsafeNoSync: true })
  return mode === 'folding' ? openOver(folder, { segmentBytes: 3_000 }) : openRows(folder)
}
const db = await openAs()

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
