// Finds a nats-server at or above the floor on the PATH, or obtains the newest that Debian's suites
// offer, without root: its package is unpacked under node_modules/.cache. Prints the path.
//
//   node scripts/nats-server.mjs
//
// NATS_SERVER names one to use. Exit: 0 there is one, 1 none can be had here (why, on stderr).

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const FLOOR = [2, 10, 23]
/** Suites in the order in which they are tried: the newest server first. */
const SUITES = ['sid', 'trixie']
/** Milliseconds that one step of apt may take. */
const APT_MS = 60_000
const MIRROR = 'http://deb.debian.org/debian'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
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
  if (runs('apt-get', ['--version']) && runs('dpkg', ['--version'])) {
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
    mkdirSync(join(work, 'lists/partial'), { recursive: true })
    mkdirSync(join(work, 'archives/partial'), { recursive: true })
    const signed = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : ''
    writeFileSync(join(work, 'sources.list'), `deb ${signed}${MIRROR} ${suite} main\n`)
    const own = Object.entries({
      'Dir::Etc::sourcelist': join(work, 'sources.list'),
      'Dir::Etc::sourceparts': '-',
      'Dir::State::lists': join(work, 'lists'),
      'Dir::Cache': work,
      'APT::Sandbox::User': '',
      'Acquire::Languages': 'none',
      'Acquire::http::Timeout': '15',
      'Acquire::Retries': '1',
    }).flatMap(([name, value]) => ['-o', `${name}=${value}`])
    for (const args of [['update'], ['download', 'nats-server']]) {
      const { status, stderr, error } = spawnSync('apt-get', [...own, ...args], {
        cwd: work,
        encoding: 'utf8',
        timeout: APT_MS,
      })
      if (status !== 0)
        return `apt-get ${args.join(' ')} (${suite}) failed: ${error?.message ?? last(stderr)}`
    }
    const deb = readdirSync(work).find((name) => name.endsWith('.deb'))
    if (deb === undefined) return `Debian ${suite} gave no package`
    const { status, stderr } = spawnSync('dpkg', ['-x', deb, 'unpacked'], {
      cwd: work,
      encoding: 'utf8',
    })
    if (status !== 0) return `dpkg -x failed: ${last(stderr)}`
    const binary = ['usr/sbin/nats-server', 'usr/bin/nats-server']
      .map((path) => join(work, 'unpacked', path))
      .find((path) => existsSync(path))
    if (binary === undefined) return `the package of ${suite} has no nats-server in it`
    renameSync(binary, target)
    return undefined
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** @param {string} path */
function versionOf(path) {
  const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 })
  return status === 0 ? /v?(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1] : undefined
}

/** @param {string} program @param {string[]} args */
function runs(program, args) {
  return spawnSync(program, args, { stdio: 'ignore', timeout: 10_000 }).status === 0
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

/** @param {string} text */
const last = (text) => text.trim().split('\n').at(-1) ?? ''

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
