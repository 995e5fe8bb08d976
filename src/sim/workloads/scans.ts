/**
 * Scans of more rows than one slice holds: forward and back, whole and in pages, by key and by index,
 * inside transactions that have written and outside, they all tell of the same rows.
 */
import type { Transaction as DatabaseTransaction } from '../../table/database.ts'
import { strong, unvalidated, type TableDefinitions } from '../../table/schema.ts'
import { isHoldfastError } from '../../core/errors.ts'
import type { Draw } from '../draw.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadDatabase,
  WorkloadHost,
  WorkloadNode,
  WorkloadRun,
} from '../workload.ts'

interface Item {
  id: string
  shelf: string
  amount: number
}

type Tx = DatabaseTransaction<TableDefinitions>
type Looked = Readonly<Record<string, unknown>>

/** More than a slice of a query or of a transaction has, and than a byte counts. */
const ROWS = 300
/** Places a row may have: rows move between them, and their number stays. */
const PLACES = 450
const AMOUNT = 10
const SHELVES = 3
/** Scans are few beside what moves under them: each is some hundred rows. */
const SCAN_SHARE = 0.15
const SCANS = ['whole', 'pages', 'own', 'own', 'shelves', 'shelves'] as const
/** Of a transaction, behind its own writes. */
const QUERIES = 3
/** In the mean, between two pages. */
const PAGE_PAUSE_MS = 20
/** In the mean, between two shelves. */
const SHELF_PAUSE_MS = 1

export const scans: Workload = {
  name: 'scans',
  what: 'scans tell of each row once, however long they are and wherever they begin and end',
  tables: {
    items: strong({ row: unvalidated<Item>(), key: 'id', indexes: { byShelf: 'shelf' } }),
  },
  sometimes: ['rows moved between two pages'],
  begin: (host) => new ScansRun(host),
}

class ScansRun implements WorkloadRun {
  readonly #host: WorkloadHost
  #moves = 0

  constructor(host: WorkloadHost) {
    this.#host = host
  }

  async setUp(): Promise<void> {
    const [node] = this.#host.nodes
    const rows = Array.from({ length: ROWS }, (_, i) => ({ ...itemAt(i) }))
    const results = await node.call(({ db }) => db.table('items').putMany(rows))
    for (const result of results) if (!result.ok) throw result.error
  }

  async operation(client: WorkloadClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const node = draw.pick(this.#host.nodes)
    const [from, to] = [placeOf(draw.int(0, PLACES - 1)), placeOf(draw.int(0, PLACES - 1))]
    switch (draw.chance(SCAN_SHARE) ? draw.pick(SCANS) : draw.pick(['move', 'give', 'shift'])) {
      case 'move':
        await client.operation(`move ${from} to ${to}`, node, ({ db }) => move(db, from, to, draw))
        this.#moves++
        return
      case 'give':
        await client.operation(`${from} gives to ${to}`, node, ({ db }) => give(db, from, to))
        return
      case 'shift':
        return this.#shift(client, node, from, shelfOf(draw.int(0, SHELVES - 1)))
      case 'shelves':
        return this.#shelves(client, node, draw)
      case 'whole':
        return this.#whole(client, node, draw)
      case 'pages':
        return this.#pages(client, node, draw)
      default:
        return this.#own(client, node, draw)
    }
  }

  /** Outside a transaction. */
  async #whole(client: WorkloadClient, node: WorkloadNode, draw: Draw): Promise<void> {
    const query = { reverse: draw.chance(0.5), ...(draw.chance(0.5) ? { index: 'byShelf' } : {}) }
    await client.operation(`scan ${JSON.stringify(query)}`, node, async ({ db }) => {
      const rows = await db.table('items').query(query).toArray()
      this.#complete(rows, 'a scan')
      const count = await db.table('items').count()
      this.#host.check('scan:count', count === ROWS, `${count} rows are counted of ${ROWS}`)
    })
  }

