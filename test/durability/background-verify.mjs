/** Answers for crash images whether whole batches are there, and all that a flush took along. */
import { createInterface } from 'node:readline'
import { systemEnv } from '../../dist/core/system-env.js'
import { openLmdbStore } from '../../dist/store/lmdb-store.js'
import { StoreBatch } from '../../dist/store/store.js'
import { pairsOf, stateOf } from './journal-rows.mjs'

/** @param {string} dir */
const open = (dir) => openLmdbStore({ dir, env: systemEnv, flushing: 'background' })

for await (const line of createInterface({ input: process.stdin })) {
  /** @type {{ dir: string, acked: string[] }} */
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the parent
  const { dir, acked } = JSON.parse(line)
  const violations = []
  try {
    let store = open(dir)
    const state = stateOf(store)
    const least = Math.max(0, ...acked.map(Number))
    if (!(Number(state) >= least)) violations.push(`${state} is there, ${least} was flushed`)
    // It goes on from there, and is found again.
    const batch = new StoreBatch()
    for (const { key, value } of pairsOf(Number(state) + 1)) {
      if (value === undefined) batch.remove(key)
      else batch.put(key, value)
    }
    await store.write(batch)
    await store.close()
    store = open(dir)
    const after = stateOf(store)
    if (after !== `${Number(state) + 1}`) violations.push(`${after} follows ${state}`)
    await store.close()
  } catch (error) {
    violations.push(`cannot be opened or read: ${String(error)}`)
  }
  process.stdout.write(`${JSON.stringify({ violations })}\n`)
}
