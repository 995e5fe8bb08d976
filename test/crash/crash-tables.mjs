/** The tables of the crash tests, and how they are opened by the killed and by who comes after. */
import { open, strong, unique, unvalidated } from '../../dist/index.js'

/** @typedef {{ id: number, balance: bigint }} Account */
/** @typedef {{ id: string, from: number, to: number, amount: bigint }} Transfer */
/** @typedef {{ id: number, group: string, code: string, note?: string }} Item */
/** @typedef {{ set: number, part: number, tag: string }} Part */
/** @typedef {{ id: string, n: number, seen: number[] }} Counter */

/** @type {import('../../dist/index.js').Unvalidated<Account>} */
const accountRow = unvalidated()
/** @type {import('../../dist/index.js').Unvalidated<Transfer>} */
const transferRow = unvalidated()
/** @type {import('../../dist/index.js').Unvalidated<Item>} */
const itemRow = unvalidated()
/** @type {import('../../dist/index.js').Unvalidated<Part>} */
const partRow = unvalidated()
/** @type {import('../../dist/index.js').Unvalidated<Counter>} */
const counterRow = unvalidated()

export const ACCOUNTS = 8
export const START_BALANCE = 1_000n
export const PARTS = 12

/** @param {string} dir */
export function openCrash(dir) {
  return open({
    dir,
    tables: {
      accounts: strong({
        row: accountRow,
        key: 'id',
      }),
      transfers: strong({
        row: transferRow,
        key: 'id',
        indexes: { byFrom: 'from' },
      }),
      items: strong({
        row: itemRow,
        key: 'id',
        indexes: { byGroup: 'group', byCode: unique('code') },
      }),
      parts: strong({
        row: partRow,
        key: ['set', 'part'],
        indexes: { byTag: 'tag' },
      }),
      counters: strong({
        row: counterRow,
        key: 'id',
      }),
    },
  })
}

/** @typedef {Awaited<ReturnType<typeof openCrash>>} CrashDatabase */

/**
 * Exactly once, however often it is called with the same key: adds 1 to the counter `once`.
 * @param {CrashDatabase} db
 * @param {string} key
 */
export function countOnce(db, key) {
  return db.transact(
    (tx) => {
      tx.counters.increment('once', { n: 1 }, { create: { id: 'once', n: 0, seen: [] } })
      return key
    },
    { idempotencyKey: key, request: key },
  )
}
