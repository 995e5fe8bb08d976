// A server that is not ours, as a process of its own: ended with the benchmark, whatever happens.

import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { owned } from './child.mjs'

const READY_MS = 30_000
const LOOK_MS = 50
const STOP_MS = 10_000
const OUTPUT_MAX = 4000

/** `nobody`: servers that refuse to run as root run as this user. */
const NOBODY = 65_534

/** Whom to run as what must not run as root; gives them `folder`. @param {string} folder */
export function notRoot(folder) {
  if (process.getuid?.() !== 0) return {}
  chmodSync(folder, 0o700)
  chownSync(folder, NOBODY, NOBODY)
  return { uid: NOBODY, gid: NOBODY }
}

/**
 * @typedef {object} Command
 * @property {string} file
 * @property {readonly string[]} args
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string} [cwd]
 * @property {number} [uid]
 * @property {number} [gid]
 */

/** Runs a command to its end. Throws with what it said. @param {Command} command */
export function run({ file, args, ...options }) {
  const { status, error, stdout, stderr } = spawnSync(file, args, { ...options, encoding: 'utf8' })
  if (status === 0) return stdout
  throw new Error(`${file} ${args.join(' ')}: ${error?.message ?? `${stdout}${stderr}`.trim()}`)
}

export class External {
  #process
  #output = ''

  /** @param {Command} command */
  constructor({ file, args, ...options }) {
    this.#process = spawn(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    owned.add(this)
    const keep = (/** @type {Buffer} */ chunk) => {
      this.#output = (this.#output + chunk.toString()).slice(-OUTPUT_MAX)
    }
    this.#process.stdout.on('data', keep)
    this.#process.stderr.on('data', keep)
    this.#process.on('error', (error) => keep(Buffer.from(error.message)))
    this.#process.on('exit', () => owned.delete(this))
  }

  /** Starts it, and resolves once it takes connections on `port`. @param {Command} command @param {number} port */
  static async start(command, port) {
    const external = new External(command)
    for (let left = READY_MS / LOOK_MS; left > 0; left--) {
      if (await listens(port)) return external
      if (external.#ended) throw new Error(`${command.file} ended: ${external.#output.trim()}`)
      await sleep(LOOK_MS)
    }
    external.kill()
    throw new Error(`${command.file} did not start: ${external.#output.trim()}`)
  }

  get pid() {
    return this.#process.pid
  }

  get #ended() {
    const { exitCode, signalCode, pid } = this.#process
    return exitCode !== null || signalCode !== null || pid === undefined
  }

  /** Ends it in order, with `signal`. @param {NodeJS.Signals} signal @returns {Promise<void>} */
  async stop(signal) {
    if (this.#ended) return
    await new Promise((resolve) => {
      const late = setTimeout(() => this.kill(), STOP_MS)
      this.#process.once('exit', () => {
        clearTimeout(late)
        resolve(undefined)
      })
      this.#process.kill(signal)
    })
  }

  kill() {
    this.#process.kill('SIGKILL')
  }
}

/** @param {number} port @returns {Promise<boolean>} */
function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const done = (/** @type {boolean} */ is) => {
      socket.destroy()
      resolve(is)
    }
    socket.on('connect', () => done(true))
    socket.on('error', () => done(false))
  })
}
