// Servers that are not installed here, out of Debian's archive: fetched by apt and unpacked below
// bench/.cache, with the libraries they lack. It needs no root, and leaves the system as it is.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from './external.mjs'
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
 * Finds a program on PATH, in `folders`, or in a Debian package. Throws `Missing`.
 * @param {string} name
 * @param {string} aptPackage
 * @param {(root: string) => readonly string[]} folders where it is below a root: '/' or the unpacked packages
 * @returns {Program}
 */
export function programNamed(name, aptPackage, folders) {
  const path = (process.env['PATH'] ?? '').split(delimiter)
  const here = [...folders('/'), ...path].find((folder) => existsSync(join(folder, name)))
  if (here !== undefined) return { file: join(here, name), env: process.env }
  const root = join(cache, aptPackage)
  if (!existsSync(root)) fetchPackage(aptPackage, root)
  const folder = folders(root).find((known) => existsSync(join(known, name)))
  if (folder === undefined) throw new Missing(`${aptPackage} has no ${name}`)
  const env = { ...process.env, LD_LIBRARY_PATH: libraryFolders(root).join(':') }
  const file = join(folder, name)
  const { status, error, stderr } = spawnSync(file, ['--version'], { env, encoding: 'utf8' })
  if (status !== 0) throw new Missing(`${file} does not run: ${error?.message ?? stderr.trim()}`)
  return { file, env }
}

/** @param {string} aptPackage @param {string} root */
function fetchPackage(aptPackage, root) {
  say(`fetching ${aptPackage} from Debian's archive into ${root}`)
  const apt = join(cache, 'apt')
  const debs = join(cache, `${aptPackage}.debs`)
  const unpacked = `${root}.part`
  for (const folder of [debs, unpacked]) rmSync(folder, { recursive: true, force: true })
  for (const folder of ['lists/partial', 'archives/partial']) {
    mkdirSync(join(apt, folder), { recursive: true })
  }
  mkdirSync(debs, { recursive: true })
  const options = [
    ...['-o', `Dir::State::Lists=${join(apt, 'lists')}`, '-o', `Dir::Cache=${apt}`],
    ...['-o', 'Debug::NoLocking=1'],
  ]
  try {
    run({ file: 'apt-get', args: [...options, 'update'] })
    const simulated = ['install', '--simulate', '--no-install-recommends', aptPackage]
    const plan = run({ file: 'apt-get', args: [...options, ...simulated] })
    const missing = [...plan.matchAll(/^Inst (\S+)/gm)].map((match) => String(match[1]))
    run({ file: 'apt-get', args: [...options, 'download', ...missing], cwd: debs })
    for (const name of readdirSync(debs)) {
      run({ file: 'dpkg', args: ['-x', join(debs, name), unpacked] })
    }
    renameSync(unpacked, root)
  } catch (cause) {
    throw new Missing(`${aptPackage} cannot be fetched: ${/** @type {Error} */ (cause).message}`)
  } finally {
    rmSync(debs, { recursive: true, force: true })
  }
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