  /** A row changes its place in the index. */
  async #shift(
    client: WorkloadClient,
    node: WorkloadNode,
    id: string,
    shelf: string,
  ): Promise<void> {
    await client.operation(`shift ${id} to ${shelf}`, node, async ({ db }) => {
      try {
        await db.table('items').update(id, (row) => ({ ...row, shelf }))
      } catch (cause) {
        if (!isHoldfastError(cause, 'NotFound')) throw cause
      }
    })
  }

  /** One shelf after another by the index alone, with time for rows to change their shelf between. */
  async #shelves(client: WorkloadClient, node: WorkloadNode, draw: Draw): Promise<void> {
    await client.operation('scan shelf by shelf', node, async ({ db }) => {
      const rows = await db.transact(async (tx) => {
        const seen: Looked[] = []
        for (let shelf = 0; shelf < SHELVES; shelf++) {
          if (shelf > 0) await this.#host.sleep(draw.exponential(SHELF_PAUSE_MS))
          const query = { index: 'byShelf', eq: shelfOf(shelf) }
          seen.push(
            ...(await tx
              .table('items')
              .query(query as never)
              .toArray()),
          )
        }
        return seen
      })
      this.#complete(rows, 'shelves')
    })
  }

  async #pages(client: WorkloadClient, node: WorkloadNode, draw: Draw): Promise<void> {
    const limit = draw.int(40, 200)
    const query = { reverse: draw.chance(0.5), ...(draw.chance(0.5) ? { index: 'byShelf' } : {}) }
    const text = `pages of ${limit}, ${JSON.stringify(query)}`
    await client.operation(text, node, async ({ db }) => {
      const rows: Looked[] = []
      const before = this.#moves
      for (let cursor: string | undefined; ;) {
        const page = await db.table('items').query(query).page({ limit, cursor })
        rows.push(...page.rows)
        cursor = page.cursor
        if (cursor === undefined) break
        await this.#host.sleep(draw.exponential(PAGE_PAUSE_MS))
      }
      if (this.#moves > before) this.#host.sometimes('rows moved between two pages')
      this.#complete(rows, 'pages')
    })
  }

  /** Each row once, and all that was given is somewhere. */
  #complete(rows: readonly Looked[], what: string): void {
    const ids = new Set(rows.map((row) => row['id']))
    this.#host.check('scan:rows', rows.length === ROWS, `${what}: ${rows.length} rows of ${ROWS}`)
    this.#host.check('scan:once', ids.size === rows.length, `${what}: a row came twice`)
    const sum = rows.reduce((total, row) => total + (row['amount'] as number), 0)
    this.#host.check('scan:sum', sum === ROWS * AMOUNT, `${what}: ${sum} in all`)
  }

  /** In a transaction that has written before: against what it read and wrote itself. */
  async #own(client: WorkloadClient, node: WorkloadNode, draw: Draw): Promise<void> {
    await client.operation('scans among own writes', node, async ({ db }) => {
      const seen = await lookAmongOwn(db, draw)
      this.#complete(seen.rows, 'a scan in a transaction')
      for (const { query, wanted, got } of seen.answers) {
        const message = `${JSON.stringify(query)}: ${differenceOf(wanted, got)}`
        this.#host.check('scan:own-writes', wanted.join() === got.join(), message)
      }
    })
  }

  async finish(): Promise<void> {
    for (const node of this.#host.nodes) {
      await this.#host.clients(1, async (client) => {
        await this.#whole(client, node, client.drawOf('last'))
        await this.#pages(client, node, client.drawOf('last-pages'))
      })
    }
  }
}

/** What a transaction saw that is given up, since it was for looking only: true once it has settled. */
class GivenUp extends Error {
  readonly seen: Seen

  constructor(seen: Seen) {
    super('given up on purpose')
    this.seen = seen
  }
}

interface Seen {
  /** Before its own writes. */
  readonly rows: readonly Looked[]
  readonly answers: readonly {
    readonly query: Query
    readonly wanted: readonly string[]
    readonly got: readonly string[]
  }[]
}

interface Query {
  readonly index?: 'byShelf'
  readonly eq?: string
  readonly gte?: string
  readonly gt?: string
  readonly lt?: string
  readonly lte?: string
  readonly limit?: number
  readonly reverse: boolean
}

const placeOf = (place: number): string => `p${String(place).padStart(3, '0')}`
const shelfOf = (shelf: number): string => `s${shelf}`

function itemAt(place: number): Item {
  return { id: placeOf(place), shelf: shelfOf(place % SHELVES), amount: AMOUNT }
}

/** The row goes to a place that is free: never is there one more, or one less. */
async function move(db: WorkloadDatabase, from: string, to: string, draw: Draw): Promise<void> {
  const shelf = shelfOf(draw.int(0, SHELVES - 1))
  await db.transact(async (tx) => {
    const items = tx.table('items')
    const [row, other] = await items.getMany([from, to])
    if (row === undefined || other !== undefined) return
    await items.delete(from)
    await items.insert({ ...row, id: to, shelf })
  })
}

