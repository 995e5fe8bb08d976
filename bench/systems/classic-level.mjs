// LevelDB with JSON values and { sync: true }. It runs each call on a thread, so what callers put
// while a batch is under way goes in the next batch; it has no transactions.

/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('./system.mjs').Row} Row */
/** @typedef {import('./system.mjs').System} System */
/** @typedef {import('./system.mjs').FlightStore} FlightStore */

/**
 * What is used of classic-level.
 * @typedef {{ type: 'put', key: string, value: unknown }} PutOp
 * @typedef {object} Level
 * @property {() => Promise<void>} open
 * @property {(ops: readonly PutOp[], options: { sync: boolean }) => Promise<void>} batch
 * @property {(key: string) => unknown} getSync
 * @property {(options?: { gte?: string, limit?: number }) => AsyncIterable<unknown> & { all(): Promise<unknown[]> }} values
 * @property {() => AsyncIterable<unknown>} keys
 * @property {() => Promise<void>} close
 */

import { GroupCommit } from '../lib/group-commit.mjs'

const SYNC = { sync: true }

/** @param {string} dir @returns {Promise<Level>} */
async function openFolder(dir) {
  const name = 'classic-level'
  const { ClassicLevel } =
    /** @type {{ ClassicLevel: new (path: string, options: object) => Level }} */ (
      await import(name)
    )
  const db = new ClassicLevel(`${dir}/level`, { valueEncoding: 'json' })
  await db.open()
  return db
}

/** @param {Item} row @returns {PutOp} */
const putOp = (row) => ({ type: 'put', key: row.id, value: row })

/** @param {string} dir @returns {Promise<System>} */
export async function openItems(dir) {
  const db = await openFolder(dir)
  const puts = new GroupCommit((/** @type {readonly Item[]} */ rows) =>
    db.batch(rows.map(putOp), SYNC),
  )
  return {
    load: (rows) => db.batch(rows.map(putOp), SYNC),
    put: (row) => puts.add(row),
    get: (id) => /** @type {Item | undefined} */ (db.getSync(id)),
    scanRange: async (from, limit) => (await db.values({ gte: from, limit }).all()).length,
    scanAll: async () => {
      let rows = 0
      for await (const row of db.values()) rows += /** @type {Item} */ (row).id === '' ? 0 : 1
      return rows
    },
    increment: undefined,
    transfer: undefined,
    close: () => db.close(),
  }
}

/** @param {string} dir @returns {Promise<FlightStore>} */
export async function openFlights(dir) {
  const db = await openFolder(dir)
  return {
    load: (rows) =>
      db.batch(
        rows.map((row) => ({
          type: /** @type {const} */ ('put'),
          key: String(row['id']).padStart(8, '0'),
          value: row,
        })),
        SYNC,
      ),
    count: async () => {
      let rows = 0
      for await (const key of db.keys()) rows += key === '' ? 0 : 1
      return rows
    },
    close: () => db.close(),
  }
}
