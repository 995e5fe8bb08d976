// Runs the measures: each in a fresh folder, each system in a process of its own, in short rounds
// that take turns, so that what else the machine does meets all of them alike.

/**
 * `opsPerSecond` counts rows for `scan` and `import`; of `reopen` it is 1000 / p50Ms.
 * @typedef {object} Result
 * @property {string} name
 * @property {string} system
 * @property {number} opsPerSecond
 * @property {number} p50Ms
 * @property {number} p99Ms
 * @property {string} [variant] of lmdb's writes: the faster of its two honest configurations
 * @property {number} [peakAnonBytes] of `import`: most anonymous resident memory
 * @property {number} [getP50Ms] of `reopen`: until the first get; p50Ms is until the first put
 */

/**
 * @typedef {object} EmbeddedOptions
 * @property {readonly string[]} systems
 * @property {readonly string[]} names
 * @property {number} seconds
 * @property {number} rows
 * @property {number} importRows
 * @property {number} reopenRows
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { Child, freshFolder, removeFolder } from './child.mjs'
import { Histogram } from './histogram.mjs'
import { MEASURES } from './measures.mjs'
import { say } from './prepare.mjs'
import { median } from './table.mjs'
import { FORMS } from '../systems/system.mjs'

export const NAMES = [...Object.keys(MEASURES), 'import', 'reopen']

/** At least this long a round, and this many of them when there is time. */
const ROUND_SECONDS = 1
const ROUNDS = 5
const WARM_UP_MS = 1000
/** These have no transactions, so there is nothing to compare. */
const WITHOUT = new Map([['classic-level', ['update.hot', 'transfer.low', 'transfer.high']]])

const isWrite = (/** @type {string} */ name) => /^(put|update|transfer)/.test(name)

/** @param {string} system @param {string} name */
function formsOf(system, name) {
  const form = isWrite(name) ? FORMS.get(system) : undefined
  return form === undefined ? [system] : [system, form]
}

/**
 * lmdb's writes run both ways (systems/lmdb.mjs), and the faster one counts.
 * @param {string} system
 * @param {string} name
 */
const variantsOf = (system, name) =>
  system === 'lmdb' && isWrite(name) ? ['plain', 'overlap'] : ['']

/** @param {EmbeddedOptions} options @returns {Promise<Result[]>} */
export async function measureEmbedded(options) {
  /** @type {Result[]} */
  const results = []
  for (const name of NAMES.filter((known) => options.names.includes(known))) {
    const systems = options.systems
      .filter((system) => WITHOUT.get(system)?.includes(name) !== true)
      .flatMap((system) => formsOf(system, name))
    say(`${name}: ${systems.join(', ')}`)
    if (name === 'import') {
      for (const system of systems) results.push(await measureImport(system, options.importRows))
    } else if (name === 'reopen') {
      for (const system of systems) results.push(await measureReopen(system, options.reopenRows))
    } else results.push(...(await measureRounds(name, systems, options)))
  }
  return results
}

/** @typedef {{ name: string, operations: number, elapsedMs: number, latencies: number[] }} RoundAnswer */
/** @typedef {{ name: string, system: string, variant: string, rounds: RoundAnswer[] }} Taken */

/**
 * @param {string} name
 * @param {readonly string[]} systems
 * @param {EmbeddedOptions} options
 * @returns {Promise<Result[]>}
 */
async function measureRounds(name, systems, { seconds, rows }) {
  const rounds = Math.max(1, Math.min(ROUNDS, Math.floor(seconds / ROUND_SECONDS)))
  const ms = (seconds * 1000) / rounds
  const starting = systems.flatMap((system) =>
    variantsOf(system, name).map((variant) => ({ system, variant })),
  )
  /** @type {{ system: string, variant: string, folder: string, child: Child }[]} */
  const running = []
  /** @type {Map<string, Taken>} */
  const taken = new Map()
  for (const { system, variant } of starting) {
    const folder = freshFolder()
    const child = await Child.start(system, folder, { HOLDFAST_BENCH_LMDB: variant })
    running.push({ system, variant, folder, child })
    await child.ask({ type: 'load', from: 0, to: rows })
    await child.ask({ type: 'round', name, rows, ms: Math.min(ms, WARM_UP_MS) })
  }
  for (let round = 0; round < rounds; round++) {
    for (const { system, variant, child } of running) {
      /** @type {RoundAnswer[]} */
      const answers = await child.ask({ type: 'round', name, rows, ms })
      for (const answer of answers) {
        const key = `${answer.name} ${system} ${variant}`
        const known = taken.get(key) ?? { name: answer.name, system, variant, rounds: [] }
        taken.set(key, known)
        known.rounds.push(answer)
      }
    }
  }
  for (const { child, folder } of running) {
    await child.close()
    removeFolder(folder)
  }
  return fastest([...taken.values()].map(resultOf))
}