async function give(db: WorkloadDatabase, from: string, to: string): Promise<void> {
  await db.transact(async (tx) => {
    const items = tx.table('items')
    const [giver, taker] = await items.getMany([from, to])
    if (from === to || giver === undefined || taker === undefined) return
    items.decrement(from, { amount: 1 })
    items.increment(to, { amount: 1 })
  })
}

async function lookAmongOwn(db: WorkloadDatabase, draw: Draw): Promise<Seen> {
  try {
    return await db.transact(async (tx) => {
      const items = tx.table('items')
      const rows: readonly Looked[] = await items.query().toArray()
      const expected = new Map(rows.map((row) => [row['id'] as string, row]))
      const steps = draw.int(1, 4)
      const written: string[] = []
      for (let i = 0; i < steps; i++)
        written.push(await ownWrite(tx, draw.fork(`write-${i}`), expected))
      const answers = []
      for (let i = 0; i < QUERIES; i++) {
        const ids = draw.chance(0.5) ? written : [...expected.keys()]
        const query = drawQuery(draw.fork(`query-${i}`), ids)
        const got = textOf(await items.query(query as never).toArray())
        answers.push({ query, wanted: textOf(answer([...expected.values()], query)), got })
      }
      throw new GivenUp({ rows, answers })
    })
  } catch (cause) {
    if (cause instanceof GivenUp) return cause.seen
    throw cause
  }
}

/** Returns which row. */
async function ownWrite(tx: Tx, draw: Draw, expected: Map<string, Looked>): Promise<string> {
  const items = tx.table('items')
  const id = placeOf(draw.int(0, PLACES - 1))
  const row = expected.get(id)
  const shelf = shelfOf(draw.int(0, SHELVES - 1))
  switch (draw.pick(['put', 'delete', 'update', 'increment'])) {
    case 'put':
      await items.put({ id, shelf, amount: 1 })
      expected.set(id, { id, shelf, amount: 1 })
      break
    case 'delete':
      await items.delete(id)
      expected.delete(id)
      break
    case 'update':
      if (row === undefined) break
      await items.update(id, (was) => ({ ...was, shelf }))
      expected.set(id, { ...row, shelf })
      break
    default:
      items.increment(id, { amount: 5 })
      if (row !== undefined) expected.set(id, { ...row, amount: (row['amount'] as number) + 5 })
  }
  return id
}

/** With bounds at rows that are there, and at such that are not. */
function drawQuery(draw: Draw, ids: readonly string[]): Query {
  const reverse = draw.chance(0.5)
  const limit = draw.chance(0.3) ? { limit: draw.int(1, ROWS) } : {}
  if (draw.chance(0.4)) {
    return { index: 'byShelf', eq: shelfOf(draw.int(0, SHELVES - 1)), ...limit, reverse }
  }
  const bound = (): string => (draw.chance(0.7) ? draw.pick(ids) : placeOf(draw.int(0, PLACES - 1)))
  const low = draw.pick([{}, { gte: bound() }, { gt: bound() }])
  const high = draw.pick([{}, { lt: bound() }, { lte: bound() }])
  return { ...low, ...high, ...limit, reverse }
}

/** What a query gives of these rows. */
function answer(rows: readonly Looked[], query: Query): readonly Looked[] {
  const { index, eq, gte, gt, lt, lte, limit = rows.length, reverse } = query
  const placed = rows
    .filter((row) => index === undefined || row['shelf'] === eq)
    .filter(({ id }) => gte === undefined || (id as string) >= gte)
    .filter(({ id }) => gt === undefined || (id as string) > gt)
    .filter(({ id }) => lt === undefined || (id as string) < lt)
    .filter(({ id }) => lte === undefined || (id as string) <= lte)
    .toSorted((a, b) => ((a['id'] as string) < (b['id'] as string) ? -1 : 1))
  return (reverse ? placed.toReversed() : placed).slice(0, limit)
}

function textOf(rows: readonly Looked[]): string[] {
  return rows.map(({ id, shelf, amount }) => [id, shelf, amount].join(' '))
}

function differenceOf(wanted: readonly string[], got: readonly string[]): string {
  const missing = wanted.filter((row) => !got.includes(row)).slice(0, 3)
  const extra = got.filter((row) => !wanted.includes(row)).slice(0, 3)
  return `${got.length} rows of ${wanted.length}; missing ${missing.join()}; beside ${extra.join()}`
}
