/** What the database workers write, how they open, and what the verifier looks for. */
import { open, strong, unique, unvalidated } from '../../dist/index.js'
import { systemEnv } from '../../dist/core/system-env.js'
import { openLocalLog } from '../../dist/log/local-log.js'
import { Node } from '../../dist/shard/node.js'
import { openLmdbStore } from '../../dist/store/lmdb-store.js'
import { openDatabase } from '../../dist/table/database.js'

/** @typedef {{ id: string, code: string, text: string }} Row */
/** @typedef {{ id: string, n: number }} Count */

/** @type {import('../../dist/index.js').Unvalidated<Row>} */
const rowRow = unvalidated()
/** @type {import('../../dist/index.js').Unvalidated<Count>} */
const countRow = unvalidated()

const tables = {
  rows: strong({
    row: rowRow,
    key: 'id',
    indexes: { byText: 'text', byCode: unique('code') },
  }),
  counts: strong({
    row: countRow,
    key: 'id',
  }),
}

/** @param {string} dir */
export const openRows = (dir) => open({ dir, tables })

/**
 * The same database over a store that never syncs, for the proof that the test can fail; or over one
 * that begins a segment of its journal, and folds one, every few writes.
 * @param {string} dir
 * @param {{ unsafeNoSync: true } | { segmentBytes: number }} options
 */
export async function openOver(dir, options) {
  const store = openLmdbStore({ env: systemEnv, dir, ...options })
  const node = new Node({ env: systemEnv, store, openLog: openLocalLog })
  await node.start(4)
  const parts = { node, dir, onProgress: undefined, release: () => Promise.resolve() }
  return openDatabase(parts, tables)
}

/** @typedef {Awaited<ReturnType<typeof openRows>>} RowsDatabase */

/**
 * @param {RowsDatabase} db
 * @param {number} id
 */
export async function putOne(db, id) {
  await db.rows.put({ id: `p${id}`, code: `cp${id}`, text: 'x'.repeat(id % 400) })
}

/**
 * Two rows, and a count that everybody changes.
 * @param {RowsDatabase} db
 * @param {number} id
 */
export async function transactOne(db, id) {
  await db.transact(async (tx) => {
    await tx.rows.insert({ id: `t${id}`, code: `ct${id}`, text: 'y'.repeat(id % 300) })
    await tx.counts.put({ id: `t${id}`, n: id })
    tx.counts.increment('all', { n: 1 }, { create: { id: 'all', n: 0 } })
  })
}

/**
 * What is wrong with a database that promised these, as one line each.
 * @param {RowsDatabase} db
 * @param {readonly string[]} acked
 */
export async function violationsIn(db, acked) {
  const violations = []
  for (const id of acked) {
    if (!(await db.rows.has(id))) violations.push(`ack ${id} lost`)
    if (id.startsWith('t') && !(await db.counts.has(id))) violations.push(`ack ${id} lost a row`)
  }
  const whole = (await db.rows.query({ prefix: 't' }).toArray()).length
  const counted = (await db.counts.get('all'))?.n ?? 0
  const halves = await db.counts.count({ prefix: 't' })
  if (whole !== counted || whole !== halves) {
    violations.push(`torn: ${whole} rows, ${halves} beside them, ${counted} counted`)
  }
  const report = await db.check()
  for (const { where, what } of report.problems) violations.push(`${where} ${what}`)
  return violations
}
