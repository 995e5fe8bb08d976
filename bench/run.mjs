// Measures Holdfast beside its peers. `holdfast bench` runs this.
//
//   node bench/run.mjs embedded [--against lmdb,better-sqlite3,classic-level] [--only NAMES]
//                               [--seconds S] [--rows N] [--import-rows N] [--reopen-rows N] [--json]
//   node bench/run.mjs growth   [--rows 100000,1000000,10000000] [--against lmdb] [--seconds S] [--json]
//
// Figures go to stdout, everything else to stderr. Exit: 0 measured, 1 something failed, 2 usage.

import { parseArgs } from 'node:util'
import { cleanUp } from './lib/child.mjs'
import { measureEmbedded, NAMES } from './lib/embedded.mjs'
import { measureGrowth } from './lib/growth.mjs'
import { describeMachine } from './lib/machine.mjs'
import { BenchFailed, prepareHoldfast, preparePeers, say } from './lib/prepare.mjs'
import { figure, table } from './lib/table.mjs'
import { SYSTEMS } from './systems/system.mjs'

/** @typedef {import('./lib/machine.mjs').Machine} Machine */
/** @typedef {import('./lib/embedded.mjs').Result} Result */

const PEERS = SYSTEMS.filter((system) => system !== 'holdfast')
const OPTIONS = /** @type {const} */ ({
  against: { type: 'string' },
  only: { type: 'string' },
  seconds: { type: 'string' },
  rows: { type: 'string' },
  'import-rows': { type: 'string' },
  'reopen-rows': { type: 'string' },
  json: { type: 'boolean', default: false },
})

class Usage extends Error {}

async function main() {
  const { what, values } = readArguments()
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
  else printEmbedded(machine, options.rows, results)
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
    if (rest.length > 0 || !['embedded', 'growth'].includes(what)) {
      throw new Usage(`no such benchmark: ${positionals.join(' ')}; there are embedded and growth`)
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

/** @param {string} option @param {string} text */
function count(option, text) {
  const value = Number(text.replaceAll('_', ''))
  if (Number.isInteger(value) && value >= 1000) return value
  throw new Usage(`--${option} takes a whole number from 1000`)
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

/** @param {Machine} machine @param {number} rows @param {readonly Result[]} results */
function printEmbedded(machine, rows, results) {
  const lines = results.map((result) => {
    const own = results.find(({ name, system }) => name === result.name && system === 'holdfast')
    const ratio = own === undefined ? '' : (own.opsPerSecond / result.opsPerSecond).toFixed(2)
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

/** @param {Result} result */
function noteOf({ name, peakAnonBytes, getP50Ms, variant }) {
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
