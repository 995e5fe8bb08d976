// Servers that are not installed here, out of Debian's archive: fetched by apt and unpacked below
// bench/.cache, with the libraries they lack. It needs no root, and leaves the system as it is.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDebian, unpackPackage } from '../../scripts/debian.mjs'
import { say } from './prepare.mjs'

const cache = fileURLToPath(new URL('../.cache', import.meta.url))

/** A server that cannot be had here. */
export class Missing extends Error {}

/**
 * @typedef {object} Program
 * @property {string} file
 * @property {NodeJS.ProcessEnv} env to run it in
 */

/**
 * A package of the system's own sources; or, with `suites`, of the first one whose program runs here.
 * @typedef {{ name: string, suites?: readonly string[] }} DebianPackage
 */

/**
 * Finds a program on PATH, in `folders`, or in a Debian package. Throws `Missing`.
 * @param {string} name
 * @param {DebianPackage} aptPackage
 * @param {(root: string) => readonly string[]} folders where it is below a root: '/' or the unpacked packages
 * @returns {Program}
 */
export function programNamed(name, aptPackage, folders) {
  const path = (process.env['PATH'] ?? '').split(delimiter)
  const here = [...folders('/'), ...path].find((folder) => existsSync(join(folder, name)))
  if (here !== undefined) return { file: join(here, name), env: process.env }
  const root = join(cache, aptPackage.name)
  if (existsSync(root)) return programBelow(root, name, folders)
  /** @type {string[]} */
  const reasons = []
  for (const suite of aptPackage.suites ?? [undefined]) {
    try {
      fetchPackage(aptPackage.name, suite, root)
      return programBelow(root, name, folders)
    } catch (cause) {
      rmSync(root, { recursive: true, force: true })
      const { message } = /** @type {Error} */ (cause)
      reasons.push(suite === undefined ? message : `Debian ${suite}: ${message}`)
    }
  }
  throw new Missing(reasons.join('; '))
}

/** @param {string} root @param {string} name @param {(root: string) => readonly string[]} folders @returns {Program} */
function programBelow(root, name, folders) {
  const folder = folders(root).find((known) => existsSync(join(known, name)))
  if (folder === undefined) throw new Missing(`${root} has no ${name}`)
  const env = { ...process.env, LD_LIBRARY_PATH: libraryFolders(root).join(':') }
  const file = join(folder, name)
  const { status, error, stderr } = spawnSync(file, ['--version'], { env, encoding: 'utf8' })
  if (status !== 0) throw new Missing(`${file} does not run: ${error?.message ?? stderr.trim()}`)
  return { file, env }
}

/** @param {string} name @param {string | undefined} suite @param {string} root */
function fetchPackage(name, suite, root) {
  say(`fetching ${name} from Debian's archive into ${root}`)
  if (!isDebian()) throw new Missing(`${name}: this is no Debian, whose packages are used`)
  const into = `${root}.part`
  rmSync(into, { recursive: true, force: true })
  const work = join(cache, suite === undefined ? 'apt' : `apt-${suite}`)
  unpackPackage({ name, work, into, ...(suite === undefined ? {} : { suite }) })
  renameSync(into, root)
}

/** Where Debian keeps libraries: lib and usr/lib, and the machine's own folder in them. @param {string} root */
function libraryFolders(root) {
  return ['lib', 'usr/lib'].flatMap((name) => {
    const folder = join(root, name)
    if (!existsSync(folder)) return []
    const own = readdirSync(folder).filter((inner) => inner.endsWith('-linux-gnu'))
    return [folder, ...own.map((inner) => join(folder, inner))]
  })
}
