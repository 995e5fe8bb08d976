/**
 * Tables and indexes that are made, changed and dropped while they are written to: rows and indexes
 * agree whenever they can be read, and no write that was acked is lost to a change of definition.
 */
import { isHoldfastError } from '../../core/errors.ts'
import { strong, unique as uniqueIndex, unvalidated } from '../../table/schema.ts'
import type { EffectInput } from '../check/effects.ts'
import { History } from '../check/history.ts'
import type { Draw } from '../draw.ts'
import { idsOf } from './ids.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadDatabase,
  WorkloadHost,
  WorkloadNode,
  WorkloadRun,
} from '../workload.ts'

interface Note {
  id: string
  tag: string
  /** No other note ever has it. */
  label: string
}

const TAGS = 3
const SHORT_LIVED = 2
/** Rows that a client changes while it has an index built. */
const MEANWHILE = 12
/** What a call may be refused with while definitions change; none of it was applied. */
const CHANGING = [
  'UnknownTable',
  'UnknownIndex',
  'IndexNotReady',
  'Conflict',
  'AlreadyExists',
] as const

export const definitions: Workload = {
  name: 'definitions',
  what: 'tables and indexes change under load, and lose nothing',
  tables: { notes: strong({ row: unvalidated<Note>(), key: 'id' }) },
  sometimes: [
    'an index was built',
    'a table was dropped',
    'a scan used a built index',
    'a scan used a built unique index',
  ],
  begin: (host) => new DefinitionsRun(host),
}

class DefinitionsRun implements WorkloadRun {
  readonly #host: WorkloadHost
  readonly #inserts: History<EffectInput, undefined>
  /** Of the rows that are there for certain. */
  readonly #ids: string[] = []

  constructor(host: WorkloadHost) {
    this.#host = host
    this.#inserts = new History(() => host.nowMs)
  }

