// The figures of `bench cluster` for people: rates, bytes, outages, and what could not be measured.

import { figure, table } from './table.mjs'

/** @typedef {import('./cluster.mjs').ClusterResult} ClusterResult */
/** @typedef {import('./cluster.mjs').RateResult} RateResult */
/** @typedef {import('./cluster.mjs').BytesResult} BytesResult */
/** @typedef {import('./outages.mjs').OutageResult} OutageResult */

/**
 * @param {string} machine
 * @param {number} rows
 * @param {readonly ClusterResult[]} results
 * @param {readonly import('./cluster.mjs').MissingSystem[]} missing
 */
export function printCluster(machine, rows, results, missing) {
  const parts = [
    `${machine}\n${rows.toLocaleString('en-US')} rows of 100 B; every ack is fsynced, by a quorum ` +
      'where a system has one',
    ratesTable(results.filter((result) => 'opsPerSecond' in result)),
    bytesTable(results.filter((result) => 'wireBytes' in result)),
    outagesTable(results.filter((result) => 'injections' in result)),
    missing.map(({ system, why }) => `MISSING ${system}: ${why}`).join('\n'),
  ]
  process.stdout.write(`${parts.filter((part) => part !== '').join('\n\n')}\n`)
}

/** @param {readonly RateResult[]} results */
function ratesTable(results) {
  if (results.length === 0) return ''
  const lines = results.map((result) => {
    const { name, system, opsPerSecond, p50Ms, p99Ms } = result
    const own = results.find((other) => other.name === name && other.system === 'holdfast')
    // At half of its own peak, what counts is how long callers wait.
    const isGiven = result.offeredPerSecond !== undefined
    const ratio =
      own === undefined || own === result || isGiven ? '' : own.opsPerSecond / opsPerSecond
    return [
      ...[name, system, figure(opsPerSecond), figure(p50Ms), figure(p99Ms)],
      ratio === '' ? '' : ratio.toFixed(2),
      noteOf(result),
    ]
  })
  return table(['measure', 'system', 'per second', 'p50 ms', 'p99 ms', 'holdfast/it', ''], lines, 2)
}

/** @param {RateResult} result */
function noteOf({ variant, p999Ms, offeredPerSecond }) {
  const offered =
    p999Ms === undefined || offeredPerSecond === undefined
      ? []
      : [`${figure(offeredPerSecond)} asked for, p99.9 ${figure(p999Ms)} ms`]
  return [...(variant === undefined ? [] : [variant]), ...offered].join(', ')
}

/** @param {readonly BytesResult[]} results */
function bytesTable(results) {
  if (results.length === 0) return ''
  const lines = results.map(({ name, system, wireBytes, diskBytes }) => {
    return [name, system, figure(wireBytes), figure(diskBytes)]
  })
  return table(['measure', 'system', 'B sent', 'B written'], lines, 2)
}

/** @param {readonly OutageResult[]} results */
function outagesTable(results) {
  if (results.length === 0) return ''
  const lines = results.map((result) => {
    const { name, injections, p50Ms, p99Ms, maxMs, undisturbedP50Ms, undisturbedMaxMs } = result
    return [
      ...[name, String(injections)],
      ...[p50Ms, p99Ms, maxMs, undisturbedP50Ms, undisturbedMaxMs].map(figure),
      electionOf(result),
    ]
  })
  const head = ['longest wait of a put', 'times', 'p50 ms', 'p99 ms', 'max ms']
  return table([...head, 'undisturbed p50', 'max', ''], lines, 1)
}

/** @param {OutageResult} result */
function electionOf({ electionP50Ms, afterElectionMaxMs, failed }) {
  const unacked = failed === 0 ? [] : [`${failed} puts failed`]
  if (electionP50Ms === undefined || afterElectionMaxMs === undefined) return unacked.join()
  const election = `election ${figure(electionP50Ms)} ms, then at most ${figure(afterElectionMaxMs)} ms`
  return [election, ...unacked].join(', ')
}
