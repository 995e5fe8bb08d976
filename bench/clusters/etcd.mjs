// etcd of three members, which sync their logs before they answer. Rows are JSON under their id; a
// client process has a connection to one member, as etcd3 makes it, whose calls go side by side.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { programNamed } from '../lib/debian.mjs'
import { External } from '../lib/external.mjs'
import { freePort } from '../lib/free-port.mjs'
import { CLIENTS } from './cluster.mjs'

/**
 * What is used of etcd3, which is there only once the peers are installed.
 * @typedef {{ value: Buffer, mod_revision: string }} KeyValue
 * @typedef {{ serializable(): Range, exec(): Promise<{ kvs: readonly KeyValue[] }> } & Promise<unknown>} Range
 * @typedef {{ key: Buffer, value: Buffer }} PutRequest
 * @typedef {{ value(text: string): Put }} PutKey
 * @typedef {{ exec(): Promise<unknown> }} Put
 * @typedef {{ and(key: string, what: 'Mod', is: '==', value: string): Comparison,
 *   then(...puts: Put[]): Comparison, commit(): Promise<{ succeeded: boolean }> }} Comparison
 * @typedef {object} Etcd
 * @property {(key: string) => Range} get
 * @property {(key: string) => PutKey} put
 * @property {(key: string, what: 'Mod', is: '==', value: string) => Comparison} if
 * @property {{ txn(request: { compare: [], success: { request_put: PutRequest }[], failure: [] }): Promise<unknown> }} kv
 * @property {() => void} close
 */
/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('./cluster.mjs').ClusterModule} ClusterModule */
/** @typedef {import('./cluster.mjs').RunningCluster} RunningCluster */

/** Puts that a transaction may have. */
const TRANSACTION_MAX = 128
/** Transactions of a load that are on their way at once. */
const LOADS_MAX = 8
/** Bytes that the data may take: more than its default of 2 GB, which history soon fills. */
const QUOTA_BYTES = 8 * 2 ** 30

/** @param {string} url @returns {Promise<Etcd>} */
async function connected(url) {
  const peer = 'etcd3'
  const { Etcd3 } = /** @type {{ Etcd3: new (options: { hosts: string }) => Etcd }} */ (
    await import(peer)
  )
  return new Etcd3({ hosts: url })
}

/** @param {string} folder @returns {Promise<RunningCluster>} */
async function start(folder) {
  const aptPackage = { name: 'etcd-server', suites: ['sid', 'trixie', 'bookworm'] }
  const { file, env } = programNamed('etcd', aptPackage, (root) => [join(root, 'usr/bin')])
  const ports = await Promise.all(Array.from({ length: 2 * CLIENTS }, freePort))
  const urls = ports.map((port) => `http://127.0.0.1:${port}`)
  const [clients, peers] = [urls.slice(0, CLIENTS), urls.slice(CLIENTS)]
  const members = peers.map((peer, i) => `m${i}=${peer}`).join(',')
  const servers = await Promise.all(
    clients.map((client, i) => {
      const dir = join(folder, `m${i}`)
      mkdirSync(dir, { mode: 0o700 })
      const peer = /** @type {string} */ (peers[i])
      const args = [
        ...['--name', `m${i}`, '--data-dir', dir, '--log-level', 'error'],
        ...['--listen-client-urls', client, '--advertise-client-urls', client],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ...['--initial-cluster', members, '--quota-backend-bytes', String(QUOTA_BYTES)],
      ]
      return External.start({ file, args, env }, /** @type {number} */ (ports[i]))
    }),
  )
  return {
    clients,
    pids: servers.flatMap(({ pid }) => pid ?? []),
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop('SIGKILL')))
    },
  }
}

/** @param {Etcd} etcd @param {readonly Item[]} items */
async function load({ kv }, items) {
  const left = Array.from({ length: Math.ceil(items.length / TRANSACTION_MAX) }, (_, i) =>
    items.slice(i * TRANSACTION_MAX, (i + 1) * TRANSACTION_MAX),
  )
  const loader = async () => {
    for (let some = left.pop(); some !== undefined; some = left.pop()) {
      const success = some.map((item) => ({
        request_put: { key: Buffer.from(item.id), value: Buffer.from(JSON.stringify(item)) },
      }))
      await kv.txn({ compare: [], success, failure: [] })
    }
  }
  await Promise.all(Array.from({ length: LOADS_MAX }, loader))
}

/** @param {Range} range @returns {Promise<{ item: Item, revision: string } | undefined>} */
async function read(range) {
  const { kvs } = await range.exec()
  const [found] = kvs
  if (found === undefined) return undefined
  const item = /** @type {Item} */ (JSON.parse(found.value.toString()))
  return { item, revision: found.mod_revision }
}

/** Again until nobody came in between. @param {Etcd} etcd @param {string} from @param {string} to */
async function transfer(etcd, from, to) {
  for (;;) {
    const [a, b] = await Promise.all([read(etcd.get(from)), read(etcd.get(to))])
    if (a === undefined || b === undefined) throw new Error(`etcd has no row ${from} or ${to}`)
    const less = JSON.stringify({ ...a.item, balance: a.item.balance - 1 })
    const more = JSON.stringify({ ...b.item, balance: b.item.balance + 1 })
    const { succeeded } = await etcd
      .if(from, 'Mod', '==', a.revision)
      .and(to, 'Mod', '==', b.revision)
      .then(etcd.put(from).value(less), etcd.put(to).value(more))
      .commit()
    if (succeeded) return
  }
}

/** @type {ClusterModule} */
export const cluster = {
  does: ['put', 'get.linearizable', 'get.local', 'transfer'],
  packages: ['etcd3'],
  start,
  connect: async (options) => {
    const etcd = await connected(/** @type {string} */ (options))
    return {
      load: (items) => load(etcd, items),
      put: (item) => etcd.put(item.id).value(JSON.stringify(item)).exec(),
      getLinearizable: async (id) => (await read(etcd.get(id)))?.item,
      getLocal: async (id) => (await read(etcd.get(id).serializable()))?.item,
      transfer: (from, to) => transfer(etcd, from, to),
      close: () => etcd.close(),
    }
  },
}
