// Worker processes, with one system each, and fresh folders on the checkout's disk.

import { fork } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const scratch = fileURLToPath(new URL('../.tmp', import.meta.url))

/** Longest wait for an answer. */
const ANSWER_MS = 1_800_000

/**
 * @typedef {import('../worker.mjs').Request | import('../http-worker.mjs').HttpRequest
 *   | import('../cluster-worker.mjs').ClusterRequest} Request
 */
/** The script that a worker runs, in bench/. @typedef {'worker' | 'http-worker' | 'cluster-worker'} Script */

/** A new empty folder; `removeFolders` removes it. */
export function freshFolder() {
  mkdirSync(scratch, { recursive: true })
  const folder = mkdtempSync(join(scratch, 'run-'))
  folders.add(folder)
  return folder
}

/** @type {Set<string>} */
const folders = new Set()
/** Processes that end with this one. @type {Set<{ kill(): void }>} */
export const owned = new Set()

/** @param {string} folder */
export function removeFolder(folder) {
  folders.delete(folder)
  rmSync(folder, { recursive: true, force: true })
}

/** Kills what still runs, and removes what it wrote. */
export function cleanUp() {
  for (const process of owned) process.kill()
  for (const folder of folders) removeFolder(folder)
}

export class Child {
  #process
  /** @type {{ resolve: (answer: unknown) => void, reject: (cause: Error) => void } | undefined} */
  #asked
  /** @type {string} */
  #output = ''

  /** @param {string} system @param {string} folder @param {Record<string, string>} env @param {Script} script */
  constructor(system, folder, env, script) {
    const execArgv = (process.env['HOLDFAST_BENCH_NODE_ARGS'] ?? '').split(' ').filter(Boolean)
    const file = fileURLToPath(new URL(`../${script}.mjs`, import.meta.url))
    this.#process = fork(file, [system, folder], {
      execArgv,
      silent: true,
      env: { ...process.env, ...env },
    })
    owned.add(this)
    const keep = (/** @type {Buffer} */ chunk) => {
      this.#output = (this.#output + chunk.toString()).slice(-4000)
    }
    this.#process.stdout?.on('data', keep)
    this.#process.stderr?.on('data', keep)
    this.#process.on('message', (message) => {
      const { answer, error } = /** @type {{ answer?: unknown, error?: string }} */ (message)
      if (error === undefined) this.#asked?.resolve(answer)
      else this.#asked?.reject(new Error(error))
    })
    this.#process.on('exit', (code, signal) => {
      owned.delete(this)
      this.#asked?.reject(new Error(`the worker ended (${code ?? signal})\n${this.#output}`))
    })
  }

  /** @param {string} system @param {string} folder @param {Record<string, string>} env @param {Script} script */
  static async start(system, folder, env = {}, script = 'worker') {
    const child = new Child(system, folder, env, script)
    await child.#answer()
    return child
  }

  /** @template T @param {Request} request @returns {Promise<T>} */
  async ask(request) {
    const answered = this.#answer()
    this.#process.send(request)
    return /** @type {Promise<T>} */ (answered)
  }

  /**
   * Asks some of them at the same time.
   * @template T
   * @param {readonly Child[]} children
   * @param {(i: number) => Request} requestOf
   * @returns {Promise<T[]>}
   */
  static askAll(children, requestOf) {
    return Promise.all(
      children.map(async (child, i) => {
        /** @type {T} */
        const answer = await child.ask(requestOf(i))
        return answer
      }),
    )
  }

  /** Sends a request that is never answered. @param {Request} request */
  tell(request) {
    this.#process.send(request)
  }

  get pid() {
    return this.#process.pid
  }

  /** Anonymous resident memory in bytes, 0 when it is not known. */
  anonymousBytes() {
    try {
      const status = readFileSync(`/proc/${this.#process.pid}/status`, 'utf8')
      return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
    } catch {
      return 0
    }
  }

  kill() {
    this.#process.kill('SIGKILL')
  }

  /** @returns {Promise<void>} */
  async killed() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    this.#asked = undefined
    await new Promise((resolve) => {
      this.#process.once('exit', resolve)
      this.kill()
    })
  }

  async close() {
    await this.ask({ type: 'close' })
    await this.killed()
  }

  /** @returns {Promise<unknown>} */
  #answer() {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.kill()
        reject(new Error(`no answer in ${ANSWER_MS / 1000} s\n${this.#output}`))
      }, ANSWER_MS)
      const settled = () => {
        clearTimeout(late)
        this.#asked = undefined
      }
      this.#asked = {
        resolve: (answer) => {
          settled()
          resolve(answer)
        },
        reject: (cause) => {
          settled()
          reject(cause)
        },
      }
    })
  }
}