/** Of the variants of one system, the fastest; grouped by name. @param {readonly Result[]} results */
function fastest(results) {
  /** @type {Map<string, Map<string, Result>>} */
  const byName = new Map()
  /** @returns {Map<string, Result>} */
  const none = () => new Map()
  for (const result of results) {
    const bySystem = byName.get(result.name) ?? none()
    byName.set(result.name, bySystem)
    const known = bySystem.get(result.system)
    if (known === undefined || known.opsPerSecond < result.opsPerSecond) {
      bySystem.set(result.system, result)
    }
  }
  return [...byName.values()].flatMap((bySystem) => [...bySystem.values()])
}

/** @param {Taken} taken @returns {Result} */
export function resultOf({ name, system, variant, rounds }) {
  const latencies = new Histogram()
  for (const round of rounds) latencies.merge(round.latencies)
  const rates = rounds.map(({ operations, elapsedMs }) => (operations / elapsedMs) * 1000)
  return {
    name,
    system,
    opsPerSecond: round(median(rates)),
    p50Ms: round(latencies.percentile(0.5)),
    p99Ms: round(latencies.percentile(0.99)),
    ...(variant === '' ? {} : { variant }),
  }
}

const MEMORY_POLL_MS = 50

/** @param {string} system @param {number} rows @returns {Promise<Result>} */
async function measureImport(system, rows) {
  const folder = freshFolder()
  const child = await Child.start(system, folder)
  let peakAnonBytes = 0
  const poll = setInterval(() => {
    peakAnonBytes = Math.max(peakAnonBytes, child.anonymousBytes())
  }, MEMORY_POLL_MS)
  /** @type {{ rows: number, elapsedMs: number, batchMs: number[] }} */
  const imported = await child.ask({ type: 'import', rows })
  clearInterval(poll)
  await child.close()
  removeFolder(folder)
  const latencies = new Histogram()
  for (const ms of imported.batchMs) latencies.add(ms)
  return {
    name: 'import',
    system,
    opsPerSecond: round((imported.rows / imported.elapsedMs) * 1000),
    p50Ms: round(latencies.percentile(0.5)),
    p99Ms: round(latencies.percentile(0.99)),
    peakAnonBytes,
  }
}

const KILLS = 5
const WRITE_MS = 700

/** @param {string} system @param {number} rows @returns {Promise<Result>} */
async function measureReopen(system, rows) {
  const folder = freshFolder()
  let child = await Child.start(system, folder)
  await child.ask({ type: 'load', from: 0, to: rows })
  /** @type {number[]} */
  const puts = []
  /** @type {number[]} */
  const gets = []
  for (let kill = 0; kill < KILLS; kill++) {
    child.tell({ type: 'write', rows })
    await sleep(WRITE_MS)
    await child.killed()
    child = await Child.start(system, folder)
    /** @type {{ getMs: number, putMs: number }} */
    const { getMs, putMs } = await child.ask({ type: 'reopen', rows })
    gets.push(getMs)
    puts.push(putMs)
  }
  await child.killed()
  removeFolder(folder)
  return {
    name: 'reopen',
    system,
    opsPerSecond: round(1000 / median(puts)),
    p50Ms: round(median(puts)),
    p99Ms: round(Math.max(...puts)),
    getP50Ms: round(median(gets)),
  }
}

/** @param {number} value */
export function round(value) {
  return Number(value.toPrecision(4))
}
