// How long writes pause when a part of a cluster is lost. Probes at the nodes that live put a row each
// few milliseconds, whether or not earlier ones have their acks; a pause is the longest that one of
// them had to wait, counted from when it was due.

/** @typedef {import('./pace.mjs').Pause} Pause */

/**
 * @typedef {object} OutageResult
 * @property {string} name
 * @property {string} system
 * @property {number} injections
 * @property {number} p50Ms of the pauses
 * @property {number} p99Ms
 * @property {number} maxMs
 * @property {number} undisturbedP50Ms of the longest waits just before each injection
 * @property {number} undisturbedMaxMs
 * @property {number} failed puts that were not acked
 * @property {number} [electionP50Ms] of `outage.leader`: until a server says that it leads the log
 * @property {number} [afterElectionMaxMs] the most that a pause lasted beyond that
 */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CLIENTS } from '../clusters/cluster.mjs'
import { LOG_STREAM, nodeOptions } from '../clusters/holdfast.mjs'
import { sharedNowMs } from '../services/service.mjs'
import { Child, freshFolder, removeFolder } from './child.mjs'
import { round } from './embedded.mjs'
import { NatsServers } from './nats-servers.mjs'
import { say } from './prepare.mjs'

/** A probe's put, each so many milliseconds. */
const PROBE_MS = 5
/** How long puts count after an injection, and how long before it they count as undisturbed. */
const WINDOW_MS = 1000
/** Until a node that came back is like the others. */
const SETTLE_MS = 1000

/** @typedef {{ pause: Pause, undisturbed: Pause, electionMs?: number }} Outage */
/** @typedef {{ folder: string, servers: NatsServers, nodes: Child[], rows: number }} Cluster */

/** @type {Map<string, (cluster: Cluster, number: number) => Promise<Outage>>} */
const INJECT = new Map([
  ['outage.node', loseNode],
  ['outage.leader', loseLeader],
])
export const OUTAGES = [...INJECT.keys()]

/** @param {string} name @param {{ rows: number, injections: number }} options @returns {Promise<OutageResult>} */
export async function measureOutage(name, { rows, injections }) {
  const inject = /** @type {typeof loseNode} */ (INJECT.get(name))
  say(`${name}: ${injections} injections`)
  const cluster = await startCluster(rows)
  /** @type {Outage[]} */
  const outages = []
  for (let number = 0; number < injections; number++) {
    outages.push(await inject(cluster, number))
    const last = /** @type {Outage} */ (outages.at(-1))
    say(`${name} ${number + 1} of ${injections}: ${storyOf(last)}`)
  }
  for (const node of cluster.nodes) await node.killed()
  await cluster.servers.stop()
  removeFolder(cluster.folder)
  return resultOf(name, outages)
}

/** @param {Outage} outage */
function storyOf({ pause, undisturbed, electionMs }) {
  const election = electionMs === undefined ? '' : `, election ${round(electionMs)} ms`
  return `${round(pause.maxMs)} ms (undisturbed ${round(undisturbed.maxMs)} ms${election})`
}

/** @param {string} name @param {readonly Outage[]} outages @returns {OutageResult} */
function resultOf(name, outages) {
  const pauses = outages.map(({ pause }) => pause.maxMs)
  const undisturbed = outages.map((outage) => outage.undisturbed.maxMs)
  const elections = outages.flatMap(({ electionMs }) => electionMs ?? [])
  const after = outages.map(({ pause, electionMs = 0 }) => pause.maxMs - electionMs)
  return {
    name,
    system: 'holdfast',
    injections: outages.length,
    p50Ms: at(pauses, 0.5),
    p99Ms: at(pauses, 0.99),
    maxMs: at(pauses, 1),
    undisturbedP50Ms: at(undisturbed, 0.5),
    undisturbedMaxMs: at(undisturbed, 1),
    failed: outages.reduce((sum, { pause }) => sum + pause.failed, 0),
    ...(elections.length === 0
      ? {}
      : { electionP50Ms: at(elections, 0.5), afterElectionMaxMs: at(after, 1) }),
  }
}

