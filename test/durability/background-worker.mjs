/**
 * Writes numbered batches to a store that is flushed in the background, in a new folder, and says
 * `ack <n>` when a flush has taken batch `n` along: `background-worker.mjs <folder> <batches>`.
 */
import { writeSync } from 'node:fs'
import { systemEnv } from '../../dist/core/system-env.js'
import { openLmdbStore } from '../../dist/store/lmdb-store.js'
import { StoreBatch } from '../../dist/store/store.js'
import { pairsOf } from './journal-rows.mjs'

const [dir = '.', batches = '0'] = process.argv.slice(2)
const FLUSHED_EACH = 7

const store = openLmdbStore({ dir, env: systemEnv, segmentBytes: 1_500, flushing: 'background' })
/** @type {Promise<void>[]} */
const flushes = []
for (let n = 1; n <= Number(batches); n++) {
  const batch = new StoreBatch()
  for (const { key, value } of pairsOf(n)) {
    if (value === undefined) batch.remove(key)
    else batch.put(key, value)
  }
  const written = store.write(batch)
  // Writes go on while it is on its way.
  if (n % FLUSHED_EACH === 0)
    flushes.push(store.flush().then(() => void writeSync(1, `ack ${n}\n`)))
  await written
}
await Promise.all(flushes)
await store.close()
