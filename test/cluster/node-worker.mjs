/**
 * A node of a cluster, as a process of its own: `node-worker.mjs <folder> <servers and monitors as
 * JSON> <further cluster options as JSON>`. Asked by messages, one answer each; `load` goes on until
 * `unload`.
 */
import { open, strong, unvalidated } from '../../dist/index.js'

/** @typedef {{ id: string, n: number }} Row */

const [dir = '.', reach = '{}', options = '{}'] = process.argv.slice(2)

const tables = {
  rows: strong({ key: 'id', row: /** @type {typeof unvalidated<Row>} */ (unvalidated)() }),
  counts: strong({ key: 'id', row: /** @type {typeof unvalidated<Row>} */ (unvalidated)() }),
}

/** @type {Awaited<ReturnType<typeof open<typeof tables>>>} */
let db
let isLoading = false
/** @type {Promise<unknown>} */
let load = Promise.resolve()
/** What the load was told. @type {{ acked: string[], unknown: string[], refused: string[] }} */
const told = { acked: [], unknown: [], refused: [] }

/** @param {string} id @param {() => Promise<unknown>} call */
async function note(id, call) {
  try {
    await call()
    told.acked.push(id)
  } catch (error) {
    const { applied } = /** @type {{ applied?: string }} */ (error)
    ;(applied === 'no' ? told.refused : told.unknown).push(id)
  }
}

/** @param {string} prefix */
async function lane(prefix) {
  for (let n = 0; isLoading; n++) {
    const id = `${prefix}-${n}`
    await note(id, () =>
      db.transact(async (tx) => {
        await tx.rows.put({ id, n })
        tx.counts.increment('all', { n: 1 }, { create: { id: 'all', n: 0 } })
      }),
    )
  }
}

/** @typedef {{ prefix: string, lanes: number, id: string, n: number }} Asked */

/** @type {Record<string, (asked: Asked) => unknown>} */
const CALLS = {
  open: async () => {
    /** @type {import('../../dist/index.js').ClusterOptions} */
    // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the parent
    const cluster = { ...JSON.parse(reach), ...JSON.parse(options) }
    db = await open({ dir, cluster, tables })
    return { identity: db.identity, durability: db.durability, position: db.stats().position }
  },
  put: async ({ id, n }) => {
    const { position, durability } = await db.rows.put({ id, n })
    return { position, durability }
  },
  fill: async ({ id, n }) => {
    const pad = 'x'.repeat(n)
    await db.rows.put(/** @type {Row} */ ({ id, n, pad }))
  },
  sound: async () => {
    const { problems } = await db.check()
    return { problems: problems.length, oldest: db.stats().oldestPosition }
  },
  insert: async ({ id, n }) => (await db.rows.insert({ id, n })).position,
  get: ({ id }) => db.rows.get(id),
  ids: async () => (await db.rows.query().toArray()).map(({ id }) => id),
  counted: async () => (await db.counts.get('all'))?.n ?? 0,
  load: ({ prefix, lanes }) => {
    isLoading = true
    load = Promise.all(Array.from({ length: lanes }, (_, i) => lane(`${prefix}.${i}`)))
  },
  acks: () => told.acked.length,
  status: () => db.status(),
  told: () => told,
  unload: async () => {
    isLoading = false
    await load
    return told
  },
  close: () => db.close(),
}

/** @param {{ id: number, call: string, asked: Asked }} message */
async function answer({ id, call, asked }) {
  try {
    process.send?.({ id, value: await CALLS[call]?.(asked) })
  } catch (error) {
    const { code, applied, message } = /** @type {Record<string, unknown>} */ (error)
    process.send?.({ id, error: { code, applied, message } })
  }
}

process.on('message', (message) => {
  void answer(/** @type {Parameters<typeof answer>[0]} */ (message))
})
// Whoever started it is gone.
process.on('disconnect', () => process.exit(1))
