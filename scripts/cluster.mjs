// A cluster on this machine, to look at: three NATS servers, three Holdfast nodes, and a small load
// whose counters are printed each second. Ctrl-C ends every process that this started, and no other.
//
//   npm run cluster [-- --dir ./cluster] [--seconds N]
//
// The data stays in the folder: the next run goes on with it. With --seconds it ends by itself.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect } from '../dist/client.js'
import { findNatsServer } from './nats-server.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const COUNT = 3
/** Callers of the load at each node. */
const CALLERS = 4
const KEYS = 1_000
/** Milliseconds that a process may take to end before it is killed. */
const END_MS = 20_000

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

const { values } = parseArgs({
  options: { dir: { type: 'string', default: './cluster' }, seconds: { type: 'string' } },
})
const dir = resolve(values.dir)

/** @type {{ name: string, child: ChildProcess }[]} */
const running = []
let isEnding = false

/** @param {string} text */
const say = (text) => process.stdout.write(`${text}\n`)

/** Starts a process that is ended with this one. @param {string} name @param {string} command @param {string[]} args */
function start(name, command, args) {
  // A group of its own: Ctrl-C reaches this process alone, which ends the others in order.
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  running.push({ name, child })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (/** @type {Buffer} */ data) => (said = (said + String(data)).slice(-2_000)))
  }
  child.once('error', (error) => (said += error.message))
  child.once('exit', (code, signal) => {
    if (!isEnding) say(`${name} ended (${code ?? signal})\n${said}`)
  })
  return child
}

/** Ports that are free now. @param {number} count */
async function freePorts(count) {
  const open = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = open.map((server) => /** @type {{ port: number }} */ (server.address()).port)
  await Promise.all(
    open.map(async (server) => {
      server.close()
      await once(server, 'close')
    }),
  )
  return ports
}

/** @param {string} path of nats-server */
async function startServers(path) {
  const ports = await freePorts(3 * COUNT)
  const routes = ports.slice(COUNT, 2 * COUNT).map((port) => `nats-route://127.0.0.1:${port}`)
  for (let i = 0; i < COUNT; i++) {
    const name = `nats-${i + 1}`
    const folder = join(dir, name)
    mkdirSync(folder, { recursive: true })
    const config = join(folder, 'server.conf')
    const lines = [
      `server_name: ${name}`,
      `listen: "127.0.0.1:${ports[i]}"`,
      `http: "127.0.0.1:${ports[2 * COUNT + i]}"`,
      `jetstream { store_dir: "${folder}", sync_interval: always }`,
      `cluster { name: holdfast, listen: "127.0.0.1:${ports[COUNT + i]}", routes: [${routes.join(', ')}] }`,
    ]
    writeFileSync(config, `${lines.join('\n')}\n`)
    start(name, path, ['-c', config])
  }
  return {
    urls: ports.slice(0, COUNT).map((port) => `nats://127.0.0.1:${port}`),
    monitors: ports.slice(2 * COUNT).map((port) => `http://127.0.0.1:${port}`),
  }
}

/**
 * Starts a node, and resolves with the URL of its HTTP API.
 * @param {number} i @param {{ urls: string[], monitors: string[] }} servers
 */
async function startNode(i, { urls, monitors }) {
  const name = `node-${i + 1}`
  const child = start(name, process.execPath, [
    join(ROOT, 'bin/holdfast'),
    ...['start', '--dir', join(dir, name), '--json', '--no-input', '--port', '0'],
    ...['--cluster', urls.join(','), '--monitor', ...monitors],
    ...(i === 0 ? [] : ['--no-sample']),
  ])
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{')) continue
    /** @type {{ serving?: { url: string } }} */
    // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the node
    const { serving } = JSON.parse(line)
    if (serving !== undefined) return { name, url: serving.url }
  }
  throw new Error(`${name} did not start`)
}

/** What the load was told since the last line. */
const counters = { puts: 0, gets: 0, failed: 0, latencies: /** @type {number[]} */ ([]) }

/** One caller: a put at one node, and a linearizable get at another. @param {string[]} urls @param {number} from */
async function caller(urls, from) {
  const writer = connect({ url: /** @type {string} */ (urls[from % COUNT]) })
  const reader = connect({ url: /** @type {string} */ (urls[(from + 1) % COUNT]) })
  for (let n = 0; !isEnding; n++) {
    const id = `key-${(from * 7_919 + n) % KEYS}`
    const startMs = performance.now()
    try {
      await writer.table('load').put({ id, n })
      counters.latencies.push(performance.now() - startMs)
      counters.puts++
      const row = await reader.table('load').get(id)
      if (row !== undefined) counters.gets++
    } catch {
      if (!isEnding) counters.failed++
      await new Promise((again) => setTimeout(again, 100))
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

async function endAll() {
  if (isEnding) return
  isEnding = true
  say('\nending')
  // Nodes first: they settle what is under way while their log is there.
  for (const kind of ['node', 'nats']) {
    const some = running.filter(({ name }) => name.startsWith(kind))
    await Promise.all(some.map(({ child }) => end(child)))
  }
}

/** @param {ChildProcess} child */
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), END_MS)
  await ended
  clearTimeout(late)
}

/** Settles once it is to end. @type {Promise<void>} */
const stopped = new Promise((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve())
})

try {
  const { path, version, from } = findNatsServer()
  say(`nats-server ${version} (${from}); data in ${dir}`)
  const servers = await startServers(path)
  say(`log on ${servers.urls.join(', ')}`)
  const nodes = []
  // The first one brings the flights; the others find them in the log.
  for (let i = 0; i < COUNT; i++) {
    const node = await Promise.race([startNode(i, servers), stopped])
    if (node === undefined) break
    nodes.push(node)
    say(`${node.name} serves ${node.url}, documented at ${node.url}/docs`)
  }
  if (nodes.length === COUNT) {
    const urls = nodes.map(({ url }) => url)
    const db = connect({ url: /** @type {string} */ (urls[0]) })
    await db.define('load', { key: 'id' })
    say(
      `\ntry, in another terminal: bin/holdfast --dir ${join(dir, 'node-2')} query flights --limit 3\n`,
    )
    for (let i = 0; i < CALLERS * COUNT; i++) void caller(urls, i)
    const timer = setInterval(report, 1_000)
    const seconds = values.seconds === undefined ? undefined : Number(values.seconds)
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
  await endAll()
}
process.exit()
