// Measures what is asked over sockets: server, load and readers each in a process of its own, in
// short rounds that take turns, so that what else the machine does meets all systems alike.

/** @typedef {import('./embedded.mjs').Result & { maxMs?: number }} HttpResult */
/** @typedef {import('./embedded.mjs').RoundAnswer} RoundAnswer */

/**
 * @typedef {object} HttpOptions
 * @property {readonly string[]} systems
 * @property {readonly string[]} names
 * @property {number} seconds
 * @property {number} rows
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { Child, freshFolder, removeFolder } from './child.mjs'
import { Missing } from './debian.mjs'
import { resultOf, round } from './embedded.mjs'
import { Histogram } from './histogram.mjs'
import { say } from './prepare.mjs'
import { serviceNamed } from '../services/service.mjs'

/** How many connections, or readers, a measure has. */
export const HTTP_MEASURES = new Map([
  ['get.1', 1],
  ['get.64', 64],
  ['get.256', 256],
  ['put.1', 1],
  ['put.64', 64],
  ['put.256', 256],
  ['bulk', 4],
  ['feed.1', 1],
  ['feed.100', 100],
  ['feed.1000', 1000],
])

const ROUNDS = 5
const WARM_UP_MS = 1000
/** Writes a second while feeds are measured, and events that all readers together get at the most. */
const FEED_WRITES = 200
const FEED_EVENTS = 20_000
/** Until readers that were let in follow. */
const SETTLE_MS = 500

/** @typedef {{ system: string, folder: string, url: string, stop: () => Promise<void>, load: Child }} Running */

/** @param {HttpOptions} options @returns {Promise<HttpResult[]>} */
export async function measureHttp(options) {
  /** @type {HttpResult[]} */
  const results = []
  /** @type {Running[]} */
  const running = []
  for (const system of options.systems) {
    const started = await start(system, options.rows)
    if (started !== undefined) running.push(started)
  }
  for (const [name, count] of HTTP_MEASURES) {
    if (!options.names.includes(name)) continue
    say(`${name}: ${running.map(({ system }) => system).join(', ')}`)
    if (name.startsWith('feed')) {
      for (const one of running) results.push(await measureFeed(name, count, one, options))
    } else results.push(...(await measureRounds(name, count, running, options)))
  }
  for (const { load, stop, folder } of running) {
    await load.close()
    await stop()
    removeFolder(folder)
  }
  return results
}

/** One that cannot be had here is left out, loudly. @param {string} system @param {number} rows @returns {Promise<Running | undefined>} */
async function start(system, rows) {
  const folder = freshFolder()
  say(`${system}: starting, with ${rows} rows`)
  try {
    const { url, stop } = await (await serviceNamed(system)).start(folder, rows)
    const load = await Child.start(system, folder, {}, 'http-worker')
    return { system, folder, url, stop, load }
  } catch (cause) {
    if (!(cause instanceof Missing)) throw cause
    removeFolder(folder)
    say(`WITHOUT ${system.toUpperCase()}: ${cause.message}`)
    return undefined
  }
}

/**
 * @param {string} name
 * @param {number} connections
 * @param {readonly Running[]} running
 * @param {HttpOptions} options
 * @returns {Promise<HttpResult[]>}
 */
async function measureRounds(name, connections, running, { seconds, rows }) {
  const rounds = Math.max(1, Math.min(ROUNDS, Math.floor(seconds)))
  const ms = (seconds * 1000) / rounds
  const kind = /** @type {string} */ (name.split('.')[0])
  /** @type {Map<string, RoundAnswer[]>} */
  const taken = new Map()
  const take = (/** @type {Running} */ { load, url }, /** @type {number} */ forMs) =>
    load.ask({ type: 'round', url, name: kind, connections, rows, ms: forMs })
  for (const one of running) await take(one, Math.min(ms, WARM_UP_MS))
  for (let number = 0; number < rounds; number++) {
    for (const one of running) {
      const answer = /** @type {RoundAnswer} */ (await take(one, ms))
      taken.set(one.system, [...(taken.get(one.system) ?? []), answer])
    }
  }
  return [...taken].map(([system, answers]) =>
    resultOf({ name, system, variant: '', rounds: answers }),
  )
}

/**
 * How long a change takes from just before it is sent until a reader has it; `opsPerSecond` counts
 * what all readers got.
 * @param {string} name
 * @param {number} count
 * @param {Running} running
 * @param {HttpOptions} options
 * @returns {Promise<HttpResult>}
 */
async function measureFeed(name, count, { system, folder, url, load }, { seconds, rows }) {
  const perSecond = Math.min(FEED_WRITES, FEED_EVENTS / count)
  const readers = await Child.start(system, folder, {}, 'http-worker')
  await readers.ask({ type: 'read', url, count })
  await sleep(SETTLE_MS)
  const ask = { type: /** @type {const} */ ('write'), url, rows, perSecond }
  await load.ask({ ...ask, ms: WARM_UP_MS })
  /** @type {{ fromMs: number, writes: number, elapsedMs: number }} */
  const written = await load.ask({ ...ask, ms: seconds * 1000 })
  const { fromMs, elapsedMs } = written
  const expected = written.writes * count
  /** @type {{ received: number, latencies: number[], maxMs: number }} */
  const got = await readers.ask({ type: 'collect', fromMs, expected })
  await readers.close()
  if (got.received !== expected) {
    throw new Error(`${system}: ${count} readers got ${got.received} of ${expected} changes`)
  }
  const delays = new Histogram()
  delays.merge(got.latencies)
  return {
    name,
    system,
    opsPerSecond: round((got.received / elapsedMs) * 1000),
    p50Ms: round(delays.percentile(0.5)),
    p99Ms: round(delays.percentile(0.99)),
    maxMs: round(got.maxMs),
  }
}
