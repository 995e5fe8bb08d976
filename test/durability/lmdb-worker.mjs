/**
 * Writes batches to a bare lmdb-js database and acks each when its promise resolves:
 * `lmdb-worker.mjs <folder> <mode> <batches> [sync-folder]`.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { openRows, putBatch } from './lmdb-rows.mjs'

const [folder = '.', mode = 'synced', batches = '50', syncFolder] = process.argv.slice(2)
const db = openRows(folder, mode)
if (syncFolder) {
  const fd = openSync(folder, 'r')
  fsyncSync(fd)
  closeSync(fd)
}

let next = 0
async function lane() {
  while (next < Number(batches)) {
    const id = next++
    await putBatch(db, id)
    writeSync(1, `ack ${id}\n`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
// Three at a time: while one is acked, others are written.
await Promise.all([lane(), lane(), lane()])
await db.close()