  async operation(client: WorkloadClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const node = draw.pick(this.#host.nodes)
    const tag = `t${draw.int(0, TAGS - 1)}`
    const name = `short${draw.int(0, SHORT_LIVED - 1)}`
    const kinds = ['insert', 'insert', 'insert', 'retag', 'scan', 'scan', 'short', 'short'] as const
    const rare = ['index', 'index', 'unindex', 'define', 'drop'] as const
    const kind = draw.chance(0.15) ? draw.pick(rare) : draw.pick(kinds)
    const id = `${client.name}/${number}`
    const isUnique = draw.chance(0.5)
    switch (kind) {
      case 'insert':
        return this.#insert(client, node, { id, tag, label: id })
      case 'retag':
        return this.#retag(client, node, draw, id)
      case 'scan':
        return draw.chance(0.5) ? this.#scan(client, node, tag) : this.#scanLabels(client, node)
      case 'short':
        return this.#tried(client, node, `put into ${name}`, (db) =>
          db.table(name).put({ id, tag, label: id }),
        )
      case 'index': {
        const indexes = isUnique ? { byLabel: uniqueIndex('label') } : { byTag: 'tag' }
        await Promise.all([
          this.#define(client, node, 'index notes', async (db) => {
            const rows = unvalidated<Note>()
            await db.define('notes', strong({ row: rows, key: 'id', indexes } as never))
            this.#host.sometimes('an index was built')
          }),
          this.#retagMeanwhile(client, draw, id),
        ])
        return
      }
      case 'unindex':
        return this.#define(client, node, 'drop the index', (db) =>
          db.dropIndex('notes', isUnique ? 'byLabel' : 'byTag'),
        )
      case 'define':
        return this.#define(client, node, `define ${name}`, (db) =>
          db.define(name, strong({ row: unvalidated<Note>(), key: 'id' })),
        )
      case 'drop':
        return this.#define(client, node, `drop ${name}`, async (db) => {
          await db.drop(name)
          this.#host.sometimes('a table was dropped')
        })
    }
  }

  /** Changes what indexes are made of, of some row that is there. */
  #retag(client: WorkloadClient, node: WorkloadNode, draw: Draw, label: string): Promise<void> {
    const key = this.#ids.length === 0 ? 'none' : draw.pick(this.#ids)
    const tag = `t${draw.int(0, TAGS - 1)}`
    return this.#tried(client, node, `retag ${key} as ${tag}`, (db) =>
      db.table('notes').update(key, (row) => ({ ...row, tag, label: `${label} again` })),
    )
  }

  /** An index is filled row by row: those that change while it is are what can go wrong. */
  async #retagMeanwhile(client: WorkloadClient, draw: Draw, id: string): Promise<void> {
    for (let i = 0; i < MEANWHILE; i++) {
      const one = draw.fork(`meanwhile-${i}`)
      await this.#retag(client, one.pick(this.#host.nodes), one, `${id}.${i}`)
    }
  }

  async #insert(client: WorkloadClient, node: WorkloadNode, row: Note): Promise<void> {
    const call = this.#inserts.call(client.name, { id: row.id })
    let isRefused = false
    const outcome = await client.operation(`insert ${row.id}`, node, async ({ db }) => {
      isRefused = !(await allowed(db.table('notes').insert({ ...row })))
    })
    if (outcome.kind === 'failed' || (outcome.kind === 'ok' && isRefused)) call.failed()
    else if (outcome.kind === 'ok') call.ok(undefined)
    else call.unknown()
    if (outcome.kind === 'ok' && !isRefused) this.#ids.push(row.id)
  }

  async #tried(
    client: WorkloadClient,
    node: WorkloadNode,
    text: string,
    work: (db: WorkloadDatabase) => Promise<unknown>,
  ): Promise<void> {
    await client.operation(text, node, async ({ db }) => {
      await allowed((async () => work(db))())
    })
  }

  #define(
    client: WorkloadClient,
    node: WorkloadNode,
    text: string,
    work: (db: WorkloadDatabase) => Promise<unknown>,
  ): Promise<void> {
    return this.#tried(client, node, text, work)
  }

  /** All rows and those of one tag by the index, at one moment. */
  async #scan(client: WorkloadClient, node: WorkloadNode, tag: string): Promise<void> {
    await this.#tried(client, node, `scan ${tag}`, async (db) => {
      const found = await db.transact(async (tx) => {
        const notes = tx.table('notes')
        const indexed = await notes.query({ index: 'byTag', eq: tag } as never).toArray()
        return { indexed, rows: await notes.query().toArray() }
      })
      this.#host.sometimes('a scan used a built index')
      const ids = (rows: readonly Record<string, unknown>[]): string =>
        idsOf(rows.filter((row) => row['tag'] === tag))
      const [indexed, real] = [ids(found.indexed), ids(found.rows)]
      this.#host.check(
        'index:agrees',
        indexed === real,
        `${tag}: ${indexed} by index, ${real} rows`,
      )
    })
  }

  /** All rows, and all by the index of their labels, at one moment. */
  async #scanLabels(client: WorkloadClient, node: WorkloadNode): Promise<void> {
    await this.#tried(client, node, 'scan labels', async (db) => {
      const found = await db.transact(async (tx) => {
        const notes = tx.table('notes')
        const indexed = await notes.query({ index: 'byLabel' }).toArray()
        return { indexed, rows: await notes.query().toArray() }
      })
      this.#host.sometimes('a scan used a built unique index')
      const [indexed, real] = [idsOf(found.indexed), idsOf(found.rows)]
      this.#host.check('index:agrees', indexed === real, `${indexed} by label, ${real} rows`)
    })
  }

  async finish(): Promise<void> {
    for (const node of this.#host.nodes) {
      const rows = await node.call(({ db }) => db.table('notes').query().toArray())
      this.#host.examine({
        by: 'effects',
        operations: this.#inserts.operations,
        effects: rows.map((row) => row['id'] as string),
        order: 'none',
      })
    }
  }
}

/** Whether it was done; false when it was refused for a definition that changes. */
async function allowed(work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return true
  } catch (cause) {
    if (isHoldfastError(cause, ...CHANGING, 'NotFound', 'SchemaConflict')) return false
    throw cause
  }
}
