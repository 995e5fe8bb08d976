// Measures Holdfast beside its peers. `holdfast bench` runs this; HELP says how.
// Figures go to stdout, everything else to stderr. Exit: 0 measured, 1 something failed, 2 usage.

import { parseArgs } from 'node:util'
import { cleanUp } from './lib/child.mjs'
import { CLUSTER_NAMES, measureCluster, SEVERAL_LOGS } from './lib/cluster.mjs'
import { measureEmbedded, NAMES } from './lib/embedded.mjs'
import { measureGrowth } from './lib/growth.mjs'
import { HTTP_MEASURES, measureHttp } from './lib/http.mjs'
import { describeMachine } from './lib/machine.mjs'
import { BenchFailed, prepareHoldfast, preparePeers, say } from './lib/prepare.mjs'
import { printCluster } from './lib/print-cluster.mjs'
import { figure, table } from './lib/table.mjs'
import { CLUSTERS } from './clusters/cluster.mjs'
import { SERVICES } from './services/service.mjs'
import { SYSTEMS } from './systems/system.mjs'

/** @typedef {import('./lib/machine.mjs').Machine} Machine */
/** @typedef {import('./lib/embedded.mjs').Result} Result */

const PEERS = SYSTEMS.filter((system) => system !== 'holdfast')
/** `holdfast` and `hono` are always measured. */
const HTTP_PEERS = SERVICES.filter((system) => system !== 'holdfast' && system !== 'hono')
/** `jetstream` is measured wherever it counts. */
const CLUSTER_PEERS = CLUSTERS.filter((system) => system !== 'holdfast' && system !== 'jetstream')
const HTTP_NAMES = [...HTTP_MEASURES.keys()]

const HELP = `holdfast bench - measures Holdfast beside its peers

  holdfast bench [embedded]  in one process: calls, scans, transactions, import, reopening
      --against NAMES        ${PEERS.join(',')} (default: all)
      --only NAMES           ${NAMES.join(',')}
      --rows N               rows of the point measures (100000)
      --import-rows N, --reopen-rows N
                             rows of those measures (3000000, 1000000)
  holdfast bench http        over sockets: gets, puts and bulk by N connections, feeds to N readers,
                             beside bare Hono routes that give the same bytes
      --against NAMES        ${HTTP_PEERS.join(',')} as well (default: none); what is not installed is
                             fetched from Debian's archive into bench/.cache
      --only NAMES           ${HTTP_NAMES.join(',')}
      --rows N               rows there are (100000)
  holdfast bench cluster     three nodes over three nats-servers, callers spread over them, on this
                             machine; put.1 beside a bare JetStream publish, too
      --against NAMES        ${CLUSTER_PEERS.join(',')}
                             as well, durable alike (default: none); what is not installed is fetched
                             from Debian's archive into bench/.cache, what cannot be had is said
      --only NAMES           ${CLUSTER_NAMES.slice(0, 6).join(',')},
                             ${CLUSTER_NAMES.slice(6, 11).join(',')},
                             ${CLUSTER_NAMES.slice(11).join(',')}
      --rows N               rows there are (100000)
      --injections N         of each outage (20)
  holdfast bench growth      what a put and a get cost as the data grows
      --against NAMES        ${PEERS.join(',')} (default: lmdb)
      --rows N,N,...         sizes (100000,1000000,10000000)

  --seconds S                of each measure and system (5; growth: 6)
  --json                     machine, durability, rows and results as JSON
`

