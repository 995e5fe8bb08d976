// Holdfast: three nodes over three nats-servers, callers in the nodes' own processes. A row has no
// schema, as the peers have none.

/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('./cluster.mjs').ClusterModule} ClusterModule */

import { NatsServers } from '../lib/nats-servers.mjs'
import { CLIENTS } from './cluster.mjs'

/** The database's name on its servers, and what its log is called there. */
const NAME = 'bench'
export const LOG_STREAM = `HOLDFAST_${NAME}`

/** @param {NatsServers} servers */
export const nodeOptions = ({ urls, monitors }) => ({ servers: urls, monitors, name: NAME })

/** @type {ClusterModule} */
export const cluster = {
  does: ['put', 'get.linearizable', 'get.session', 'get.local', 'transfer'],
  packages: [],
  start: async (folder) => {
    const servers = await NatsServers.start(folder)
    return {
      clients: Array.from({ length: CLIENTS }, () => nodeOptions(servers)),
      pids: servers.pids,
      stop: () => servers.stop(),
    }
  },
  connect: async (options, dir) => {
    const { open, strong, unvalidated } = await import('../../dist/index.js')
    /** @type {import('../../dist/index.js').Unvalidated<Item>} */
    const row = unvalidated()
    const servers = /** @type {import('../../dist/index.js').ClusterOptions} */ (options)
    const db = await open({ dir, cluster: servers, tables: { items: strong({ row, key: 'id' }) } })
    const { items } = db
    if (db.durability !== 'quorum-fsynced') throw new Error(`acks say ${db.durability}`)
    const local = /** @type {const} */ ({ level: 'local' })
    return {
      load: async (rows) => {
        for (const result of await items.putMany(rows)) if (!result.ok) throw result.error
      },
      put: (item) => items.put(item),
      getLinearizable: (id) => items.get(id),
      getSession: (id) => items.get(id, { level: 'session', after: db.token }),
      getLocal: (id) => items.get(id, local),
      transfer: (from, to) =>
        db.transact(async (tx) => {
          const a = /** @type {Item} */ (await tx.items.get(from))
          const b = /** @type {Item} */ (await tx.items.get(to))
          await tx.items.put({ ...a, balance: a.balance - 1 })
          await tx.items.put({ ...b, balance: b.balance + 1 })
        }),
      close: () => db.close(),
    }
  },
}
