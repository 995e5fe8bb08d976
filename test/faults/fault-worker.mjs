/**
 * Does to a database what it is told, one order of JSON a line, and answers each with a line.
 *
 *   {do: 'open', dir}           `opened`, or `refused <code> <details>`
 *   {do: 'write', writes}       `ack <id>` or `fail <id> <code> <applied>` for each, then `done`
 *   {do: 'close'}               `closed`
 */
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { HoldfastError, open, strong, unvalidated } from '../../dist/index.js'

/** @typedef {{ id: string, text: string, group?: number }} Row */

/** @type {import('../../dist/index.js').Unvalidated<Row>} */
const rowRow = unvalidated()

/** @param {string} dir */
const openRows = (dir) =>
  open({
    dir,
    tables: {
      rows: strong({
        row: rowRow,
        key: 'id',
        indexes: { byGroup: 'group' },
      }),
    },
  })

/** @param {string} line */
const say = (line) => writeSync(1, `${line}\n`)

/** @type {Awaited<ReturnType<typeof openRows>> | undefined} */
let db
let next = 0

/** @param {string} dir */
async function openAt(dir) {
  try {
    db = await openRows(dir)
    say('opened')
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error
    say(`refused ${error.code} ${JSON.stringify(error.details)}`)
  }
}

async function writeOne() {
  const id = `r${next++}`
  try {
    await db?.rows.put({ id, text: 'x'.repeat(next % 200), group: next % 7 })
    say(`ack ${id}`)
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error
    say(`fail ${id} ${error.code} ${error.applied}`)
  }
}

/** @param {number} writes */
async function writeAll(writes) {
  const lane = async () => {
    for (let n = 0; n < writes; n++) await writeOne()
  }
  await Promise.all([lane(), lane(), lane()])
  say('done')
}

say('ready')
for await (const line of createInterface({ input: process.stdin })) {
  /** @type {{ do: string, dir: string, writes: number }} */
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the parent
  const order = JSON.parse(line)
  if (order.do === 'open') await openAt(order.dir)
  else if (order.do === 'write') await writeAll(order.writes)
  else {
    await db?.close()
    say('closed')
  }
}
