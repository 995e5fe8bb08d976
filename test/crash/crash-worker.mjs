/**
 * Writes until it is killed, and says on stdout what it is about to do (`try`) and what was promised
 * to it (`ack`). It loads, says `ready`, and waits for a line {dir, life} to begin.
 */
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { ACCOUNTS, countOnce, openCrash, PARTS, START_BALANCE } from './crash-tables.mjs'

/** @typedef {import('./crash-tables.mjs').CrashDatabase} CrashDatabase */

/** @param {string} line */
const say = (line) => writeSync(1, `${line}\n`)

/**
 * @param {string} what
 * @param {() => Promise<unknown>} run
 */
async function tell(what, run) {
  say(`try ${what}`)
  await run()
  say(`ack ${what}`)
}

/** @param {number} below */
const dice = (below) => Math.floor(Math.random() * below)

/** @param {CrashDatabase} db */
async function found(db) {
  await db.transact(async (tx) => {
    if (await tx.accounts.has(0)) return
    for (let id = 0; id < ACCOUNTS; id++) await tx.accounts.put({ id, balance: START_BALANCE })
  })
}

/**
 * @param {CrashDatabase} db
 * @param {string} name
 */
async function transfers(db, name) {
  for (let n = 0; ; n++) {
    const id = `${name}.${n}`
    const [from, to, amount] = [dice(ACCOUNTS), dice(ACCOUNTS), BigInt(dice(50))]
    await tell(`transfer ${id}`, () =>
      db.transact(async (tx) => {
        await tx.accounts.update(from, (row) => ({ ...row, balance: row.balance - amount }))
        await tx.accounts.update(to, (row) => ({ ...row, balance: row.balance + amount }))
        await tx.transfers.insert({ id, from, to, amount })
      }),
    )
  }
}

/**
 * @param {CrashDatabase} db
 * @param {number} life
 */
async function items(db, life) {
  for (let n = 1; ; n += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, i) => item(db, life * 100_000 + n + i)))
  }
}

/**
 * @param {CrashDatabase} db
 * @param {number} id
 */
async function item(db, id) {
  const code = `c${id}`
  await tell(`item ${id}`, () => db.items.insert({ id, group: `g${id % 7}`, code }))
  if (id % 3 === 0) {
    await tell(`moved ${id}`, () => db.items.update(id, (row) => ({ ...row, code: `d${id}` })))
  } else if (id % 5 === 0) {
    await tell(`swapped ${id}`, () =>
      db.transact(async (tx) => {
        await tx.items.delete(id)
        await tx.items.insert({ id: -id, group: 'swapped', code })
      }),
    )
  }
}

/**
 * @param {CrashDatabase} db
 * @param {number} life
 */
async function sets(db, life) {
  for (let set = life * 10_000; ; set++) {
    await tell(`set ${set}`, () =>
      db.transact(async (tx) => {
        for (let part = 0; part < PARTS; part++) {
          await tx.parts.insert({ set, part, tag: `t${set % 5}` })
        }
      }),
    )
  }
}

/**
 * @param {CrashDatabase} db
 * @param {number} life
 */
async function hits(db, life) {
  const id = `hits.${life}`
  const create = { id, n: 0, seen: [] }
  for (let n = 1; ; n++) {
    await tell(`hit ${n}`, () =>
      n % 4 === 0
        ? db.counters.append(id, { seen: [n] }, { create })
        : db.counters.increment(id, { n: 1 }, { create }),
    )
  }
}

/**
 * @param {CrashDatabase} db
 * @param {number} life
 */
async function onces(db, life) {
  for (let n = 0; ; n++) await tell(`once ${life}-${n}`, () => countOnce(db, `${life}-${n}`))
}

say('ready')
for await (const line of createInterface({ input: process.stdin })) {
  /** @type {{ dir: string, life: number }} */
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the parent
  const { dir, life } = JSON.parse(line)
  const db = await openCrash(dir)
  say('opened')
  await found(db)
  await Promise.all([
    transfers(db, `${life}.a`),
    transfers(db, `${life}.b`),
    items(db, life),
    sets(db, life),
    hits(db, life),
    onces(db, life),
  ])
}
