// Three nats-servers of one cluster on this machine, which sync before they answer.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@nats-io/transport-node'
import { findNatsServer } from '../../scripts/nats-server.mjs'
import { Missing } from './debian.mjs'
import { External } from './external.mjs'
import { freePort } from './free-port.mjs'

const COUNT = 3
const LOOK_MS = 20
/** Longest wait for a leader, or for the replicas to follow it. */
const SETTLE_MS = 60_000

/**
 * What is used of a server's answer about its streams.
 * @typedef {object} StreamDetail
 * @property {string} name
 * @property {{ leader?: string, replicas?: readonly { current?: boolean }[] }} [cluster]
 * @typedef {object} Jsz
 * @property {{ leader?: string }} [meta_cluster]
 * @property {readonly { stream_detail?: readonly StreamDetail[] }[]} [account_details]
 */

/** @typedef {import('@nats-io/transport-node').NatsConnection} NatsConnection */
/** @typedef {{ port: number, url: string, monitor: string, config: string }} Server */

export class NatsServers {
  #file
  /** @type {readonly Server[]} */
  #servers
  /** @type {(External | undefined)[]} */
  #running = []

  /** @param {string} file @param {readonly Server[]} servers */
  constructor(file, servers) {
    this.#file = file
    this.#servers = servers
  }

  /** Throws `Missing`. @param {string} folder */
  static async start(folder) {
    const servers = new NatsServers(program(), await configure(folder))
    await Promise.all(servers.#servers.map((_, i) => servers.restart(i)))
    // Until all know JetStream's own leader, some would not answer who makes a stream.
    await servers.#until('leader of JetStream', async () => {
      const seen = await Promise.all(servers.#servers.map((_, i) => servers.#jsz(i)))
      const leaders = seen.map(({ meta_cluster: meta }) => meta?.leader ?? '')
      return leaders.includes('') ? undefined : leaders
    })
    return servers
  }

  get urls() {
    return this.#servers.map(({ url }) => url)
  }

  get monitors() {
    return this.#servers.map(({ monitor }) => monitor)
  }

  get pids() {
    return this.#running.flatMap((server) => server?.pid ?? [])
  }

  /** @param {number} i */
  async kill(i) {
    await this.#running[i]?.stop('SIGKILL')
  }

  /** @param {number} i */
  async restart(i) {
    const { config, port } = /** @type {Server} */ (this.#servers[i])
    this.#running[i] = await External.start({ file: this.#file, args: ['-c', config] }, port)
  }

  /** Which server leads a stream, as soon as one of those `asked` says so. @param {string} stream @param {readonly number[]} asked */
  async leader(stream, asked = this.#servers.map((_, i) => i)) {
    return this.#until(`leader of ${stream}`, async () => {
      for (const i of asked) {
        const leader = (await this.#detail(i, stream))?.cluster?.leader ?? ''
        const index = Number(leader.split('-')[1]) - 1
        if (asked.includes(index)) return index
      }
      return undefined
    })
  }

  /** Resolves once all replicas of a stream have what its leader has. @param {string} stream */
  async inStep(stream) {
    await this.#until(`current replicas of ${stream}`, async () => {
      const detail = await this.#detail(await this.leader(stream), stream)
      const replicas = detail?.cluster?.replicas ?? []
      const current = replicas.filter((replica) => replica.current === true)
      return current.length === COUNT - 1 ? true : undefined
    })
  }

  /**
   * Makes something that may be made twice: of servers that have just come up, one may not answer.
   * @param {(connection: NatsConnection) => Promise<void>} make
   */
  async make(make) {
    const connection = await connect({ servers: this.urls })
    const end = performance.now() + SETTLE_MS
    for (;;) {
      try {
        await make(connection)
        await connection.close()
        return
      } catch (cause) {
        if (performance.now() > end) throw cause
        await sleep(LOOK_MS)
      }
    }
  }

  async stop() {
    await Promise.all(this.#running.map((_, i) => this.kill(i)))
  }

  /** @template T @param {string} what @param {() => Promise<T | undefined>} look @returns {Promise<T>} */
  async #until(what, look) {
    const end = performance.now() + SETTLE_MS
    while (performance.now() < end) {
      const found = await look()
      if (found !== undefined) return found
      await sleep(LOOK_MS)
    }
    throw new Error(`no ${what} in ${SETTLE_MS / 1000} s`)
  }

  /** @param {number} i @param {string} stream */
  async #detail(i, stream) {
    const { account_details: accounts = [] } = await this.#jsz(i)
    const streams = accounts.flatMap(({ stream_detail: details = [] }) => details)
    return streams.find(({ name }) => name === stream)
  }

  /** Empty of a server that does not answer. @param {number} i @returns {Promise<Jsz>} */
  async #jsz(i) {
    const { monitor } = /** @type {Server} */ (this.#servers[i])
    try {
      const answer = await fetch(`${monitor}/jsz?accounts=true&streams=true`)
      return /** @type {Jsz} */ (await answer.json())
    } catch {
      return {}
    }
  }
}

function program() {
  try {
    return findNatsServer().path
  } catch (cause) {
    throw new Missing(/** @type {Error} */ (cause).message)
  }
}

/** @param {string} folder @returns {Promise<Server[]>} */
async function configure(folder) {
  const ports = await Promise.all(Array.from({ length: 3 * COUNT }, freePort))
  const routes = ports.slice(COUNT, 2 * COUNT).map((port) => `nats-route://127.0.0.1:${port}`)
  return Array.from({ length: COUNT }, (_, i) => {
    const name = `nats-${i + 1}`
    const store = join(folder, name)
    mkdirSync(store)
    const config = join(store, 'server.conf')
    const port = /** @type {number} */ (ports[i])
    const monitor = ports[2 * COUNT + i]
    const lines = [
      `server_name: ${name}`,
      `listen: "127.0.0.1:${port}"`,
      `http: "127.0.0.1:${monitor}"`,
      `jetstream { store_dir: "${store}", sync_interval: always }`,
      `cluster { name: bench, listen: "127.0.0.1:${ports[COUNT + i]}", routes: [${routes.join(', ')}] }`,
    ]
    writeFileSync(config, `${lines.join('\n')}\n`)
    return { port, url: `nats://127.0.0.1:${port}`, monitor: `http://127.0.0.1:${monitor}`, config }
  })
}
