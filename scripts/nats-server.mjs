// Finds a nats-server at or above the floor on the PATH, or obtains the newest that Debian's suites
// offer, without root: its package is unpacked under node_modules/.cache. Prints the path.
//
//   node scripts/nats-server.mjs
//
// NATS_SERVER names one to use. Exit: 0 there is one, 1 none can be had here (why, on stderr).

import { spawnSync } from 'node:child_process'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDebian, unpackPackage } from './debian.mjs'

const FLOOR = [2, 10, 23]
/** Suites in the order in which they are tried: the newest server first. */
const SUITES = ['sid', 'trixie']
const CACHE = join(
  dirname(dirname(fileURLToPath(import.meta.url))),
  'node_modules/.cache/nats-server',
)

/** @typedef {{ path: string, version: string, from: string }} Found */

/** @returns {Found} @throws Error that says why there is none, and what to do */
export function findNatsServer() {
  const given = process.env['NATS_SERVER']
  if (given !== undefined) {
    const version = versionOf(given)
    if (version === undefined) throw new Error(`NATS_SERVER=${given} is no nats-server`)
    if (!reachesFloor(version)) throw new Error(tooOld(given, version))
    return { path: given, version, from: 'NATS_SERVER' }
  }
  const onPath = versionOf('nats-server')
  if (onPath !== undefined && reachesFloor(onPath)) {
    return { path: 'nats-server', version: onPath, from: 'PATH' }
  }
  const cached = join(CACHE, 'nats-server')
  const kept = versionOf(cached)
  if (kept !== undefined && reachesFloor(kept))
    return { path: cached, version: kept, from: 'Debian' }
  return obtain(cached, onPath)
}

/** @param {string} cached @param {string | undefined} onPath @returns {Found} */
function obtain(cached, onPath) {
  const reasons = onPath === undefined ? [] : [tooOld('nats-server on the PATH', onPath)]
  if (isDebian()) {
    for (const suite of SUITES) {
      const reason = fromSuite(suite, cached)
      const version = versionOf(cached)
      if (reason === undefined && version !== undefined && reachesFloor(version)) {
        return { path: cached, version, from: `Debian ${suite}` }
      }
      reasons.push(reason ?? `Debian ${suite} has ${version ?? 'none that runs here'}`)
    }
  } else reasons.push('this is no Debian, whose packages are used where they can be had')
  throw new Error(
    `no nats-server from ${FLOOR.join('.')} on: ${reasons.join('; ')}. Install one ` +
      '(https://docs.nats.io/running-a-nats-service/introduction/installation), or name it in NATS_SERVER.',
  )
}

/** Why it cannot be had from there; undefined when it is in place. @param {string} suite @param {string} target */
function fromSuite(suite, target) {
  const work = join(CACHE, `${suite}-${process.pid}`)
  try {
    const into = join(work, 'unpacked')
    unpackPackage({ name: 'nats-server', suite, work, into })
    const binary = ['usr/sbin/nats-server', 'usr/bin/nats-server']
      .map((path) => join(into, path))
      .find((path) => existsSync(path))
    if (binary === undefined) return `the package of ${suite} has no nats-server in it`
    renameSync(binary, target)
    return undefined
  } catch (cause) {
    return `Debian ${suite}: ${/** @type {Error} */ (cause).message}`
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** @param {string} path */
function versionOf(path) {
  const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 })
  return status === 0 ? /v?(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1] : undefined
}

/** @param {string} version */
function reachesFloor(version) {
  const parts = version.split(/[.-]/).map(Number)
  for (const [i, least] of FLOOR.entries()) {
    const part = parts[i] ?? 0
    if (part !== least) return part > least
  }
  return true
}

/** @param {string} what @param {string} version */
const tooOld = (what, version) => `${what} is ${version}, below ${FLOOR.join('.')}`

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const { path, version, from } = findNatsServer()
    process.stderr.write(`nats-server ${version} (${from})\n`)
    process.stdout.write(`${path}\n`)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}
