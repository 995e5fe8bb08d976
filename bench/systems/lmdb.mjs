// lmdb-js, the version that Holdfast depends on, with its default encoding (MessagePack).
//
// Options for writes: there are two honest ones, and the faster of them counts in each measure
// (HOLDFAST_BENCH_LMDB says which one this process is).
//   plain    overlappingSync off: the put's own promise resolves once the commit is synced
//   overlap  overlappingSync (the default on Linux); an ack waits for `flushed`, since a commit is
//            readable some milliseconds before it is on the disk

/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('./system.mjs').Row} Row */
/** @typedef {import('./system.mjs').System} System */
/** @typedef {import('./system.mjs').FlightStore} FlightStore */

import { open } from 'lmdb'

const overlap = process.env['HOLDFAST_BENCH_LMDB'] === 'overlap'

/** @param {string} dir @returns {Promise<System>} */
export async function openItems(dir) {
  /** @type {import('lmdb').RootDatabase<Item, string>} */
  const db = open({ path: `${dir}/data.mdb`, overlappingSync: overlap })
  const flushed = async (/** @type {Promise<unknown>} */ committed) => {
    await committed
    await db.flushed
  }
  const synced = overlap ? flushed : (/** @type {Promise<unknown>} */ committed) => committed
  return {
    load: async (rows) => {
      let last = Promise.resolve(true)
      for (const row of rows) last = db.put(row.id, row)
      await synced(last)
    },
    put: (row) => synced(db.put(row.id, row)),
    get: (id) => db.get(id),
    scanRange: (from, limit) => countRows(db.getRange({ start: from, limit })),
    scanAll: () => countRows(db.getRange()),
    increment: (id) =>
      synced(
        db.transaction(() => {
          const row = /** @type {Item} */ (db.get(id))
          void db.put(id, { ...row, balance: row.balance + 1 })
        }),
      ),
    transfer: (from, to) =>
      synced(
        db.transaction(() => {
          const a = /** @type {Item} */ (db.get(from))
          const b = /** @type {Item} */ (db.get(to))
          void db.put(from, { ...a, balance: a.balance - 1 })
          void db.put(to, { ...b, balance: b.balance + 1 })
        }),
      ),
    close: () => db.close(),
  }
}

/** @param {Iterable<{ key: string, value: Item }>} range */
function countRows(range) {
  let rows = 0
  for (const { value } of range) rows += value.id === '' ? 0 : 1
  return rows
}

/** @param {string} dir @returns {Promise<FlightStore>} */
export async function openFlights(dir) {
  /** @type {import('lmdb').RootDatabase<Row, number>} */
  const db = open({ path: `${dir}/data.mdb`, overlappingSync: false })
  return {
    load: async (rows) => {
      let last = Promise.resolve(true)
      for (const row of rows) last = db.put(Number(row['id']), row)
      await last
    },
    count: () => Number(/** @type {{ entryCount: number }} */ (db.getStats()).entryCount),
    close: () => db.close(),
  }
}
