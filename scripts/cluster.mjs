// A cluster on this machine, to look at: three NATS servers, three Holdfast nodes, and a small load
// whose counters are printed each second. Ctrl-C ends every process that this started, and no other.
//
//   npm run cluster [-- --dir ./cluster] [--seconds N] [--no-sample]
//   bin/holdfast lab [--dir ./cluster]      in another terminal: kill, pause, part and heal them
//
// The data stays in the folder: the next run goes on with it. With --seconds it ends by itself; with
// --no-sample it does without the flights.

import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { connect } from '../dist/client.js'
import { Lab } from '../dist/verify/lab.js'
import { startProcessCluster } from '../dist/verify/process-cluster.js'
import { findNatsServer } from './nats-server.mjs'

/** @typedef {import('../dist/verify/process-cluster.js').ProcessCluster} ProcessCluster */
/** @typedef {Awaited<ReturnType<typeof startNodes>>[number]} Remote */

const COUNT = 3
/** Callers of the load at each node. */
const CALLERS = 4
const KEYS = 1_000
/** Milliseconds that a caller waits after a failure. */
const AGAIN_MS = 100
/** Milliseconds for a process to start, or to catch up. */
const MENDED_MS = 5_000

const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: './cluster' },
    seconds: { type: 'string' },
    'no-sample': { type: 'boolean', default: false },
  },
})
const dir = resolve(values.dir)
let isEnding = false

/** @param {string} text */
const say = (text) => process.stdout.write(`${text}\n`)

/** @type {import('../dist/verify/managed-process.js').OnEnd} */
function onEnd(name, how, said) {
  if (isEnding) return
  say(`${name} ended (${how})`)
  // Killed, it had nothing to say of it.
  if (how !== 'SIGKILL') say(said)
}

/** From then on what the lab mended last works again. */
let mendedMs = Number.POSITIVE_INFINITY

/** @param {string} call */
function onLab(call) {
  say(`lab: ${call}`)
  if (/^(restart|resume|heal)/.test(call)) mendedMs = performance.now() + MENDED_MS
}

/** What the load was told since the last line. */
const counters = { puts: 0, gets: 0, failed: 0, latencies: /** @type {number[]} */ ([]) }

/**
 * One caller: a put at one node, and a linearizable get at another. When a node fails it, it goes
 * to others, as chance has it, until something was mended: else all of them would meet at the same
 * ones in the end.
 * @param {Remote[]} nodes @param {number} from
 */
async function caller(nodes, from) {
  const node = (/** @type {number} */ at) => /** @type {Remote} */ (nodes[at % nodes.length])
  let [writer, reader] = [node(from), node(from + 1)]
  let cameMs = 0
  const leave = (/** @type {Remote} */ failed) => {
    const at = nodes.indexOf(failed)
    const others = [node(at + 1), node(at + 2)]
    if (Math.random() < 0.5) others.reverse()
    ;[writer, reader] = /** @type {[Remote, Remote]} */ (others)
  }
  for (let n = 0; !isEnding; n++) {
    const id = `key-${(from * 7_919 + n) % KEYS}`
    const startMs = performance.now()
    if (startMs >= mendedMs && cameMs < mendedMs) {
      ;[writer, reader, cameMs] = [node(from), node(from + 1), startMs]
    }
    let isWritten = false
    try {
      await writer.table('load').put({ id, n })
      isWritten = true
      counters.latencies.push(performance.now() - startMs)
      counters.puts++
      const row = await reader.table('load').get(id)
      if (row !== undefined) counters.gets++
    } catch {
      if (isEnding) return
      counters.failed++
      leave(isWritten ? reader : writer)
      await new Promise((again) => setTimeout(again, AGAIN_MS))
    }
  }
}

function report() {
  const { puts, gets, failed, latencies } = counters
  latencies.sort((a, b) => a - b)
  const at = (/** @type {number} */ share) => latencies[Math.floor(latencies.length * share)]
  const ms = (/** @type {number | undefined} */ value) =>
    value === undefined ? '-' : value.toFixed(1)
  const time = new Date().toISOString().slice(11, 19)
  say(
    `${time}  puts ${puts}/s  p50 ${ms(at(0.5))} ms  p99 ${ms(at(0.99))} ms  ` +
      `gets at another node ${gets}/s  failed ${failed}`,
  )
  Object.assign(counters, { puts: 0, gets: 0, failed: 0, latencies: [] })
}

/** Starts the nodes. @param {ProcessCluster} cluster */
async function startNodes(cluster) {
  // The first one brings the flights; the others find them in the log.
  for (let i = 0; i < COUNT; i++) {
    const args = i === 0 && !values['no-sample'] ? [] : ['--no-sample']
    const { name, url } = await cluster.addNode({ args })
    say(`${name} serves ${url}, documented at ${url}/docs`)
  }
  return cluster.nodes.map(({ url }) => connect({ url }))
}

/** The load, which goes on until the end. @param {Remote[]} nodes */
async function startLoad(nodes) {
  await nodes[0]?.define('load', { key: 'id' })
  const at = values.dir === './cluster' ? '' : ` --dir ${values.dir}`
  say('\ntry, in another terminal:')
  const asked = values['no-sample'] ? 'stats' : 'query flights --limit 3'
  say(`  bin/holdfast --dir ${join(values.dir, 'node-2')} ${asked}`)
  say(`  bin/holdfast lab kill node-2${at}   (lab --help: what else)\n`)
  for (let i = 0; i < CALLERS * COUNT; i++) void caller(nodes, i)
}

/** Settles once it is to end. @type {Promise<void>} */
const stopped = new Promise((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve())
})

const seconds = values.seconds === undefined ? undefined : Number(values.seconds)
/** @type {Lab | undefined} */
let lab
/** @type {ProcessCluster | undefined} */
let cluster
try {
  const { path, version, from } = findNatsServer()
  lab = await Lab.claim(dir)
  say(`nats-server ${version} (${from}); data in ${dir}`)
  cluster = await startProcessCluster({ dir, natsServer: path, servers: COUNT, nodes: 0, onEnd })
  say(`log on ${cluster.servers.map(({ url }) => url).join(', ')}`)
  lab.serve(cluster, onLab)
  const nodes = await Promise.race([startNodes(cluster), stopped])
  if (nodes !== undefined) {
    await startLoad(nodes)
    const timer = setInterval(report, 1_000)
    const over = new Promise((resolve) => {
      if (seconds !== undefined) setTimeout(resolve, seconds * 1_000)
    })
    await Promise.race([stopped, over])
    clearInterval(timer)
  }
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
} finally {
  isEnding = true
  say('\nending')
  await cluster?.stop()
  await lab?.release()
}
process.exit()
