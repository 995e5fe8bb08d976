/**
 * Writes rows to a bare store until a sync fails, opens the folder again, acks each row it reads, and
 * ends without closing it: `store-failing-worker.mjs <folder>`.
 */
import { writeSync } from 'node:fs'
import { systemEnv } from '../../dist/core/system-env.js'
import { openLmdbStore } from '../../dist/store/lmdb-store.js'
import { StoreBatch } from '../../dist/store/store.js'

const ROWS = 12
const [folder = '.'] = process.argv.slice(2)

/** @param {number} id */
function rowOf(id) {
  const batch = new StoreBatch()
  batch.put(Buffer.from(`row ${String(id).padStart(6, '0')}`), Buffer.alloc(300, id))
  return batch
}

const failing = openLmdbStore({ env: systemEnv, dir: folder })
let failed = false
for (let id = 0; id < ROWS && !failed; id++) {
  await failing.write(rowOf(id)).catch(() => (failed = true))
}
if (!failed) throw new Error('no sync failed')
await failing.close()

const store = openLmdbStore({ env: systemEnv, dir: folder })
let next = 0
store.scan({}, (key) => {
  next = Number(Buffer.from(key).toString().slice(4)) + 1
})
for (let id = 0; id < next; id++) writeSync(1, `ack ${id}\n`)
for (let more = 0; more < 3; more++) {
  await store.write(rowOf(next))
  writeSync(1, `ack ${next++}\n`)
}
process.exit()