const OPTIONS = /** @type {const} */ ({
  against: { type: 'string' },
  only: { type: 'string' },
  seconds: { type: 'string' },
  rows: { type: 'string' },
  injections: { type: 'string' },
  'import-rows': { type: 'string' },
  'reopen-rows': { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
})

class Usage extends Error {}

async function main() {
  const { what, values } = readArguments()
  if (values.help) {
    process.stdout.write(HELP)
    return
  }
  if (what === 'http') {
    await http(values)
    return
  }
  if (what === 'cluster') {
    await cluster(values)
    return
  }
  const peers = list('against', values.against, PEERS, what === 'growth' ? ['lmdb'] : PEERS)
  const systems = ['holdfast', ...peers]
  if (what === 'growth') {
    const sizes = (values.rows ?? '100000,1000000,10000000').split(',').map((n) => count('rows', n))
    const seconds = amount('seconds', values.seconds ?? '6')
    prepare(peers)
    const machine = describeMachine()
    const results = await measureGrowth({ systems, sizes, seconds })
    if (values.json) print({ machine, durability: 'fsynced', rows: sizes, results })
    else printGrowth(machine, results)
    return
  }
  const options = {
    systems,
    names: list('only', values.only, NAMES, NAMES),
    seconds: amount('seconds', values.seconds ?? '5'),
    rows: count('rows', values.rows ?? '100000'),
    importRows: count('import-rows', values['import-rows'] ?? '3000000'),
    reopenRows: count('reopen-rows', values['reopen-rows'] ?? '1000000'),
  }
  prepare(peers)
  const machine = describeMachine()
  const results = await measureEmbedded(options)
  if (values.json) print({ machine, durability: 'fsynced', rows: options.rows, results })
  else printResults(machine, options.rows, results)
}

/** @param {ReturnType<typeof readArguments>['values']} values */
async function http(values) {
  const options = {
    systems: ['holdfast', 'hono', ...list('against', values.against, HTTP_PEERS, [])],
    names: list('only', values.only, HTTP_NAMES, HTTP_NAMES),
    seconds: amount('seconds', values.seconds ?? '5'),
    rows: count('rows', values.rows ?? '100000'),
  }
  prepareHoldfast()
  preparePeers(['autocannon', 'ioredis', 'pg'])
  const machine = describeMachine()
  const results = await measureHttp(options)
  if (values.json) print({ machine, durability: 'fsynced', rows: options.rows, results })
  else printResults(machine, options.rows, results)
}

/** @param {ReturnType<typeof readArguments>['values']} values */
async function cluster(values) {
  if (values.only?.split(',').includes(SEVERAL_LOGS) === true) {
    throw new Usage(`--only: ${SEVERAL_LOGS} takes two logs, and a database has one so far`)
  }
  const options = {
    systems: ['holdfast', ...list('against', values.against, CLUSTER_PEERS, [])],
    names: list('only', values.only, CLUSTER_NAMES, CLUSTER_NAMES),
    seconds: amount('seconds', values.seconds ?? '5'),
    rows: count('rows', values.rows ?? '100000'),
    injections: count('injections', values.injections ?? '20', 1),
  }
  prepareHoldfast()
  const machine = describeMachine()
  const { results, missing } = await measureCluster(options)
  const head = { machine, durability: 'quorum-fsynced', rows: options.rows }
  if (values.json) print({ ...head, missing, results })
  else printCluster(machineLine(machine), options.rows, results, missing)
}

/** @param {readonly string[]} peers */
function prepare(peers) {
  prepareHoldfast()
  preparePeers(peers.filter((peer) => peer !== 'lmdb'))
}

// --- arguments ---

function readArguments() {
  try {
    const { positionals, values } = parseArgs({ options: OPTIONS, allowPositionals: true })
    const [what = 'embedded', ...rest] = positionals
    if (rest.length > 0 || !['embedded', 'http', 'cluster', 'growth'].includes(what)) {
      throw new Usage(
        `no such benchmark: ${positionals.join(' ')}; there are embedded, http, cluster and growth`,
      )
    }
    return { what, values }
  } catch (cause) {
    throw cause instanceof Usage ? cause : new Usage(/** @type {Error} */ (cause).message)
  }
}

/**
 * @param {string} option
 * @param {string | undefined} text names and commas
 * @param {readonly string[]} known
 * @param {readonly string[]} otherwise
 */
function list(option, text, known, otherwise) {
  if (text === undefined) return otherwise
  const names = text.split(',').filter((name) => name !== '' && name !== 'holdfast')
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length === 0) return names
  throw new Usage(`--${option}: no such name: ${unknown.join(', ')}; there are ${known.join(', ')}`)
}

