// A process of `bench cluster` that calls a replicated system; of Holdfast, a node. It does what its
// parent asks for, one thing at a time. Started by lib/child.mjs.
//
//   node bench/cluster-worker.mjs SYSTEM FOLDER

/** @typedef {import('./clusters/cluster.mjs').ClusterClient} ClusterClient */
/** @typedef {import('./lib/measures.mjs').Round} Round */

/**
 * @typedef {{ type: 'round', name: string, callers: number, rows: number, ms: number }} RoundRequest
 * @typedef {{ type: 'open', options: unknown, seed: number }
 *   | { type: 'load', from: number, to: number }
 *   | RoundRequest
 *   | { type: 'pace', perSecond: number, rows: number, ms: number }
 *   | { type: 'total', rows: number }
 *   | { type: 'probe', everyMs: number, rows: number }
 *   | { type: 'pause', fromMs: number, toMs: number }
 *   | { type: 'close' }} ClusterRequest
 */

import { clusterNamed } from './clusters/cluster.mjs'
import { drive, localGets, loadRows } from './lib/measures.mjs'
import { pace, Probe } from './lib/pace.mjs'
import { idOf, itemOf, randomNumbers } from './lib/rows.mjs'

const [name = '', folder = ''] = process.argv.slice(2)
/** Rows that are read at once to add them up. */
const TOTAL_SLICE = 256

/** @type {ClusterClient} */
let client
/** @type {(limit: number) => number} */
let random
let version = 0
/** @type {Probe | undefined} */
let probe

/** @param {number} rows */
const put = (rows) => client.put(itemOf(random(rows), ++version))

/** @param {ClusterRequest} request @returns {Promise<unknown>} */
async function handle(request) {
  switch (request.type) {
    case 'open':
      random = randomNumbers(request.seed)
      client = await (await clusterNamed(name)).connect(request.options, folder)
      return undefined
    case 'load':
      return loadRows(client, request.from, request.to)
    case 'round':
      return round(request)
    case 'pace':
      return pace(request.perSecond, request.ms, () => put(request.rows))
    case 'total':
      return total(request.rows)
    case 'probe':
      probe = new Probe(request.everyMs, () => put(request.rows))
      return undefined
    case 'pause':
      return probe?.pause(request.fromMs, request.toMs)
    case 'close':
      await probe?.stop()
      await client.close()
      return undefined
  }
}

/** @param {RoundRequest} request @returns {Promise<Round>} */
async function round({ name: measure, callers, rows, ms }) {
  const kind = measure.slice(0, measure.lastIndexOf('.'))
  if (measure === 'get.local') return localGets(get('getLocal'), rows, ms)
  if (kind === 'put') return drive(measure, callers, ms, () => put(rows))
  if (kind === 'transfer') return transfers(measure, callers, rows, ms)
  const read = get(kind === 'get.session' ? 'getSession' : 'getLinearizable')
  // So that there is something of its own to be seen.
  if (kind === 'get.session') await put(rows)
  let missing = 0
  const taken = await drive(measure, callers, ms, async () => {
    const id = idOf(random(rows))
    if ((await read(id))?.id !== id) missing++
  })
  if (missing > 0) throw new Error(`${missing} rows were not found`)
  return taken
}

/** @param {'getLinearizable' | 'getSession' | 'getLocal'} call */
function get(call) {
  const read = client[call]
  if (read === undefined) throw new Error(`${name} has no ${call}`)
  return read
}

/** @param {string} measure @param {number} callers @param {number} rows @param {number} ms */
function transfers(measure, callers, rows, ms) {
  const { transfer } = client
  if (transfer === undefined) throw new Error(`${name} has no transactions`)
  return drive(measure, callers, ms, () => {
    const from = random(rows)
    const to = (from + 1 + random(rows - 1)) % rows
    return transfer(idOf(from), idOf(to))
  })
}

/** The balances of the first rows, added up. @param {number} rows */
async function total(rows) {
  const read = get('getLinearizable')
  let sum = 0
  for (let from = 0; from < rows; from += TOTAL_SLICE) {
    const length = Math.min(TOTAL_SLICE, rows - from)
    const items = await Promise.all(Array.from({ length }, async (_, i) => read(idOf(from + i))))
    for (const item of items) sum += item?.balance ?? 0
  }
  return sum
}

process.on('message', (request) => {
  handle(/** @type {ClusterRequest} */ (request)).then(
    (answer) => process.send?.({ answer }),
    (/** @type {unknown} */ error) =>
      process.send?.({
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
  )
})
process.on('disconnect', () => process.exit(1))
process.send?.({ answer: 'ready' })
