// What must be there before measuring: Holdfast built, peers installed.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const bench = fileURLToPath(new URL('..', import.meta.url))
const setup = fileURLToPath(new URL('../../scripts/setup.mjs', import.meta.url))
const require = createRequire(import.meta.url)

/** A message for the person who runs it; data goes to stdout. @param {string} text */
export const say = (text) => process.stderr.write(`holdfast bench: ${text}\n`)

export class BenchFailed extends Error {}

/** Brings dist/ up to date. */
export function prepareHoldfast() {
  if (!existsSync(setup)) return
  const stdio = /** @type {const} */ (['ignore', 2, 2])
  const { status } = spawnSync(process.execPath, [setup], { stdio: [...stdio] })
  if (status !== 0) throw new BenchFailed('Holdfast could not be built, see above')
}

/** Installs what is missing of `peers`. @param {readonly string[]} peers */
export function preparePeers(peers) {
  const missing = peers.filter((peer) => !loads(peer))
  if (missing.length === 0) return
  say(`installing ${missing.join(' and ')} (npm ci in bench/; compiling may take some minutes)`)
  const { status } = spawnSync('npm', ['ci', '--no-fund', '--no-audit'], {
    cwd: bench,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  const left = missing.filter((peer) => !loads(peer))
  if (status === 0 && left.length === 0) return
  throw new BenchFailed(`${missing.join(' and ')} could not be installed, see above`)
}

/** @param {string} peer */
function loads(peer) {
  try {
    require.resolve(peer)
    return true
  } catch {
    return false
  }
}