/** What a share of them do not exceed. @param {readonly number[]} values @param {number} share */
function at(values, share) {
  const sorted = values.toSorted((a, b) => a - b)
  return round(sorted[Math.ceil(sorted.length * share) - 1] ?? 0)
}

/** @param {number} rows @returns {Promise<Cluster>} */
async function startCluster(rows) {
  const folder = freshFolder()
  const servers = await NatsServers.start(folder)
  /** @type {Cluster} */
  const cluster = { folder, servers, nodes: [], rows }
  for (let i = 0; i < CLIENTS; i++) {
    mkdirSync(join(folder, `node-${i}`))
    cluster.nodes.push(await startNode(cluster, i))
    if (i === 0) await cluster.nodes[0]?.ask({ type: 'load', from: 0, to: rows })
  }
  for (const node of cluster.nodes) await node.ask({ type: 'probe', everyMs: PROBE_MS, rows })
  await sleep(SETTLE_MS)
  return cluster
}

/** @param {Cluster} cluster @param {number} i */
async function startNode({ folder, servers }, i) {
  const node = await Child.start('holdfast', join(folder, `node-${i}`), {}, 'cluster-worker')
  await node.ask({ type: 'open', options: nodeOptions(servers), seed: 2 * i + 1 })
  return node
}

/**
 * Loses something, and measures at `nodes` just before that and after.
 * @param {readonly Child[]} nodes
 * @param {() => Promise<void>} lose resolves once it is lost
 * @returns {Promise<Outage>}
 */
async function around(nodes, lose) {
  const startMs = sharedNowMs()
  await sleep(WINDOW_MS)
  const undisturbed = await longest(nodes, startMs, startMs + WINDOW_MS)
  const lostMs = sharedNowMs()
  await lose()
  await sleep(WINDOW_MS)
  return { undisturbed, pause: await longest(nodes, lostMs, lostMs + WINDOW_MS) }
}

/** @param {readonly Child[]} nodes @param {number} fromMs @param {number} toMs @returns {Promise<Pause>} */
async function longest(nodes, fromMs, toMs) {
  /** @type {Pause[]} */
  const pauses = await Child.askAll(nodes, () => ({ type: 'pause', fromMs, toMs }))
  return {
    maxMs: Math.max(...pauses.map(({ maxMs }) => maxMs)),
    failed: pauses.reduce((sum, { failed }) => sum + failed, 0),
  }
}

/** Kills a node; the callers of the others count. @param {Cluster} cluster @param {number} number @returns {Promise<Outage>} */
async function loseNode(cluster, number) {
  const i = number % CLIENTS
  const victim = /** @type {Child} */ (cluster.nodes[i])
  const others = cluster.nodes.filter((node) => node !== victim)
  const outage = await around(others, () => victim.killed())
  const node = await startNode(cluster, i)
  cluster.nodes[i] = node
  await node.ask({ type: 'probe', everyMs: PROBE_MS, rows: cluster.rows })
  await sleep(SETTLE_MS)
  return outage
}

/** Kills the server that leads the log; callers of all nodes count. @param {Cluster} cluster @returns {Promise<Outage>} */
async function loseLeader({ servers, nodes }) {
  const leader = await servers.leader(LOG_STREAM)
  const others = servers.urls.map((_, i) => i).filter((i) => i !== leader)
  let electionMs = 0
  const outage = await around(nodes, async () => {
    const lostMs = sharedNowMs()
    await servers.kill(leader)
    await servers.leader(LOG_STREAM, others)
    electionMs = sharedNowMs() - lostMs
  })
  await servers.restart(leader)
  await servers.inStep(LOG_STREAM)
  await sleep(SETTLE_MS)
  return { ...outage, electionMs }
}
