// Packages out of Debian's archive, fetched by apt and unpacked into a folder. It needs no root, and
// leaves the system as it is.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Milliseconds that one step may take. */
const STEP_MS = 120_000
const MIRROR = 'http://deb.debian.org/debian'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** @typedef {{ file: string, args: readonly string[], cwd?: string }} Step */

/** Whether this system has what fetching packages takes. */
export function isDebian() {
  return ['apt-get', 'dpkg'].every(
    (file) => spawnSync(file, ['--version'], { stdio: 'ignore', timeout: STEP_MS }).status === 0,
  )
}

/**
 * Unpacks a package into `into`: out of `suite`, alone; or, without one, as the system's own
 * sources have it, with the libraries that are missing here. `work`: a folder for what that takes.
 * @param {{ name: string, suite?: string, work: string, into: string }} options
 * @throws Error that says which step failed, and why
 */
export function unpackPackage({ name, suite, work, into }) {
  const debs = join(work, 'debs')
  rmSync(debs, { recursive: true, force: true })
  for (const folder of ['lists/partial', 'archives/partial', 'debs']) {
    mkdirSync(join(work, folder), { recursive: true })
  }
  const options = aptOptions(work, suite)
  const apt = (/** @type {readonly string[]} */ args, cwd = work) =>
    runStep({ file: 'apt-get', args: [...options, ...args], cwd })
  apt(['update'])
  const names = suite === undefined ? namesMissing(apt, name) : [name]
  apt(['download', ...names], debs)
  for (const deb of readdirSync(debs)) {
    runStep({ file: 'dpkg', args: ['-x', join(debs, deb), into] })
  }
  rmSync(debs, { recursive: true })
}

/** @param {string} work @param {string | undefined} suite */
function aptOptions(work, suite) {
  const settings = {
    'Dir::State::lists': join(work, 'lists'),
    'Dir::Cache': work,
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Acquire::http::Timeout': '15',
    'Acquire::Retries': '1',
    'Debug::NoLocking': '1',
    ...(suite === undefined ? {} : suiteSettings(work, suite)),
  }
  return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`])
}

/** Sources of its own: what the system has is none of its business. @param {string} work @param {string} suite */
function suiteSettings(work, suite) {
  const sources = join(work, 'sources.list')
  const signed = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : ''
  writeFileSync(sources, `deb ${signed}${MIRROR} ${suite} main\n`)
  return { 'Dir::Etc::sourcelist': sources, 'Dir::Etc::sourceparts': '-' }
}

/** The package, and what it needs that is not installed. @param {(args: readonly string[]) => string} apt @param {string} name */
function namesMissing(apt, name) {
  const plan = apt(['install', '--simulate', '--no-install-recommends', name])
  return [...plan.matchAll(/^Inst (\S+)/gm)].map((match) => String(match[1]))
}

/** @param {Step} step */
function runStep({ file, args, cwd }) {
  const { status, error, stdout, stderr } = spawnSync(file, args, {
    encoding: 'utf8',
    timeout: STEP_MS,
    ...(cwd === undefined ? {} : { cwd }),
  })
  if (status === 0) return stdout
  const words = args.filter((word, i) => word !== '-o' && args[i - 1] !== '-o')
  const why = error?.message ?? stderr.trim().split('\n').at(-1) ?? ''
  throw new Error(`${file} ${words.join(' ')} failed: ${why}`)
}
