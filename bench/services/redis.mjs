// Redis, synced before every answer (appendonly, appendfsync always). Rows are JSON under their id;
// feeds are a stream, which is what can be resumed, read with XREAD BLOCK by a connection each.

import { join } from 'node:path'
import { programNamed } from '../lib/debian.mjs'
import { External } from '../lib/external.mjs'
import { freePort } from '../lib/free-port.mjs'
import { loadRows, loopRound, sentMsOf } from './loops.mjs'

/**
 * What is used of ioredis, which is there only once the peers are installed.
 * @typedef {object} Multi
 * @property {(key: string, value: string) => Multi} set
 * @property {(...args: string[]) => Multi} xadd
 * @property {() => Promise<[Error | null, unknown][] | null>} exec
 * @typedef {object} Redis
 * @property {() => Promise<void>} connect
 * @property {() => void} disconnect
 * @property {(key: string) => Promise<string | null>} get
 * @property {(key: string, value: string) => Promise<unknown>} set
 * @property {(pairs: readonly string[]) => Promise<unknown>} mset
 * @property {(script: string, keys: number, ...args: string[]) => Promise<unknown>} eval
 * @property {() => Multi} multi
 * @property {(...args: (string | number)[]) => Promise<[string, [string, string[]][]][] | null>} xread
 */
/** @typedef {import('./loops.mjs').Connection} Connection */
/** @typedef {import('./service.mjs').Service} Service */

/** @param {string} url @returns {Promise<Connection>} */
async function open(url) {
  const redis = await connected(url)
  return {
    get: async (id) => {
      const text = await redis.get(id)
      if (text === null) throw new Error(`redis has no row ${id}`)
      return /** @type {unknown} */ (JSON.parse(text))
    },
    put: (item) => redis.set(item.id, JSON.stringify(item)),
    bulk: (items) => redis.mset(items.flatMap((item) => [item.id, JSON.stringify(item)])),
    close: () => redis.disconnect(),
  }
}

/** @param {string} url @param {{ enableAutoPipelining?: boolean }} options @returns {Promise<Redis>} */
export async function connected(url, options = {}) {
  const peer = 'ioredis'
  const { Redis } = /** @type {{ Redis: new (url: string, options: object) => Redis }} */ (
    await import(peer)
  )
  const redis = new Redis(url, { ...options, lazyConnect: true })
  await redis.connect()
  return redis
}

/** An empty server. Throws `Missing`. @param {string} folder */
export async function startRedis(folder) {
  const { file, env } = programNamed('redis-server', { name: 'redis-server' }, (root) => [
    join(root, 'usr/bin'),
  ])
  const port = await freePort()
  const args = [
    ...['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--save', ''],
    ...['--appendonly', 'yes', '--appendfsync', 'always', '--maxclients', '5000'],
  ]
  const server = await External.start({ file, args, env }, port)
  return { server, url: `redis://127.0.0.1:${port}` }
}

/** @type {Service} */
export const service = {
  start: async (folder, rows) => {
    const { server, url } = await startRedis(folder)
    const connection = await open(url)
    await loadRows(connection, rows)
    await connection.close()
    return { url, stop: () => server.stop('SIGTERM') }
  },
  round: (load) => loopRound(load, open),
  openWriter: async (url) => {
    const redis = await connected(url)
    return {
      write: async (item) => {
        const text = JSON.stringify(item)
        const done = await redis.multi().set(item.id, text).xadd('feed', '*', 'row', text).exec()
        for (const [error] of done ?? []) if (error !== null) throw error
      },
      close: () => redis.disconnect(),
    }
  },
  openReaders: async (url, count, onSent) => {
    const all = await Promise.all(Array.from({ length: count }, () => connected(url)))
    let isClosed = false
    const follow = async (/** @type {Redis} */ redis) => {
      let last = '$'
      while (!isClosed) {
        const found = await redis.xread('BLOCK', 0, 'STREAMS', 'feed', last)
        for (const [id, fields] of found?.[0]?.[1] ?? []) {
          last = id
          onSent(sentMsOf(/** @type {string} */ (fields[1])))
        }
      }
    }
    for (const redis of all) {
      follow(redis).catch((/** @type {unknown} */ error) => {
        if (!isClosed) throw error
      })
    }
    return {
      close: () => {
        isClosed = true
        for (const redis of all) redis.disconnect()
      },
    }
  },
}
