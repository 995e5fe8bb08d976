/**
 * Reads stores that were tampered with, as far as that lets it live. For each line {dir} it answers
 * {violations: [what a full read gives, whether `check` found nothing]}.
 */
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { checkStore } from '../../dist/shard/check.js'
import { systemEnv } from '../../dist/core/system-env.js'
import { openLmdbStore } from '../../dist/store/lmdb-store.js'

/** @typedef {import('../../dist/store/store.js').Store} Store */

/**
 * All keys and values, by scan and by key.
 * @param {Store} store
 */
function fullRead(store) {
  const hash = createHash('sha1')
  /** @type {Uint8Array[]} */
  const keys = []
  store.scan({}, (key, value) => {
    hash.update(`${key.length} ${value.length}\n`).update(key).update(value)
    keys.push(Uint8Array.from(key))
  })
  for (const key of keys) {
    const value = store.get(key)
    hash.update(value === undefined ? 'none' : value)
  }
  return hash.digest('hex')
}

for await (const line of createInterface({ input: process.stdin })) {
  /** @type {{ dir: string }} */
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the parent
  const { dir } = JSON.parse(line)
  let read = 'refused'
  let check = 'found'
  let detail = ''
  try {
    const store = openLmdbStore({ env: systemEnv, dir })
    try {
      read = fullRead(store)
    } catch (error) {
      read = `throws ${String(error)}`
    }
    try {
      const report = await checkStore(store)
      if (report.ok) check = 'ok'
      detail = report.problems.map(({ where, what }) => `${where} ${what}`).join('; ')
    } catch (error) {
      detail = `throws ${String(error)}`
    }
    await store.close()
  } catch (error) {
    detail = `refused ${String(error)}`
  }
  process.stdout.write(`${JSON.stringify({ violations: [read, check, detail.slice(0, 300)] })}\n`)
}
