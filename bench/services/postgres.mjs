// PostgreSQL as Debian configures it, synchronous_commit on. Rows are columns, statements prepared;
// feeds are LISTEN and NOTIFY, a connection a reader.

import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
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
const TABLE = `create table items (id text primary key, owner text not null,
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

/** @param {string} url @returns {Promise<Connection>} */
async function open(url) {
  const client = await connected(url)
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
    close: () => client.end(),
  }
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

/** @param {string} folder */
async function startServer(folder) {
  const { file, env } = programNamed('postgres', 'postgresql-15', folders)
  const user = notRoot(folder)
  const data = join(folder, 'data')
  try {
    const args = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C']
    run({ file: join(dirname(file), 'initdb'), args, env, cwd: folder, ...user })
  } catch (cause) {
    throw new Missing(/** @type {Error} */ (cause).message)
  }
  const port = await freePort()
  const settings = [
    ...['listen_addresses=127.0.0.1', `port=${port}`, `unix_socket_directories=${folder}`],
    ...[`max_connections=${MAX_CONNECTIONS}`, 'synchronous_commit=on', 'fsync=on'],
  ]
  const args = ['-D', data, ...settings.flatMap((setting) => ['-c', setting])]
  const server = await External.start({ file, args, env, cwd: folder, ...user }, port)
  return { server, url: `postgres://postgres@127.0.0.1:${port}/postgres` }
}

/** @type {Service} */
export const service = {
  start: async (folder, rows) => {
    const { server, url } = await startServer(folder)
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
