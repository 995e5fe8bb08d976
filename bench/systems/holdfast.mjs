// Holdfast itself, as built in dist/. Rows without a schema, as the peers have none.

/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('./system.mjs').Row} Row */
/** @typedef {import('./system.mjs').System} System */
/** @typedef {import('./system.mjs').FlightStore} FlightStore */

import { open, strong, unvalidated } from '../../dist/index.js'

/** @param {readonly { ok: boolean, error?: unknown }[]} results */
function allOk(results) {
  for (const result of results) if (!result.ok) throw result.error
}

/** @param {string} dir @returns {Promise<System>} */
export async function openItems(dir) {
  /** @type {import('../../dist/index.js').Unvalidated<Item>} */
  const row = unvalidated()
  const db = await open({ dir, tables: { items: strong({ row, key: 'id' }) } })
  const { items } = db
  const local = /** @type {const} */ ({ level: 'local' })
  return {
    load: async (rows) => allOk(await items.putMany(rows)),
    put: (row) => items.put(row),
    get: (id) => items.get(id, local),
    scanRange: async (from, limit) => (await items.query({ gte: from, limit }).toArray()).length,
    scanAll: async () => {
      let rows = 0
      for await (const item of items.query()) rows += item.id === '' ? 0 : 1
      return rows
    },
    increment: (id) => items.update(id, (row) => ({ ...row, balance: row.balance + 1 })),
    transfer: (from, to) =>
      db.transact(async (tx) => {
        const a = /** @type {Item} */ (await tx.items.get(from))
        const b = /** @type {Item} */ (await tx.items.get(to))
        await tx.items.put({ ...a, balance: a.balance - 1 })
        await tx.items.put({ ...b, balance: b.balance + 1 })
      }),
    close: () => db.close(),
  }
}

/** @param {string} dir @returns {Promise<FlightStore>} */
export async function openFlights(dir) {
  const db = await open({ dir, tables: { flights: strong({ key: 'id' }) } })
  const flights = db.table('flights')
  return {
    load: async (rows) =>
      allOk(await flights.putMany(/** @type {Parameters<typeof flights.putMany>[0]} */ (rows))),
    count: () => flights.count(),
    close: () => db.close(),
  }
}
