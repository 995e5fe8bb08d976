// Closed loops over connections of one caller each, for the systems that are not asked over HTTP.

import { drive } from '../lib/measures.mjs'
import { idOf, itemOf, randomNumbers } from '../lib/rows.mjs'
import { BULK_ROWS } from './service.mjs'

/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('./service.mjs').Load} Load */

/**
 * @typedef {object} Connection
 * @property {(id: string) => Promise<unknown>} get
 * @property {(item: Item) => Promise<unknown>} put
 * @property {(items: readonly Item[]) => Promise<unknown>} bulk
 * @property {() => Promise<unknown> | void} close
 */

const random = randomNumbers(20_261_122)
let version = 0

/** @param {Load} load @param {(url: string) => Promise<Connection>} open @returns {Promise<import('./service.mjs').Round>} */
export async function loopRound({ url, name, connections, rows, ms }, open) {
  const all = await Promise.all(Array.from({ length: connections }, () => open(url)))
  const item = () => itemOf(random(rows), ++version)
  const free = [...all]
  const call = async () => {
    const connection = /** @type {Connection} */ (free.pop())
    if (name === 'get') await connection.get(idOf(random(rows)))
    else if (name === 'put') await connection.put(item())
    else await connection.bulk(Array.from({ length: BULK_ROWS }, item))
    free.push(connection)
  }
  const round = await drive(name, connections, ms, call)
  for (const connection of all) await connection.close()
  return { ...round, operations: round.operations * (name === 'bulk' ? BULK_ROWS : 1) }
}

/** Fills an empty system with `rows` rows. @param {Connection} connection @param {number} rows */
export async function loadRows(connection, rows) {
  for (let from = 0; from < rows; from += BULK_ROWS) {
    const length = Math.min(BULK_ROWS, rows - from)
    await connection.bulk(Array.from({ length }, (_, i) => itemOf(from + i, 0)))
  }
}

/** When a row in JSON says that it was sent. @param {string} text */
export const sentMsOf = (text) =>
  /** @type {import('./service.mjs').SentItem} */ (JSON.parse(text)).sentMs
