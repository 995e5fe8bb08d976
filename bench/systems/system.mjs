// What each system does for the measures. A call may answer at once or with a promise, as is
// natural to it; a write's promise resolves when the write is on the disk.

/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {Record<string, unknown>} Row */

/**
 * @typedef {object} System
 * @property {(rows: readonly Item[]) => Promise<unknown> | void} load many rows, durable when it is done
 * @property {(row: Item) => Promise<unknown>} put
 * @property {(id: string) => Promise<Item | undefined> | Item | undefined} get
 * @property {(from: string, limit: number) => Promise<number> | number} scanRange decodes `limit` rows; says how many
 * @property {() => Promise<number> | number} scanAll decodes every row; says how many
 * @property {((id: string) => Promise<unknown>) | undefined} increment adds 1 to one balance: read, modify, write
 * @property {((from: string, to: string) => Promise<unknown>) | undefined} transfer moves 1 between two balances, in a transaction
 * @property {() => Promise<unknown> | void} close
 */

/**
 * A table of flights, for the import.
 * @typedef {object} FlightStore
 * @property {(rows: readonly Row[]) => Promise<unknown> | void} load
 * @property {() => Promise<number> | number} count
 * @property {() => Promise<unknown> | void} close
 */

/** @typedef {{ openItems(dir: string): Promise<System>, openFlights(dir: string): Promise<FlightStore> }} SystemModule */

/** A second form of a system, measured for writes beside it. */
export const FORMS = new Map([['better-sqlite3', 'better-sqlite3-grouped']])

export const SYSTEMS = ['holdfast', 'lmdb', 'better-sqlite3', 'classic-level']

/** @param {string} name @returns {Promise<SystemModule>} */
export async function systemNamed(name) {
  return /** @type {SystemModule} */ (await import(`./${name}.mjs`))
}
