// What is asked over a socket: how each of them is started, called and listened to.

/** @typedef {import('../lib/rows.mjs').Item} Item */
/** A row that says when it was sent, in ms by the clock that all processes here share. */
/** @typedef {Item & { sentMs: number }} SentItem */
/** @typedef {import('../lib/measures.mjs').Round} Round */

/**
 * A running server, with its rows in it.
 * @typedef {object} Running
 * @property {string} url
 * @property {() => Promise<void>} stop
 */

/**
 * @typedef {object} Load
 * @property {string} url
 * @property {string} name get, put or bulk
 * @property {number} connections
 * @property {number} rows
 * @property {number} ms
 */

/**
 * @typedef {object} Writer
 * @property {(item: SentItem) => Promise<unknown>} write resolves once it is durable
 * @property {() => Promise<unknown> | void} close
 */

/** @typedef {{ close(): Promise<unknown> | void }} Readers */

/**
 * @typedef {object} Service
 * @property {(folder: string, rows: number) => Promise<Running>} start throws `Missing` when it cannot be had here
 * @property {(load: Load) => Promise<Round>} round closed loops: a caller a connection
 * @property {(url: string) => Promise<Writer>} openWriter
 * @property {(url: string, count: number, onSent: (sentMs: number) => void) => Promise<Readers>} openReaders
 */

export const SERVICES = ['holdfast', 'hono', 'redis', 'postgres']

/** Rows of one bulk request. */
export const BULK_ROWS = 500

/** @param {string} name @returns {Promise<Service>} */
export async function serviceNamed(name) {
  const module = /** @type {{ service: Service }} */ (await import(`./${name}.mjs`))
  return module.service
}

/** The clock that all processes of this machine share, in ms. */
export const sharedNowMs = () => performance.timeOrigin + performance.now()
