/** A node as a workload sees it, over HTTP: the database at its door, under names of its own. */
import { connect } from '../client.ts'
import type { Transaction } from '../table/database.ts'
import type { DatabaseLikeCalls } from '../table/database-like.ts'
import type { TableDefinitions } from '../table/schema.ts'
import type { WorkloadDatabase, WorkloadNode } from '../sim/workload.ts'

/** Milliseconds until a call gives up: shorter than elections take at their worst. */
const DEADLINE_MS = 8_000

export class RemoteNode implements WorkloadNode {
  readonly name: string
  readonly #url: () => string
  readonly #prefix: string

  /** `url` is asked at each call; `prefix` goes before the name of every table. */
  constructor(name: string, url: () => string, prefix: string) {
    this.name = name
    this.#url = url
    this.#prefix = prefix
  }

  /** By a connection of its own, which has seen nothing yet: no call leans on another's token. */
  async call<T>(work: (on: { readonly db: WorkloadDatabase }) => T | Promise<T>): Promise<T> {
    return work({ db: databaseAt(this.#url(), this.#prefix) })
  }
}

function databaseAt(url: string, prefix: string): WorkloadDatabase {
  const db = connect({ url, deadlineMs: DEADLINE_MS })
  // A part of it is a list of names; behind them all databases are alike.
  const calls = db as unknown as DatabaseLikeCalls<TableDefinitions>
  return {
    get token() {
      return calls.token
    },
    table: (name) => calls.table(prefix + name),
    transact: (run, options) => calls.transact((tx) => run(renamed(tx, prefix)), options),
    async define(name, { key, indexes }) {
      const named = indexes.map((index): [string, unknown] => [
        index.name,
        index.unique ? { unique: index.fields } : index.fields,
      ])
      await db.define(prefix + name, { key, indexes: Object.fromEntries(named) } as never)
    },
    drop: (name) => calls.drop(prefix + name),
    dropIndex: (table, index) => calls.dropIndex(prefix + table, index),
    stats: () => calls.stats(),
    async upkeep() {
      const signal = AbortSignal.timeout(DEADLINE_MS)
      await (await fetch(`${url}/v1/upkeep`, { method: 'POST', signal })).text()
    },
    close: () => calls.close(),
    [Symbol.asyncDispose]: () => calls.close(),
  }
}

type Tx = Transaction<TableDefinitions>

/** The handle of a transaction, with the names of tables that a workload knows. */
function renamed(tx: Tx, prefix: string): Tx {
  return new Proxy(tx, {
    get: (target, name) =>
      name === 'table'
        ? (table: string): unknown => target.table(prefix + table)
        : (Reflect.get(target, name, target) as unknown),
  })
}
