// JetStream's key-value buckets: three replicas over the same kind of servers as Holdfast's, rows in
// JSON. Its gets are answered by any replica; it has no linearizable ones, and no transactions.

import { connect } from '@nats-io/transport-node'
import { NatsServers } from '../lib/nats-servers.mjs'
import { CLIENTS } from './cluster.mjs'

/**
 * What is used of @nats-io/kv, which is there only once the peers are installed.
 * @typedef {object} Bucket
 * @property {(key: string, value: string) => Promise<number>} put
 * @property {(key: string) => Promise<{ json(): unknown } | null>} get
 * @typedef {object} Kvm
 * @property {(name: string, options: { replicas: number }) => Promise<Bucket>} create
 * @property {(name: string) => Promise<Bucket>} open
 */
/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('@nats-io/transport-node').NatsConnection} NatsConnection */
/** @typedef {import('./cluster.mjs').ClusterModule} ClusterModule */

const BUCKET = 'bench'

/** @param {NatsConnection} connection @returns {Promise<Kvm>} */
async function buckets(connection) {
  const peer = '@nats-io/kv'
  const { Kvm } = /** @type {{ Kvm: new (connection: NatsConnection) => Kvm }} */ (
    await import(peer)
  )
  return new Kvm(connection)
}

/** @type {ClusterModule} */
export const cluster = {
  does: ['put', 'get.local'],
  packages: ['@nats-io/kv'],
  start: async (folder) => {
    const servers = await NatsServers.start(folder)
    await servers.make(async (connection) => {
      await (await buckets(connection)).create(BUCKET, { replicas: CLIENTS })
    })
    return { clients: servers.urls, pids: servers.pids, stop: () => servers.stop() }
  },
  connect: async (options) => {
    const connection = await connect({ servers: /** @type {string} */ (options) })
    const bucket = await (await buckets(connection)).open(BUCKET)
    const put = (/** @type {Item} */ item) => bucket.put(item.id, JSON.stringify(item))
    return {
      load: (items) => Promise.all(items.map(put)),
      put,
      getLocal: async (id) => {
        const entry = await bucket.get(id)
        return entry === null ? undefined : /** @type {Item} */ (entry.json())
      },
      close: () => connection.close(),
    }
  },
}
