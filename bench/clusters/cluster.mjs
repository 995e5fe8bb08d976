// What each replicated system does for the measures: how its servers are started, and how a client
// process calls them, as its users would. A write's promise resolves when the write is durable.

/** @typedef {import('../lib/rows.mjs').Item} Item */

/**
 * Servers that run, with nothing in them yet.
 * @typedef {object} RunningCluster
 * @property {readonly unknown[]} clients what each client process is told, to reach them
 * @property {readonly number[]} pids of the servers
 * @property {() => Promise<void>} stop
 */

/**
 * A client process's way to the servers; of Holdfast, a node.
 * @typedef {object} ClusterClient
 * @property {(items: readonly Item[]) => Promise<unknown>} load many rows, durable when it is done
 * @property {(item: Item) => Promise<unknown>} put
 * @property {(id: string) => Promise<Item | undefined> | Item | undefined} [getLinearizable]
 * @property {(id: string) => Promise<Item | undefined> | Item | undefined} [getSession] at least what this client wrote
 * @property {(id: string) => Promise<Item | undefined> | Item | undefined} [getLocal] may be behind
 * @property {(from: string, to: string) => Promise<unknown>} [transfer] moves 1 between two balances, in a transaction
 * @property {() => Promise<unknown> | void} close
 */

/**
 * @typedef {object} ClusterModule
 * @property {readonly string[]} does kinds of measures that it has an equal for
 * @property {string} [variant] said of its results
 * @property {readonly string[]} packages of bench/package.json that it takes
 * @property {(folder: string) => Promise<RunningCluster>} start throws `Missing` when it cannot be had here
 * @property {(options: unknown, folder: string) => Promise<ClusterClient>} connect
 */

/** Processes that call a system; of Holdfast, its nodes. */
export const CLIENTS = 3

/** `jetstream`, a bare publish, is always measured beside `put.1`. */
export const CLUSTERS = ['holdfast', 'jetstream', 'etcd', 'nats-kv', 'redis', 'postgres']

/** @param {string} name @returns {Promise<ClusterModule>} */
export async function clusterNamed(name) {
  const module = /** @type {{ cluster: ClusterModule }} */ (await import(`./${name}.mjs`))
  return module.cluster
}
