// Makes a checkout runnable: installs the dependencies when they are missing or differ from
// package-lock.json, and builds dist/ when anything it is made of has changed. Run before start,
// test and bin/holdfast, so it depends on nothing but Node, and costs a few file stats when there
// is nothing to do. Two at once are safe: one works, the other waits and finds the work done.
//
//   node scripts/setup.mjs             do what is needed
//   node scripts/setup.mjs --build     build even if dist/ looks current
//
// Invariant: a stamp is written only after the work it stands for succeeded, and it holds the
// fingerprint taken before that work began; a change made meanwhile makes the next run work again.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const lockFile = join(root, 'package-lock.json')
const modules = join(root, 'node_modules')
const installStamp = join(modules, '.holdfast-setup')
const dist = join(root, 'dist')
const buildStamp = join(dist, '.build-stamp')
const buildConfigs = ['tsconfig.json', 'tsconfig.build.json', 'package.json', 'scripts/bundle.mjs']

const lock = join(root, '.setup-lock')
const heartbeatMs = 1_000
const staleMs = 10_000

/** @param {string} text */
const say = (text) => process.stderr.write(`holdfast: ${text}\n`)

/** @param {string} path @returns {string | undefined} */
function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** @param {unknown} error @param {string} code */
function isCode(error, code) {
  return error instanceof Error && 'code' in error && error.code === code
}

/** @param {string} text */
const hashOf = (text) => createHash('sha256').update(text).digest('hex')

// --- what is needed ---

/** What node_modules should be: the lock file and the Node that native parts were chosen for. */
const installPrint = () =>
  hashOf(
    `${process.version} ${process.platform} ${process.arch}\n${readFileSync(lockFile, 'utf8')}`,
  )

