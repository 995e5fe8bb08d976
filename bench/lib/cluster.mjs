// Measures replicated systems beside each other: for each its servers, and three processes that call
// them, in short rounds that take turns, so that what else the machine does meets all alike.

/** @typedef {import('./embedded.mjs').RoundAnswer} RoundAnswer */
/** @typedef {import('../clusters/cluster.mjs').ClusterModule} ClusterModule */
/** @typedef {import('./pace.mjs').Pause} Pause */

/**
 * @typedef {import('./embedded.mjs').Result & { p999Ms?: number, offeredPerSecond?: number }} RateResult
 * @typedef {object} BytesResult of one put, everything that a system sends and writes for it
 * @property {string} name
 * @property {string} system
 * @property {string} [variant]
 * @property {number} wireBytes through sockets of this machine, headers included
 * @property {number} diskBytes handed to the disk by its servers and nodes
 * @typedef {RateResult | BytesResult | import('./outages.mjs').OutageResult} ClusterResult
 */

/** A system that cannot be had here. @typedef {{ system: string, why: string }} MissingSystem */

/**
 * @typedef {object} ClusterOptions
 * @property {readonly string[]} systems
 * @property {readonly string[]} names
 * @property {number} seconds
 * @property {number} rows
 * @property {number} injections
 */

import { join } from 'node:path'
import { mkdirSync } from 'node:fs'
import { bytesSent, bytesWritten } from './bytes.mjs'
import { Child, freshFolder, removeFolder } from './child.mjs'
import { Missing } from './debian.mjs'
import { resultOf, round } from './embedded.mjs'
import { Histogram } from './histogram.mjs'
import { measureOutage, OUTAGES } from './outages.mjs'
import { BenchFailed, preparePeers, say } from './prepare.mjs'
import { CLIENTS, clusterNamed } from '../clusters/cluster.mjs'

/** How many callers a measure has, all processes together; transfers go first, among balances as they were loaded. */
const ROUND_MEASURES = new Map([
  ['transfer.high', 64],
  ['transfer.low', 64],
  ['put.1', 1],
  ['put.64', 64],
  ['put.256', 256],
  ['put.4096', 4096],
  ['get.linearizable.1024', 1024],
  ['get.session.64', 64],
  ['get.local', CLIENTS],
])

/** In the order in which they are given. */
export const CLUSTER_NAMES = [
  ...['put.1', 'put.64', 'put.256', 'put.4096', 'put.halfPeak', 'bytes.put'],
  ...['get.linearizable.1024', 'get.session.64', 'get.local', 'transfer.low', 'transfer.high'],
  ...OUTAGES,
]

/** What several logs bring; a database has one so far. */
export const SEVERAL_LOGS = 'put.256.2logs'

const ROUNDS = 5
/** Of the first client's keys; an odd number apart, since even ones count as the next. */
const SEED = 4711
const WARM_UP_MS = 1000
/** Whose rate `put.halfPeak` halves, and who calls for `bytes.put`. */
const PEAK = 'put.4096'
const BYTES = 'put.256'
const HIGH_ROWS = 10
const BALANCE = 1000
/** What the system a measure is compared with alone is called, and where it counts. */
const BARE = { system: 'jetstream', name: 'put.1' }

/**
 * @typedef {object} Running
 * @property {string} system
 * @property {ClusterModule} module
 * @property {string} folder
 * @property {import('../clusters/cluster.mjs').RunningCluster} servers
 * @property {readonly Child[]} clients
 */

