// A bare JetStream publish of the same bytes, to a stream of three replicas: what a write has to wait
// for at the least. Nothing can be read by key.

import { jetstream, jetstreamManager, StorageType } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { NatsServers } from '../lib/nats-servers.mjs'
import { CLIENTS } from './cluster.mjs'

/** @typedef {import('./cluster.mjs').ClusterModule} ClusterModule */

const STREAM = 'bench'

/** @type {ClusterModule} */
export const cluster = {
  does: ['put'],
  packages: [],
  start: async (folder) => {
    const servers = await NatsServers.start(folder)
    await servers.make(async (connection) => {
      const manager = await jetstreamManager(connection)
      await manager.streams.add({
        name: STREAM,
        subjects: [STREAM],
        num_replicas: CLIENTS,
        storage: StorageType.File,
      })
    })
    return {
      clients: servers.urls,
      pids: servers.pids,
      stop: () => servers.stop(),
    }
  },
  connect: async (options) => {
    const connection = await connect({ servers: /** @type {string} */ (options) })
    const client = jetstream(connection)
    const put = (/** @type {unknown} */ item) => client.publish(STREAM, JSON.stringify(item))
    return {
      // Nothing reads it: a publish costs the same whatever came before.
      load: () => Promise.resolve(),
      put,
      close: () => connection.close(),
    }
  },
}