/** Path, size and time of everything dist/ is made of; contents are not read. */
function buildPrint() {
  const parts = buildConfigs.map((name) => printOf(name))
  const walk = (/** @type {string} */ folder) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`
      if (entry.isDirectory()) walk(path)
      else if (!/\.(test|contract)\.ts$/.test(entry.name)) parts.push(printOf(path))
    }
  }
  walk('src')
  return parts.toSorted().join('\n')
}

/** @param {string} path */
function printOf(path) {
  const { size, mtimeMs } = statSync(join(root, path))
  return `${path} ${size} ${mtimeMs}`
}

const installNeeded = () => readIfThere(installStamp) !== installPrint()
const buildNeeded = () => readIfThere(buildStamp) !== buildPrint()

// --- doing it ---

/**
 * Whether node_modules already is what the lock file says, as after `npm install <package>`:
 * then there is nothing to install, and nobody's running tests lose their modules.
 */
function installedAlready() {
  const hidden = readIfThere(join(modules, '.package-lock.json'))
  if (hidden === undefined) return false
  const wanted = packagesOf(readFileSync(lockFile, 'utf8'))
  const present = packagesOf(hidden)
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true
    const found = present[path]
    if (found === undefined) return entry.optional === true
    return found.version === entry.version && found.integrity === entry.integrity
  })
}

/** @typedef {{ version?: string, integrity?: string, optional?: boolean }} Locked */

/** @param {string} text of a lock file */
function packagesOf(text) {
  const { packages } = /** @type {{ packages: Record<string, Locked> }} */ (JSON.parse(text))
  return packages
}

async function install() {
  const print = installPrint()
  if (!installedAlready()) {
    say('installing dependencies (npm ci)')
    const { command, args } = npm(['ci', '--include=dev', '--no-fund', '--no-audit'])
    const { code, output } = await run(command, args)
    if (code !== 0) {
      process.stderr.write(output)
      fail(
        'npm ci failed, see above. It needs the npm registry, or an npm cache that has the ' +
          'packages; run `npm ci` in the checkout to try again.',
      )
    }
  }
  writeFileSync(installStamp, print)
}

/** The npm that runs us, or the one on the path. @param {string[]} args */
function npm(args) {
  const path = process.env['npm_execpath']
  if (path !== undefined && /npm-cli\.c?js$/.test(path)) {
    return { command: process.execPath, args: [path, ...args] }
  }
  return { command: 'npm', args }
}

async function build() {
  const print = buildPrint()
  const before = readIfThere(buildStamp)
  say('building dist/ (tsc)')
  // What a removed or renamed source left behind must not be importable, nor published.
  if (before === undefined || pathsOf(before) !== pathsOf(print)) {
    rmSync(dist, { recursive: true, force: true })
  }
  rmSync(buildStamp, { force: true })
  const tsc = join(modules, 'typescript', 'bin', 'tsc')
  const { code, output } = await run(process.execPath, [tsc, '-p', 'tsconfig.build.json'])
  if (code !== 0) {
    process.stderr.write(output)
    fail('the build failed, see above; dist/ is not current')
  }
  // Only now: it needs what was installed.
  const { bundleCommand } = await import('./bundle.mjs')
  await bundleCommand()
  writeFileSync(buildStamp, print)
}

/** @param {string} print */
const pathsOf = (print) => print.replaceAll(/ .*$/gm, '')

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<{ code: number, output: string }>}
 */
function run(command, args) {
  return new Promise((resolve, reject) => {
    const shell = process.platform === 'win32' && command === 'npm'
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], shell })
    let output = ''
    const take = (/** @type {Buffer} */ chunk) => {
      output += chunk.toString()
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.once('error', reject)
    child.once('close', (code) => resolve({ code: code ?? 1, output }))
  })
}

/** @param {string} text @returns {never} */
function fail(text) {
  throw new SetupFailed(text)
}

class SetupFailed extends Error {}

// --- one at a time ---

/**
 * Runs `work` while holding the lock: a folder, whose time the holder renews while it lives.
 * @param {() => Promise<void>} work
 */
async function alone(work) {
  await take()
  const heartbeat = setInterval(() => {
    const now = new Date()
    utimesSync(lock, now, now)
  }, heartbeatMs)
  try {
    await work()
  } finally {
    clearInterval(heartbeat)
    rmSync(lock, { recursive: true, force: true })
  }
}

async function take() {
  for (let waited = 0; ; waited += 1) {
    try {
      mkdirSync(lock)
      writeFileSync(join(lock, 'holder'), `${hostname()} ${process.pid}`)
      return
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error
    }
    if (waited === 0) say('waiting for another setup of this checkout')
    if (abandoned()) takeOver()
    await sleep(100)
  }
}

/** Whether the holder of the lock died without releasing it. */
function abandoned() {
  try {
    if (Date.now() - statSync(lock).mtimeMs > staleMs) return true
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false
    throw error
  }
  const [host, pid] = (readIfThere(join(lock, 'holder')) ?? '').split(' ')
  if (host !== hostname() || !(Number(pid) > 0)) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return isCode(error, 'ESRCH')
  }
}

/** Removes an abandoned lock. Guarded, so that nobody removes the lock of a newer holder. */
function takeOver() {
  const guard = `${lock}-takeover`
  try {
    mkdirSync(guard)
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error
    const since = statSync(guard, { throwIfNoEntry: false })?.mtimeMs
    if (since !== undefined && Date.now() - since > staleMs) rmSync(guard, { recursive: true })
    return
  }
  try {
    if (abandoned()) rmSync(lock, { recursive: true, force: true })
  } finally {
    rmSync(guard, { recursive: true, force: true })
  }
}

// --- main ---

const force = process.argv.includes('--build')
try {
  if (force || installNeeded() || buildNeeded()) {
    await alone(async () => {
      if (installNeeded()) await install()
      if (force || buildNeeded()) await build()
    })
  }
} catch (error) {
  if (!(error instanceof SetupFailed)) throw error
  say(error.message)
  process.exitCode = 1
}
