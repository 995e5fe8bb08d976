// PostgreSQL with a synchronous standby: a commit is acked when both have synced it. Rows are
// columns, statements prepared; a client process has a small pool of connections.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { notRoot, run } from '../lib/external.mjs'
import { initPostgres, startPostgres, statements, TABLE } from '../services/postgres.mjs'
import { CLIENTS } from './cluster.mjs'

/**
 * What is used of pg, which has no typings of its own.
 * @typedef {import('../services/postgres.mjs').Client['query']} QueryCall
 * @typedef {object} PoolClient
 * @property {QueryCall} query
 * @property {() => void} release
 * @typedef {object} Pool
 * @property {QueryCall} query
 * @property {() => Promise<PoolClient>} connect
 * @property {() => Promise<void>} end
 */
/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('./cluster.mjs').ClusterModule} ClusterModule */
/** @typedef {import('./cluster.mjs').RunningCluster} RunningCluster */

const STANDBY = 'standby'
/** Connections of a client process. */
const POOL_MAX = 20
const LOOK_MS = 50
const READY_MS = 60_000

/** @param {string} url @param {number} max @returns {Promise<Pool>} */
async function pool(url, max) {
  const peer = 'pg'
  const { default: pg } =
    /** @type {{ default: { Pool: new (options: { connectionString: string, max: number }) => Pool } }} */ (
      await import(peer)
    )
  return new pg.Pool({ connectionString: url, max })
}

/** @param {string} folder @returns {Promise<RunningCluster>} */
async function start(folder) {
  const homes = ['primary', STANDBY].map((name) => join(folder, name))
  const [home = '', standbyHome = ''] = homes
  for (const one of [folder, ...homes]) {
    mkdirSync(one, { recursive: true })
    notRoot(one)
  }
  const { bin, command, data } = initPostgres(home)
  const primary = await startPostgres(command, {
    ...{ data, folder: home },
    settings: [`synchronous_standby_names=${STANDBY}`],
  })
  const source = `host=127.0.0.1 port=${primary.port} user=postgres application_name=${STANDBY}`
  const copy = join(standbyHome, 'data')
  const args = ['-D', copy, '-R', '-X', 'stream', '-c', 'fast', '-d', source]
  run({ ...command, file: join(bin, 'pg_basebackup'), args, cwd: standbyHome })
  const standby = await startPostgres(
    { ...command, cwd: standbyHome },
    { data: copy, folder: standbyHome, settings: [`primary_conninfo=${source}`] },
  )
  await fill(primary.url)
  return {
    clients: Array.from({ length: CLIENTS }, () => primary.url),
    pids: [primary.server, standby.server].flatMap(({ pid }) => pid ?? []),
    stop: async () => {
      await primary.server.stop('SIGQUIT')
      await standby.server.stop('SIGQUIT')
    },
  }
}

/** Makes the table, once the standby follows. @param {string} url */
async function fill(url) {
  const client = await pool(url, 1)
  const end = performance.now() + READY_MS
  for (;;) {
    const { rows } = await client.query(
      "select 1 from pg_stat_replication where sync_state = 'sync' and state = 'streaming'",
    )
    if (rows.length === 1) break
    if (performance.now() > end) throw new Error('the standby of postgres does not follow')
    await sleep(LOOK_MS)
  }
  await client.query(TABLE)
  await client.end()
}

/** Rows in the order of their ids, so that two cannot wait for each other. @param {Pool} all @param {string} from @param {string} to */
async function transfer(all, from, to) {
  const client = await all.connect()
  const deltas = [
    { id: from, delta: -1 },
    { id: to, delta: 1 },
  ].toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const text = 'update items set balance = balance + $2 where id = $1'
  try {
    await client.query('begin')
    for (const { id, delta } of deltas) {
      await client.query({ name: 'move', text, values: [id, delta] })
    }
    await client.query('commit')
  } finally {
    client.release()
  }
}

/** @type {ClusterModule} */
export const cluster = {
  does: ['put', 'get.linearizable', 'transfer'],
  variant: 'one standby',
  packages: ['pg'],
  start,
  connect: async (options) => {
    const all = await pool(/** @type {string} */ (options), POOL_MAX)
    const { bulk, put, get } = statements(all)
    return {
      load: bulk,
      put,
      getLinearizable: async (id) => /** @type {Item} */ (await get(id)),
      transfer: (from, to) => transfer(all, from, to),
      close: () => all.end(),
    }
  },
}