/** @param {ClusterOptions} options @returns {Promise<{ results: ClusterResult[], missing: MissingSystem[] }>} */
export async function measureCluster(options) {
  /** @type {ClusterResult[]} */
  const results = []
  /** @type {MissingSystem[]} */
  const missing = []
  const asked = (/** @type {string} */ name) => options.names.includes(name)
  const isRunning = CLUSTER_NAMES.some((name) => asked(name) && !OUTAGES.includes(name))
  const systems = [...options.systems, ...(asked(BARE.name) ? [BARE.system] : [])]
  /** @type {Running[]} */
  const running = []
  for (const system of isRunning ? systems : []) {
    const started = await start(system, options.rows)
    if ('why' in started) missing.push(started)
    else running.push(started)
  }
  for (const [name, callers] of ROUND_MEASURES) {
    if (asked(name)) results.push(...(await measureRounds(name, callers, running, options)))
  }
  for (const one of running.filter(({ system }) => system !== BARE.system)) {
    if (asked('put.halfPeak')) results.push(await measureHalfPeak(one, results, options))
    if (asked('bytes.put')) results.push(await measureBytes(one, options))
  }
  for (const one of running) await stop(one)
  for (const name of OUTAGES.filter(asked)) results.push(await measureOutage(name, options))
  const place = ({ name = '' }) => CLUSTER_NAMES.indexOf(name)
  return { results: results.toSorted((a, b) => place(a) - place(b)), missing }
}

/** One that cannot be had here is left out, loudly. @param {string} system @param {number} rows @returns {Promise<Running | MissingSystem>} */
async function start(system, rows) {
  const module = await clusterNamed(system)
  const folder = freshFolder()
  say(`${system}: starting, with ${rows} rows`)
  try {
    preparePeers(module.packages)
    const servers = await module.start(folder)
    const clients = await Promise.all(
      servers.clients.map(async (options, i) => {
        const own = join(folder, `client-${i}`)
        mkdirSync(own)
        const client = await Child.start(system, own, {}, 'cluster-worker')
        await client.ask({ type: 'open', options, seed: SEED + 2 * i })
        return client
      }),
    )
    await clients[0]?.ask({ type: 'load', from: 0, to: rows })
    return { system, module, folder, servers, clients }
  } catch (cause) {
    if (system === 'holdfast' || !(cause instanceof Missing || cause instanceof BenchFailed)) {
      throw cause instanceof Missing ? new BenchFailed(cause.message) : cause
    }
    removeFolder(folder)
    say(`WITHOUT ${system.toUpperCase()}: ${cause.message}`)
    return { system, why: cause.message }
  }
}

/** @param {Running} running */
async function stop({ clients, servers, folder }) {
  await Promise.all(clients.map((client) => client.close()))
  await servers.stop()
  removeFolder(folder)
}

// --- closed loops ---

/** @param {number} callers */
const shares = (callers) =>
  Array.from({ length: CLIENTS }, (_, i) => Math.floor((callers + CLIENTS - 1 - i) / CLIENTS))

/**
 * @param {Running} running
 * @param {string} name
 * @param {number} callers
 * @param {{ rows: number, ms: number }} options
 */
async function takeRound({ clients }, name, callers, { rows, ms }) {
  const among = name === 'transfer.high' ? HIGH_ROWS : rows
  const callersOf = shares(callers)
  const asked = clients.filter((_, i) => callersOf[i] !== 0)
  /** @type {RoundAnswer[]} */
  const answers = await Child.askAll(asked, (i) => ({
    ...{ type: 'round', name, callers: callersOf[i] ?? 0 },
    ...{ rows: among, ms },
  }))
  return together(name, answers)
}

/** What processes did at the same time, as one. @param {string} name @param {readonly RoundAnswer[]} answers @returns {RoundAnswer} */
function together(name, answers) {
  const latencies = new Histogram()
  for (const answer of answers) latencies.merge(answer.latencies)
  return {
    name,
    operations: answers.reduce((sum, { operations }) => sum + operations, 0),
    elapsedMs: Math.max(...answers.map(({ elapsedMs }) => elapsedMs)),
    latencies: latencies.toJSON(),
  }
}

/** @param {string} name @param {Running} running */
function hasMeasure(name, { system, module }) {
  if (system === BARE.system) return name === BARE.name
  return module.does.some((kind) => name === kind || name.startsWith(`${kind}.`))
}

