// The measures of one open system that run in rounds: closed loops of callers, each of whom makes
// its next call when it has its answer.

/** @typedef {import('../systems/system.mjs').System} System */
/** @typedef {{ name: string, operations: number, elapsedMs: number, latencies: Histogram }} Round */
/** @typedef {(system: System, rows: number, ms: number) => Promise<Round[]>} Measure */

import { setImmediate as turn } from 'node:timers/promises'
import { Histogram } from './histogram.mjs'
import { idOf, itemOf, randomNumbers } from './rows.mjs'

const random = randomNumbers(20_260_807)
const HOT = 7
const HIGH_ROWS = 10
/** Calls that answer at once leave the event loop a turn after this many. */
const TURN_EVERY = 1024
const RANGE = 100

let version = 0
let increments = 0

/**
 * @param {string} name
 * @param {number} callers
 * @param {number} ms
 * @param {() => unknown} call
 * @returns {Promise<Round>}
 */
export async function drive(name, callers, ms, call) {
  const latencies = new Histogram()
  const start = performance.now()
  const end = start + ms
  let operations = 0
  const caller = async () => {
    for (let before = performance.now(); before < end;) {
      await call()
      const now = performance.now()
      latencies.add(now - before)
      before = now
      if (++operations % TURN_EVERY === 0) await turn()
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  return { name, operations, elapsedMs: performance.now() - start, latencies }
}

/** @param {number} callers @returns {Measure} */
const puts = (callers) => async (system, rows, ms) => {
  const put = () => system.put(itemOf(random(rows), ++version))
  return [await drive(`put.${callers}`, callers, ms, put)]
}

/**
 * One caller, who awaits only what has to be awaited.
 * @param {System['get']} get
 * @param {number} rows
 * @param {number} ms
 * @returns {Promise<Round>}
 */
export async function localGets(get, rows, ms) {
  const latencies = new Histogram()
  const start = performance.now()
  const end = start + ms
  let operations = 0
  let missing = 0
  for (let before = start; before < end;) {
    const id = idOf(random(rows))
    const found = get(id)
    const row = found instanceof Promise ? await found : found
    if (row?.id !== id) missing++
    const now = performance.now()
    latencies.add(now - before)
    before = now
    if (++operations % TURN_EVERY === 0) await turn()
  }
  if (missing > 0) throw new Error(`${missing} rows were not found`)
  return { name: 'get.local', operations, elapsedMs: performance.now() - start, latencies }
}

/** @type {Measure} */
async function freshGets(system, rows, ms) {
  return [await drive('get.linearizable.64', 64, ms, () => system.get(idOf(random(rows))))]
}

/** Half the time ranges of 100 rows, half the time the whole table. Operations are rows. @type {Measure} */
async function scans(system, rows, ms) {
  const some = await scan('scan.100', ms / 2, () =>
    system.scanRange(idOf(random(Math.max(1, rows - RANGE))), RANGE),
  )
  const all = await scan('scan.all', ms / 2, () => system.scanAll())
  const both = {
    name: 'scan',
    operations: some.operations + all.operations,
    elapsedMs: some.elapsedMs + all.elapsedMs,
    latencies: some.latencies,
  }
  return [both, some, all]
}

/**
 * @param {string} name
 * @param {number} ms
 * @param {() => Promise<number> | number} walk
 * @returns {Promise<Round>}
 */
async function scan(name, ms, walk) {
  const latencies = new Histogram()
  const start = performance.now()
  const end = start + ms
  let operations = 0
  for (let before = start; before < end;) {
    const walked = walk()
    operations += typeof walked === 'number' ? walked : await walked
    const now = performance.now()
    latencies.add(now - before)
    before = now
    await turn()
  }
  return { name, operations, elapsedMs: performance.now() - start, latencies }
}

/** @type {Measure} */
async function hotUpdates(system, _rows, ms) {
  const { increment } = system
  if (increment === undefined) return []
  const round = await drive('update.hot', 64, ms, () => increment(idOf(HOT)))
  increments += round.operations
  const row = await system.get(idOf(HOT))
  if (row?.balance !== 1000 + increments) {
    throw new Error(`${increments} increments made ${row?.balance} of 1000`)
  }
  return [round]
}

/** @param {string} name @param {(rows: number) => number} among @returns {Measure} */
const transfers = (name, among) => async (system, rows, ms) => {
  const { transfer } = system
  if (transfer === undefined) return []
  const count = among(rows)
  const round = await drive(name, 64, ms, () => {
    const from = random(count)
    const to = (from + 1 + random(count - 1)) % count
    return transfer(idOf(from), idOf(to))
  })
  let total = 0
  for (let n = 0; n < count; n++) total += (await system.get(idOf(n)))?.balance ?? 0
  if (total !== count * 1000) throw new Error(`transfers made ${total} of ${count * 1000}`)
  return [round]
}

/** @type {Record<string, Measure>} */
export const MEASURES = {
  'put.1': puts(1),
  'put.64': puts(64),
  'put.1024': puts(1024),
  'get.local': async (system, rows, ms) => [await localGets(system.get, rows, ms)],
  'get.linearizable.64': freshGets,
  scan: scans,
  'update.hot': hotUpdates,
  'transfer.low': transfers('transfer.low', (rows) => rows),
  'transfer.high': transfers('transfer.high', () => HIGH_ROWS),
}

const LOAD_SLICE = 10_000

/** Adds the rows [from, to). @param {Pick<System, 'load'>} system @param {number} from @param {number} to */
export async function loadRows(system, from, to) {
  for (let at = from; at < to; at += LOAD_SLICE) {
    const length = Math.min(LOAD_SLICE, to - at)
    await system.load(Array.from({ length }, (_, i) => itemOf(at + i, 0)))
  }
}
