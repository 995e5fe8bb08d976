// The process that one system is measured in: it does what its parent asks for, one thing at a
// time, and answers each request. Started by lib/child.mjs.
//
//   node bench/worker.mjs SYSTEM FOLDER

/** @typedef {import('./systems/system.mjs').System} System */

/**
 * @typedef {{ type: 'load', from: number, to: number }
 *   | { type: 'round', name: string, rows: number, ms: number }
 *   | { type: 'import', rows: number }
 *   | { type: 'reopen', rows: number }
 *   | { type: 'write', rows: number }
 *   | { type: 'close' }} Request
 */

import { fileURLToPath } from 'node:url'
import { loadRows, MEASURES } from './lib/measures.mjs'
import { idOf, itemOf } from './lib/rows.mjs'
import { systemNamed } from './systems/system.mjs'

const [name = '', dir = ''] = process.argv.slice(2)
const systems = await systemNamed(name)

/** @type {System | undefined} */
let opened

async function items() {
  opened ??= await systems.openItems(dir)
  return opened
}

/** @param {Request} request @returns {Promise<unknown>} */
async function handle(request) {
  switch (request.type) {
    case 'load':
      return loadRows(await items(), request.from, request.to)
    case 'round': {
      const measure = MEASURES[request.name]
      if (measure === undefined) throw new Error(`there is no measure ${request.name}`)
      return measure(await items(), request.rows, request.ms)
    }
    case 'import':
      return importFlights(request.rows)
    case 'reopen':
      return reopen(request.rows)
    case 'write':
      return write(await items(), request.rows)
    case 'close':
      await opened?.close()
      return undefined
  }
}

const FLIGHTS = fileURLToPath(
  new URL('../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url),
)
/** Rows that are written together, and acked together. */
const IMPORT_BATCH = 4000

/** @param {number} rowsMax */
async function importFlights(rowsMax) {
  const { openReader } = await import('../dist/cli/formats/open.js')
  const store = await systems.openFlights(dir)
  const start = performance.now()
  /** @type {number[]} */
  const batchMs = []
  /** @type {Record<string, unknown>[]} */
  let batch = []
  let rows = 0
  const flush = async () => {
    const before = performance.now()
    await store.load(batch)
    batchMs.push(performance.now() - before)
    rows += batch.length
    batch = []
  }
  for await (const { records } of (await openReader(FLIGHTS)).rows()) {
    for (const record of records) {
      if (record.error !== undefined) throw new Error(record.error)
      batch.push({ id: record.position, ...record.row })
    }
    if (batch.length >= IMPORT_BATCH) await flush()
    if (rows >= rowsMax) break
  }
  if (batch.length > 0) await flush()
  const elapsedMs = performance.now() - start
  const stored = await store.count()
  if (stored !== rows) throw new Error(`${rows} rows were imported, ${stored} are there`)
  await store.close()
  return { rows, elapsedMs, batchMs }
}

/** How long it takes from opening until a get, and until a put, is answered. @param {number} rows */
async function reopen(rows) {
  const start = performance.now()
  const system = await items()
  const openMs = performance.now() - start
  const row = await system.get(idOf(rows >> 1))
  const getMs = performance.now() - start
  if (row === undefined) throw new Error('a row is missing after the kill')
  await system.put(itemOf(rows >> 1, 1))
  return { openMs, getMs, putMs: performance.now() - start }
}

/** Writes until it is killed. @param {System} system @param {number} rows */
async function write(system, rows) {
  const measure = MEASURES['put.1024']
  await measure?.(system, rows, 3_600_000)
}

process.on('message', (/** @type {Request} */ request) => {
  handle(request).then(
    (answer) => process.send?.({ answer }),
    (/** @type {unknown} */ cause) => {
      process.send?.({
        error: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause),
      })
    },
  )
})
process.on('disconnect', () => process.exit(0))
process.send?.({ answer: 'ready' })