/** @param {string} option @param {string} text @param {number} least */
function count(option, text, least = 1000) {
  const value = Number(text.replaceAll('_', ''))
  if (Number.isInteger(value) && value >= least) return value
  throw new Usage(`--${option} takes a whole number from ${least}`)
}

/** @param {string} option @param {string} text */
function amount(option, text) {
  const value = Number(text)
  if (value > 0 && Number.isFinite(value)) return value
  throw new Usage(`--${option} takes a number above 0`)
}

// --- output ---

/** @param {object} value */
function print(value) {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`)
}

/** @param {Machine} machine */
function machineLine({ cpu, cores, memoryBytes, node, kernel, fsyncP50Ms }) {
  const memory = `${Math.round(memoryBytes / 2 ** 30)} GiB`
  return `${cpu}, ${cores} cores, ${memory}, node ${node}, ${kernel}, fsync p50 ${fsyncP50Ms} ms`
}

/** @param {Machine} machine @param {number} rows @param {readonly (Result & { maxMs?: number })[]} results */
function printResults(machine, rows, results) {
  const lines = results.map((result) => {
    const own = results.find(({ name, system }) => name === result.name && system === 'holdfast')
    // Of feeds the rate is given, and the delays are what counts.
    const isGiven = result.maxMs !== undefined
    const ratio =
      own === undefined || isGiven ? '' : (own.opsPerSecond / result.opsPerSecond).toFixed(2)
    return [
      result.name,
      result.system,
      figure(result.opsPerSecond),
      figure(result.p50Ms),
      figure(result.p99Ms),
      result.system === 'holdfast' ? '' : ratio,
      noteOf(result),
    ]
  })
  const head = ['measure', 'system', 'per second', 'p50 ms', 'p99 ms', 'holdfast/it', '']
  process.stdout.write(`${machineLine(machine)}\n`)
  process.stdout.write(`${rows.toLocaleString('en-US')} rows of 100 B; every ack is fsynced\n\n`)
  process.stdout.write(`${table(head, lines, 2)}\n`)
}

/** @param {Result & { maxMs?: number }} result */
function noteOf({ name, peakAnonBytes, getP50Ms, variant, maxMs }) {
  if (maxMs !== undefined) return `events, max ${figure(maxMs)} ms`
  if (name === 'bulk') return 'rows'
  if (variant !== undefined) return variant
  if (peakAnonBytes !== undefined) return `${Math.round(peakAnonBytes / 1e6)} MB anonymous`
  if (getP50Ms !== undefined) return `first get ${figure(getP50Ms)} ms`
  return name.startsWith('scan') ? 'rows' : ''
}

/** @param {Machine} machine @param {readonly import('./lib/growth.mjs').GrowthResult[]} results */
function printGrowth(machine, results) {
  const lines = results.map(({ name, system, rows, opsPerSecond, microsecondsEach }) => [
    name,
    system,
    rows.toLocaleString('en-US'),
    figure(opsPerSecond),
    figure(microsecondsEach),
  ])
  process.stdout.write(`${machineLine(machine)}\n\n`)
  process.stdout.write(
    `${table(['measure', 'system', 'rows', 'per second', 'µs each'], lines, 2)}\n`,
  )
}

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.once(signal, () => {
    cleanUp()
    process.exit(130)
  })
}
try {
  await main()
} catch (cause) {
  if (cause instanceof Usage) {
    say(cause.message)
    process.exitCode = 2
  } else {
    say(cause instanceof BenchFailed ? cause.message : String(/** @type {Error} */ (cause).stack))
    process.exitCode = 1
  }
} finally {
  cleanUp()
}
