// PostgreSQL as Debian configures it, synchronous_commit on. Rows are columns, statements prepared;
// feeds are LISTEN and NOTIFY, a connection a reader.

import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Missing, programNamed } from '../lib/debian.mjs'
import { External, notRoot, run } from '../lib/external.mjs'
import { freePort } from '../lib/free-port.mjs'
import { loadRows, loopRound, sentMsOf } from './loops.mjs'

/**
 * What is used of pg, which has no typings of its own.
 * @typedef {{ name: string, text: string, values: readonly unknown[] }} Query
 * @typedef {object} Client
 * @property {() => Promise<void>} connect
 * @property {(query: Query | string) => Promise<{ rows: unknown[] }>} query
 * @property {(event: 'notification', listener: (message: { payload?: string }) => void) => unknown} on
 * @property {() => Promise<void>} end
 */
/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {import('./loops.mjs').Connection} Connection */
/** @typedef {import('./service.mjs').Service} Service */

const MAX_CONNECTIONS = 1_200
const READY_MS = 30_000
const LOOK_MS = 50
export const TABLE = `create table items (id text primary key, owner text not null,
  balance integer not null, updated integer not null, note text not null)`
const UPSERT = `on conflict (id) do update set owner = excluded.owner, balance = excluded.balance,
  updated = excluded.updated, note = excluded.note`
const PUT = { name: 'put', text: `insert into items values ($1, $2, $3, $4, $5) ${UPSERT}` }
const GET = { name: 'get', text: 'select * from items where id = $1' }
const BULK = {
  name: 'bulk',
  text: `insert into items select * from unnest($1::text[], $2::text[], $3::int[], $4::int[],
    $5::text[]) ${UPSERT}`,
}

const valuesOf = (/** @type {Item} */ { id, owner, balance, updated, note }) => [
  id,
  owner,
  balance,
  updated,
  note,
]

/** @param {string} url @returns {Promise<Client>} */
async function connected(url) {
  const peer = 'pg'
  const { default: pg } =
    /** @type {{ default: { Client: new (options: { connectionString: string }) => Client } }} */ (
      await import(peer)
    )
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}

/**
 * One of each id, since a statement may not write a row twice; in order, so that two of them cannot
 * wait for each other. @param {readonly Item[]} items
 */
function bulkRows(items) {
  const byId = new Map(items.map((item) => [item.id, valuesOf(item)]))
  return [...byId].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

/**
 * What is asked of a client, or of a pool of them.
 * @param {{ query: Client['query'] }} client
 * @returns {Omit<Connection, 'close'>}
 */
export function statements(client) {
  return {
    get: async (id) => {
      const { rows } = await client.query({ ...GET, values: [id] })
      if (rows.length !== 1) throw new Error(`postgres has no row ${id}`)
      return rows[0]
    },
    put: (item) => client.query({ ...PUT, values: valuesOf(item) }),
    bulk: (items) => {
      const sorted = bulkRows(items)
      const columns = [0, 1, 2, 3, 4].map((i) => sorted.map((row) => row[i]))
      return client.query({ ...BULK, values: columns })
    },
  }
}

/** @param {string} url @returns {Promise<Connection>} */
async function open(url) {
  const client = await connected(url)
  return { ...statements(client), close: () => client.end() }
}

/** Where a version's programs are, below a root. @param {string} root */
function folders(root) {
  const home = join(root, 'usr/lib/postgresql')
  try {
    return readdirSync(home).map((version) => join(home, version, 'bin'))
  } catch {
    return []
  }
}

/** A new folder of data for a server, and what runs it. Throws `Missing`. @param {string} folder */
export function initPostgres(folder) {
  const { file, env } = programNamed('postgres', { name: 'postgresql-15' }, folders)
  const user = notRoot(folder)
  const data = join(folder, 'data')
  const bin = dirname(file)
  try {
    const args = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C']
    run({ file: join(bin, 'initdb'), args, env, cwd: folder, ...user })
  } catch (cause) {
    throw new Missing(/** @type {Error} */ (cause).message)
  }
  return { bin, command: { file, env, cwd: folder, ...user }, data }
}

/**
 * Runs a server on a folder of data, in which writes are synced before they are acked.
 * @param {Omit<import('../lib/external.mjs').Command, 'args'>} command
 * @param {{ data: string, folder: string, settings?: readonly string[] }} options
 */
export async function startPostgres(command, { data, folder, settings = [] }) {
  const port = await freePort()
  const all = [
    ...['listen_addresses=127.0.0.1', `port=${port}`, `unix_socket_directories=${folder}`],
    ...[`max_connections=${MAX_CONNECTIONS}`, 'synchronous_commit=on', 'fsync=on', ...settings],
  ]
  const args = ['-D', data, ...all.flatMap((setting) => ['-c', setting])]
  const server = await External.start({ ...command, args }, port)
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  await untilReady(url)
  return { server, port, url }
}

/** A server listens before it can be used. @param {string} url */
async function untilReady(url) {
  const end = performance.now() + READY_MS
  for (;;) {
    try {
      await (await connected(url)).end()
      return
    } catch (cause) {
      if (performance.now() > end) throw cause
      await sleep(LOOK_MS)
    }
  }
}

/** @type {Service} */
export const service = {
  start: async (folder, rows) => {
    const { command, data } = initPostgres(folder)
    const { server, url } = await startPostgres(command, { data, folder })
    const client = await connected(url)
    await client.query(TABLE)
    await client.end()
    const connection = await open(url)
    await loadRows(connection, rows)
    await connection.close()
    // "fast": it ends the connections there are.
    return { url, stop: () => server.stop('SIGINT') }
  },
  round: (load) => loopRound(load, open),
  openWriter: async (url) => {
    const client = await connected(url)
    const text = `with written as (${PUT.text} returning id)
      select pg_notify('items', $6) from written`
    return {
      write: (item) =>
        client.query({
          name: 'write',
          text,
          values: [...valuesOf(item), JSON.stringify(item)],
        }),
      close: () => client.end(),
    }
  },
  openReaders: async (url, count, onSent) => {
    /** @type {Client[]} */
    const all = []
    for (let number = 0; number < count; number++) {
      const client = await connected(url)
      client.on('notification', ({ payload = '' }) => onSent(sentMsOf(payload)))
      await client.query('listen items')
      all.push(client)
    }
    return { close: () => Promise.all(all.map((client) => client.end())) }
  },
}
