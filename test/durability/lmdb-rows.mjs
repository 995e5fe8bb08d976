/**
 * The rows that the lmdb-js workers write and the verifier looks for. Batch `id` sets ten rows of
 * its own and overwrites all hot rows, so that pages are freed and used again.
 */
import { join } from 'node:path'
import { open } from 'lmdb'

/** @typedef {import('lmdb').RootDatabase<{ id: number }, string>} Rows */

/**
 * The ways to open lmdb-js that are compared.
 * @type {Record<string, import('lmdb').RootDatabaseOptions>}
 */
const modes = {
  /** A commit is synced, then readable. */
  synced: { overlappingSync: false },
  'no-sync': { noSync: true },
  /** lmdb-js as it comes: a commit is readable, then synced. */
  overlapping: {},
  writemap: { overlappingSync: false, useWritemap: true },
}

/**
 * @param {string} folder
 * @param {string} mode
 * @returns {Rows}
 */
export function openRows(folder, mode) {
  return open({ path: join(folder, 'data.mdb'), ...modes[mode] })
}

const OWN_ROWS = 10
const HOT_ROWS = 40

/**
 * @param {Rows} db
 * @param {number} id
 */
export function putBatch(db, id) {
  return db.batch(() => {
    const own = { id, x: 'x'.repeat(200) }
    const hot = { id, y: 'y'.repeat(id % 300) }
    for (let row = 0; row < OWN_ROWS; row++) void db.put(`own:${id}:${row}`, own)
    for (let row = 0; row < HOT_ROWS; row++) void db.put(`hot:${row}`, hot)
  })
}

/**
 * The number of the last batch, or -1.
 * @param {Rows} db
 * @returns {number}
 */
export function lastBatch(db) {
  return db.get('hot:0')?.id ?? -1
}

/**
 * What is wrong with a database that promised these batches, as one line each.
 * @param {Rows} db
 * @param {readonly string[]} acked
 */
export function violationsIn(db, acked) {
  const violations = []
  for (const id of acked.map(Number)) {
    const missing = []
    for (let row = 0; row < OWN_ROWS; row++)
      if (db.get(`own:${id}:${row}`)?.id !== id) missing.push(row)
    if (missing.length > 0) violations.push(`ack ${id} lost: rows ${missing.join(' ')}`)
  }
  const last = lastBatch(db)
  const promised = Math.max(-1, ...acked.map(Number))
  if (last < promised) violations.push(`ack ${promised} lost: hot rows are at ${last}`)
  for (let row = 0; row < HOT_ROWS; row++) {
    const id = db.get(`hot:${row}`)?.id ?? -1
    if (id !== last) violations.push(`torn batch: hot:${row} is at ${id}, hot:0 at ${last}`)
  }
  let rows = 0
  for (const { key, value } of db.getRange()) {
    rows++
    if (typeof value?.id !== 'number') violations.push(`row ${key} is damaged`)
  }
  const whole = last < 0 ? 0 : HOT_ROWS + OWN_ROWS * (last + 1)
  if (rows !== whole) violations.push(`${rows} rows at batch ${last}, expected ${whole}`)
  return violations
}
