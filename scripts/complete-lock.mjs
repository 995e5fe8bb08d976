// Completes package-lock.json with the packages of other platforms that npm left out of it: npm
// drops an optional package when the registry at hand does not list that version, and then
// `npm ci` refuses the very lock file it wrote. Run it after `npm install <package>`.
//
//   node scripts/complete-lock.mjs           add what is missing
//   node scripts/complete-lock.mjs --check   name what is missing, and any registry host in the file
//
// An added entry has version and platform, but no integrity, as nobody saw the package.

import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * @typedef {{
 *   version?: string, cpu?: string[], dev?: boolean, libc?: string[], optional?: boolean,
 *   os?: string[], optionalDependencies?: Record<string, string>
 * }} Entry
 * @typedef {{ packages: Record<string, Entry> }} Lock
 */

const file = join(dirname(dirname(fileURLToPath(import.meta.url))), 'package-lock.json')

// `@oxlint/binding-linux-x64-musl` and the like: the name says where the package runs.
const platform =
  /(android|darwin|freebsd|linux|openharmony|win32)-(arm64|arm|x64|ia32|ppc64|riscv64|s390x)(?:-(gnu|musl))?/

/**
 * The optional packages that some package names and the lock file does not hold.
 * @param {Lock} lock
 */
function missingFrom({ packages }) {
  return Object.entries(packages).flatMap(([path, { dev, optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies)
      .filter(([name]) => !isHeld(packages, path, name))
      .map(([name, version]) => ({ name, version, dev })),
  )
}

/**
 * Whether `name` resolves for the package at `path`: beside its own modules or in a folder above.
 * @param {Lock['packages']} packages
 * @param {string} path
 * @param {string} name
 */
function isHeld(packages, path, name) {
  for (let at = path; ; at = at.slice(0, Math.max(at.lastIndexOf('/node_modules/'), 0))) {
    if (`${at === '' ? '' : `${at}/`}node_modules/${name}` in packages) return true
    if (at === '') return false
  }
}

/** @param {{ name: string, version: string, dev: boolean | undefined }} missing @returns {Entry} */
function entryFor({ name, version, dev }) {
  const [, os, cpu, libc] = platform.exec(name) ?? []
  if (os === undefined || cpu === undefined) {
    throw new Error(`${name} does not name its platform: complete package-lock.json by hand`)
  }
  return {
    version,
    cpu: [cpu],
    ...(dev === true && { dev }),
    ...(libc !== undefined && { libc: [libc === 'gnu' ? 'glibc' : libc] }),
    optional: true,
    os: [os],
  }
}

const text = readFileSync(file, 'utf8')
const lock = /** @type {Lock} */ (JSON.parse(text))
const missing = missingFrom(lock)

if (process.argv.includes('--check')) {
  const faults = missing.map(
    ({ name, version }) => `${name}@${version} is not in package-lock.json`,
  )
  if (text.includes('"resolved"')) faults.push('package-lock.json names where packages came from')
  for (const fault of faults) console.error(fault)
  if (missing.length > 0) console.error('run: node scripts/complete-lock.mjs')
  if (faults.length > 0) process.exitCode = 1
} else if (missing.length > 0) {
  for (const each of missing) lock.packages[`node_modules/${each.name}`] = entryFor(each)
  const sorted = Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'))
  lock.packages = Object.fromEntries(sorted)
  writeFileSync(file, `${JSON.stringify(lock, undefined, 2)}\n`)
  console.log(`package-lock.json: added ${missing.length} packages of other platforms`)
}
