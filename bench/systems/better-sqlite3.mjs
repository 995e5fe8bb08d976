// SQLite in WAL mode with synchronous=FULL: a commit is on the disk when it returns. Fields are
// columns. Each call is a transaction of its own, as its synchronous API has it;
// better-sqlite3-grouped.mjs is the same with a group commit made by hand.

/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('./system.mjs').Row} Row */
/** @typedef {import('./system.mjs').System} System */
/** @typedef {import('./system.mjs').FlightStore} FlightStore */

/**
 * What is used of better-sqlite3, which has no typings of its own.
 * @typedef {object} Statement
 * @property {(...values: unknown[]) => unknown} run
 * @property {(...values: unknown[]) => unknown} get
 * @property {(...values: unknown[]) => unknown[]} all
 * @property {(...values: unknown[]) => Iterable<unknown>} iterate
 * @typedef {object} Sqlite
 * @property {(sql: string) => Statement} prepare
 * @property {(sql: string) => unknown} exec
 * @property {(sql: string) => unknown} pragma
 * @property {<A extends unknown[]>(body: (...args: A) => void) => (...args: A) => void} transaction
 * @property {() => unknown} close
 */

import { GroupCommit } from '../lib/group-commit.mjs'

const CACHE_KIB = 256 * 1024

/** @param {string} dir @returns {Promise<Sqlite>} */
async function openFile(dir) {
  const name = 'better-sqlite3'
  const { default: Database } = /** @type {{ default: new (path: string) => Sqlite }} */ (
    await import(name)
  )
  const db = new Database(`${dir}/data.sqlite`)
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.pragma(`cache_size = -${CACHE_KIB}`)
  return db
}

/** @param {string} dir @returns {Promise<System>} */
export const openItems = (dir) => openItemsWith(dir, false)

/**
 * @param {string} dir
 * @param {boolean} isGrouped what callers ask for in one turn of the event loop goes in one transaction
 * @returns {Promise<System>}
 */
export async function openItemsWith(dir, isGrouped) {
  const db = await openFile(dir)
  db.exec(`create table if not exists items (id text primary key, owner text not null,
    balance integer not null, updated integer not null, note text not null) without rowid`)
  const upsert = db.prepare('insert or replace into items values (?, ?, ?, ?, ?)')
  const select = db.prepare('select * from items where id = ?')
  const range = db.prepare('select * from items where id >= ? order by id limit ?')
  const all = db.prepare('select * from items order by id')
  const get = (/** @type {string} */ id) => /** @type {Item | undefined} */ (select.get(id))
  const put = (/** @type {Item} */ { id, owner, balance, updated, note }) => {
    upsert.run(id, owner, balance, updated, note)
  }
  const putAll = db.transaction((/** @type {readonly Item[]} */ rows) => rows.forEach(put))
  const runAll = db.transaction((/** @type {readonly (() => void)[]} */ works) => {
    for (const work of works) work()
  })
  const puts = new GroupCommit(putAll)
  const works = new GroupCommit(runAll)
  const run = async (/** @type {() => void} */ work) => {
    if (isGrouped) await works.add(work)
    else runAll([work])
  }
  const add = (/** @type {string} */ id, /** @type {number} */ amount) => {
    const row = /** @type {Item} */ (get(id))
    put({ ...row, balance: row.balance + amount })
  }
  return {
    load: (rows) => putAll(rows),
    put: async (row) => (isGrouped ? puts.add(row) : put(row)),
    get,
    scanRange: (from, limit) => range.all(from, limit).length,
    scanAll: () => {
      let rows = 0
      for (const row of all.iterate()) rows += /** @type {Item} */ (row).id === '' ? 0 : 1
      return rows
    },
    increment: (id) => run(() => add(id, 1)),
    transfer: (from, to) =>
      run(() => {
        add(from, -1)
        add(to, 1)
      }),
    close: () => void db.close(),
  }
}

/** @param {string} dir @returns {Promise<FlightStore>} */
export async function openFlights(dir) {
  const db = await openFile(dir)
  /** @type {Statement | undefined} */
  let insert
  /** @type {string[]} */
  let fields = []
  const putAll = db.transaction((/** @type {readonly Row[]} */ rows) => {
    for (const row of rows) insert?.run(...fields.map((field) => cell(row[field])))
  })
  return {
    load: (rows) => {
      if (insert === undefined) {
        fields = Object.keys(rows[0] ?? {})
        const columns = fields.map((field) => (field === 'id' ? 'id integer primary key' : field))
        db.exec(`create table flights (${columns.join(', ')})`)
        insert = db.prepare(`insert into flights values (${fields.map(() => '?').join(', ')})`)
      }
      putAll(rows)
    },
    count: () =>
      /** @type {{ n: number }} */ (db.prepare('select count(*) n from flights').get()).n,
    close: () => void db.close(),
  }
}

/** SQLite has no dates. @param {unknown} value */
function cell(value) {
  if (value instanceof Date) return value.getTime()
  return typeof value === 'boolean' ? Number(value) : value
}