/**
 * @param {string} name
 * @param {number} callers
 * @param {readonly Running[]} all
 * @param {ClusterOptions} options
 * @returns {Promise<RateResult[]>}
 */
async function measureRounds(name, callers, all, { seconds, rows }) {
  const running = all.filter((one) => hasMeasure(name, one))
  say(`${name}: ${running.map(({ system }) => system).join(', ')}`)
  const rounds = Math.max(1, Math.min(ROUNDS, Math.floor(seconds)))
  const ms = (seconds * 1000) / rounds
  /** @type {Map<Running, RoundAnswer[]>} */
  const taken = new Map()
  for (const one of running) {
    await takeRound(one, name, callers, { rows, ms: Math.min(ms, WARM_UP_MS) })
  }
  for (let number = 0; number < rounds; number++) {
    for (const one of running) {
      const answer = await takeRound(one, name, callers, { rows, ms })
      taken.set(one, [...(taken.get(one) ?? []), answer])
    }
  }
  if (name.startsWith('transfer')) for (const one of running) await checkTotal(name, one, rows)
  return [...taken].map(([{ system, module }, answers]) =>
    resultOf({ name, system, variant: module.variant ?? '', rounds: answers }),
  )
}

/** @param {string} name @param {Running} running @param {number} rows */
async function checkTotal(name, { system, clients }, rows) {
  const among = name === 'transfer.high' ? HIGH_ROWS : rows
  /** @type {unknown} */
  const total = await clients[0]?.ask({ type: 'total', rows: among })
  if (total === among * BALANCE) return
  throw new Error(`${system}: transfers made ${String(total)} of ${among * BALANCE}`)
}

// --- half of the peak, and bytes ---

/**
 * @param {Running} running
 * @param {readonly ClusterResult[]} results
 * @param {ClusterOptions} options
 * @returns {Promise<RateResult>}
 */
async function measureHalfPeak(running, results, { seconds, rows }) {
  const { system, clients, module } = running
  const ms = seconds * 1000
  const callers = /** @type {number} */ (ROUND_MEASURES.get(PEAK))
  const known = results.find((result) => result.name === PEAK && result.system === system)
  let peak = known !== undefined && 'opsPerSecond' in known ? known.opsPerSecond : undefined
  if (peak === undefined) {
    const { operations, elapsedMs } = await takeRound(running, PEAK, callers, { rows, ms })
    peak = (operations / elapsedMs) * 1000
  }
  const perSecond = peak / 2 / CLIENTS
  const name = 'put.halfPeak'
  say(`${name}: ${system}, ${Math.round(peak / 2)} a second`)
  /** @type {RoundAnswer[]} */
  const answers = await Child.askAll(clients, () => ({ type: 'pace', perSecond, rows, ms }))
  const all = together(name, answers)
  const latencies = new Histogram()
  latencies.merge(all.latencies)
  return {
    ...resultOf({ name, system, variant: module.variant ?? '', rounds: [all] }),
    p999Ms: round(latencies.percentile(0.999)),
    offeredPerSecond: round(peak / 2),
  }
}

/** @param {Running} running @param {ClusterOptions} options @returns {Promise<BytesResult>} */
async function measureBytes(running, { seconds, rows }) {
  const { system, clients, servers, module } = running
  const name = 'bytes.put'
  say(`${name}: ${system}`)
  const pids = [...servers.pids, ...clients.flatMap(({ pid }) => pid ?? [])]
  const before = { wire: bytesSent(), disk: bytesWritten(pids) }
  const callers = /** @type {number} */ (ROUND_MEASURES.get(BYTES))
  const { operations } = await takeRound(running, BYTES, callers, { rows, ms: seconds * 1000 })
  return {
    name,
    system,
    ...(module.variant === undefined ? {} : { variant: module.variant }),
    wireBytes: round((bytesSent() - before.wire) / operations),
    diskBytes: round((bytesWritten(pids) - before.disk) / operations),
  }
}
