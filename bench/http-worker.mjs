// A process of `bench http`: a server, the load on one, or the readers of its feeds. It does what
// its parent asks for, one thing at a time. Started by lib/child.mjs.
//
//   node bench/http-worker.mjs SYSTEM FOLDER

/** @typedef {import('./services/service.mjs').Readers} Readers */
/** @typedef {import('./services/service.mjs').Writer} Writer */

/**
 * @typedef {{ type: 'serve', rows: number }
 *   | ({ type: 'round' } & import('./services/service.mjs').Load)
 *   | { type: 'write', url: string, rows: number, perSecond: number, ms: number }
 *   | { type: 'read', url: string, count: number }
 *   | { type: 'collect', fromMs: number, expected: number }
 *   | { type: 'close' }} HttpRequest
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { Histogram } from './lib/histogram.mjs'
import { itemOf, randomNumbers } from './lib/rows.mjs'
import { serviceNamed, sharedNowMs } from './services/service.mjs'

const [name = '', folder = ''] = process.argv.slice(2)
const random = randomNumbers(4711)

/** @type {{ close(): Promise<unknown> | unknown }[]} */
const opened = []

/** @param {HttpRequest} request @returns {Promise<unknown>} */
async function handle(request) {
  switch (request.type) {
    case 'serve':
      return serve(request.rows)
    case 'round':
      return (await serviceNamed(name)).round(request)
    case 'write':
      return write(request)
    case 'read':
      return read(request.url, request.count)
    case 'collect':
      return collect(request.fromMs, request.expected)
    case 'close':
      for (const one of opened.toReversed()) await one.close()
      return undefined
  }
}

/** @param {number} rows @returns {Promise<string>} */
async function serve(rows) {
  const { HTTP_SERVERS } = await import('./services/http-servers.mjs')
  const start = HTTP_SERVERS[name]
  if (start === undefined) throw new Error(`there is no HTTP server ${name}`)
  const server = await start(folder, rows)
  opened.push(server)
  return server.url
}

// --- feeds ---

/** Writes at a rate, whether or not earlier ones have their acks. @param {Extract<HttpRequest, { type: 'write' }>} request */
async function write({ url, rows, perSecond, ms }) {
  const writer = await (await serviceNamed(name)).openWriter(url)
  const startMs = performance.now()
  const count = Math.round((perSecond * ms) / 1000)
  const fromMs = sharedNowMs()
  /** @type {Promise<unknown>[]} */
  const writes = []
  /** @type {unknown[]} */
  const failures = []
  for (let number = 0; number < count; number++) {
    const waitMs = startMs + (number * 1000) / perSecond - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    const item = { ...itemOf(random(rows), number), sentMs: sharedNowMs() }
    writes.push(writer.write(item).catch((/** @type {unknown} */ error) => failures.push(error)))
  }
  await Promise.all(writes)
  if (failures.length > 0) throw failures[0]
  const elapsedMs = performance.now() - startMs
  await writer.close()
  return { fromMs, writes: count, elapsedMs }
}

/** What came in: when it was sent, and how long it took. @type {{ sentMs: number, delayMs: number }[]} */
let arrivals = []

/** @param {string} url @param {number} count */
async function read(url, count) {
  const service = await serviceNamed(name)
  const readers = await service.openReaders(url, count, (sentMs) => {
    arrivals.push({ sentMs, delayMs: sharedNowMs() - sentMs })
  })
  opened.push(readers)
}

/** How long the last events may take, and how often it looks. */
const LAST_MS = 10_000
const LOOK_MS = 20

/** The delays of what was sent from `fromMs` on, once it is all there. @param {number} fromMs @param {number} expected */
async function collect(fromMs, expected) {
  const endMs = performance.now() + LAST_MS
  const measured = () => arrivals.filter(({ sentMs }) => sentMs >= fromMs)
  while (measured().length < expected && performance.now() < endMs) await sleep(LOOK_MS)
  const latencies = new Histogram()
  let maxMs = 0
  const delays = measured()
  for (const { delayMs } of delays) {
    latencies.add(delayMs)
    maxMs = Math.max(maxMs, delayMs)
  }
  arrivals = []
  return { received: delays.length, latencies, maxMs }
}

process.on('message', (request) => {
  handle(/** @type {HttpRequest} */ (request)).then(
    (answer) => process.send?.({ answer }),
    (/** @type {unknown} */ error) =>
      process.send?.({
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
  )
})
process.on('disconnect', () => process.exit(1))
process.send?.({ answer: 'ready' })
