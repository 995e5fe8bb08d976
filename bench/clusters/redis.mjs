// Redis alone, synced before every answer (appendonly, appendfsync always): durable on one disk, not
// on a quorum. Rows are JSON under their id; a client process has one connection, pipelined.

import { connected, startRedis } from '../services/redis.mjs'
import { CLIENTS } from './cluster.mjs'

/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('./cluster.mjs').ClusterModule} ClusterModule */

const TRANSFER = `
  for i, delta in ipairs({-1, 1}) do
    local row = cjson.decode(redis.call('GET', KEYS[i]))
    row.balance = row.balance + delta
    redis.call('SET', KEYS[i], cjson.encode(row))
  end`

/** @type {ClusterModule} */
export const cluster = {
  does: ['put', 'get.linearizable', 'transfer'],
  variant: 'one server',
  packages: ['ioredis'],
  start: async (folder) => {
    const { server, url } = await startRedis(folder)
    return {
      clients: Array.from({ length: CLIENTS }, () => url),
      pids: server.pid === undefined ? [] : [server.pid],
      stop: () => server.stop('SIGKILL'),
    }
  },
  connect: async (options) => {
    const redis = await connected(/** @type {string} */ (options), { enableAutoPipelining: true })
    return {
      load: (items) => redis.mset(items.flatMap((item) => [item.id, JSON.stringify(item)])),
      put: (item) => redis.set(item.id, JSON.stringify(item)),
      getLinearizable: async (id) => {
        const text = await redis.get(id)
        return text === null ? undefined : /** @type {Item} */ (JSON.parse(text))
      },
      transfer: (from, to) => redis.eval(TRANSFER, 2, from, to),
      close: () => redis.disconnect(),
    }
  },
}
