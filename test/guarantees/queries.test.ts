/** Queries beside a plain reference: rows in an array, sorted by compareKeys and filtered. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareKeys, strong, unique, unvalidated, type Key } from '../../src/index.ts'
import { codeOf, onBothStores } from './harness.ts'

interface Row {
  k: Key
  a?: Key | null
  b?: Key | null
  u?: Key | null
}
const t = strong({
  row: unvalidated<Row>(),
  key: 'k' as never,
  indexes: { byA: 'a', byAB: ['a', 'b'], byU: unique('u') } as never,
})
interface Pair {
  x: string
  y: number
  z: string
  v: number
}
const pairs = strong({ row: unvalidated<Pair>(), key: ['x', 'y', 'z'], partition: 2 })

interface LooseBounds {
  eq?: Key | undefined
  gt?: Key | undefined
  gte?: Key | undefined
  lt?: Key | undefined
  lte?: Key | undefined
  prefix?: Key | undefined
}
interface LooseQuery extends LooseBounds {
  index?: string | undefined
  reverse?: boolean | undefined
  limit?: number | undefined
}

const part = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom<Key>('', 'a', 'ab', 'abc', 'b', 'b\u0000', 'ö', '😀', '\uffff'),
  },
  { weight: 2, arbitrary: fc.constantFrom<Key>(0, 1, -1, 1.5, -1e300, 2 ** 53, 5e-324) },
  { weight: 1, arbitrary: fc.constantFrom<Key>(0n, 1n, -1n, 2n ** 70n, -(2n ** 70n)) },
  { weight: 1, arbitrary: fc.constantFrom<Key>(new Date(0), new Date(-5), new Date(1e12)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 3 }).map((bytes): Key => bytes) },
)
const key: fc.Arbitrary<Key> = fc.oneof(
  { weight: 3, arbitrary: part },
  { weight: 1, arbitrary: fc.array(part, { minLength: 1, maxLength: 3 }).map((list): Key => list) },
)
const maybe = fc.option(key, { nil: undefined })
const field = fc.oneof(key, fc.constant(null), fc.constant(undefined))
const prefix = fc.oneof(
  fc.constantFrom<Key>('', 'a', 'ab', 'b', 'ö'),
  fc.array(part, { minLength: 1, maxLength: 2 }).map((list): Key => list),
)
const bounds: fc.Arbitrary<LooseBounds> = fc.oneof(
  { weight: 1, arbitrary: key.map((eq) => ({ eq })) },
  { weight: 1, arbitrary: prefix.map((prefix) => ({ prefix })) },
  { weight: 1, arbitrary: fc.record({ gt: maybe, lt: maybe }) },
  { weight: 1, arbitrary: fc.record({ gte: maybe, lte: maybe }) },
  { weight: 1, arbitrary: fc.record({ gt: maybe, lte: maybe }) },
  { weight: 1, arbitrary: fc.record({ gte: maybe, lt: maybe }) },
)
const query: fc.Arbitrary<LooseQuery> = fc
  .tuple(
    bounds,
    fc.constantFrom(undefined, 'byA', 'byAB', 'byU'),
    fc.constantFrom(undefined, true, false),
    fc.constantFrom(undefined, undefined, 0, 1, 3),
  )
  .map(([bounds, index, reverse, limit]) => ({ ...bounds, index, reverse, limit }))

function startsWith(value: Key, prefix: Key): boolean {
  if (typeof prefix === 'string') return typeof value === 'string' && value.startsWith(prefix)
  if (!Array.isArray(value) || !Array.isArray(prefix)) return false
  const list = value as readonly Key[]
  return prefix.every((one, i) => {
    const other = list[i]
    return other !== undefined && compareKeys(other, one as Key) === 0
  })
}

function matches(value: Key, { eq, gt, gte, lt, lte, prefix }: LooseBounds): boolean {
  if (eq !== undefined && compareKeys(value, eq) !== 0) return false
  if (gt !== undefined && compareKeys(value, gt) <= 0) return false
  if (gte !== undefined && compareKeys(value, gte) < 0) return false
  if (lt !== undefined && compareKeys(value, lt) >= 0) return false
  if (lte !== undefined && compareKeys(value, lte) > 0) return false
  return prefix === undefined || startsWith(value, prefix)
}

function valueOf(row: Row, index: string | undefined): Key | undefined {
  const { k, a, b, u } = row
  if (index === undefined) return k
  if (index === 'byA') return a ?? undefined
  if (index === 'byU') return u ?? undefined
  return a === undefined || a === null || b === undefined || b === null ? undefined : [a, b]
}

function reference(rows: readonly Row[], query: LooseQuery): Row[] {
  const found = rows.flatMap((row) => {
    const value = valueOf(row, query.index)
    return value !== undefined && matches(value, query) ? [{ value, row }] : []
  })
  found.sort((x, y) => compareKeys(x.value, y.value) || compareKeys(x.row.k, y.row.k))
  if (query.reverse === true) found.reverse()
  return found.slice(0, query.limit ?? found.length).map(({ row }) => row)
}

/** As values are stored: missing fields are not there, and -0 is 0. */
function stored(row: Row): Row {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined)) as never
}

/** One row a key, and a value of `u`. */
function distinct(rows: readonly Row[]): Row[] {
  const keys = new Set<string>()
  const values = new Set<string>()
  const name = (value: Key): string => {
    if (value instanceof Uint8Array) return `x${Buffer.from(value).toString('hex')}`
    if (value instanceof Date) return `d${value.getTime()}`
    if (Array.isArray(value)) return `[${value.map((one) => name(one as Key)).join()}]`
    return `${typeof value}${String(value)}`
  }
  return rows.filter(({ k, u }) => {
    if (keys.has(name(k))) return false
    if (u !== undefined && u !== null && values.has(name(u))) return false
    keys.add(name(k))
    if (u !== undefined && u !== null) values.add(name(u))
    return true
  })
}

onBothStores('queries', (openAt) => {
  test('give what a plain array gives, in all forms, inside transactions and out', async () => {
    const db = await openAt({ t: t as never })
    const table = db.table('t')
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ k: key, a: field, b: field, u: field }), { maxLength: 25 }),
        fc.array(query, { minLength: 4, maxLength: 8 }),
        fc.nat({ max: 25 }),
        async (generated, queries, own) => {
          const rows = distinct(generated as Row[]).map(stored)
          for (const { k } of await table.query().toArray()) await table.delete(k as Key)
          await table.putMany(rows.slice(own) as never[])
          await db.transact(async (tx) => {
            const inside = tx.table('t')
            // The rest are the transaction's own, and it overwrites one that is there.
            for (const row of rows.slice(0, own)) await inside.put(row as never)
            const last = rows.at(-1)
            if (last !== undefined) await inside.put(last as never)
            for (const query of queries) {
              const got = await inside.query(query as never).toArray()
              expect(got).toEqual(reference(rows, query))
              expect(await inside.count(query as never)).toBe(got.length)
            }
          })
          for (const query of queries) {
            const wanted = reference(rows, query)
            const rowsOf = table.query(query as never)
            expect(await rowsOf.toArray()).toEqual(wanted)
            expect(await rowsOf.first()).toEqual(wanted[0])
            expect(await table.count(query as never)).toBe(wanted.length)
            const paged: unknown[] = []
            for (let cursor: string | undefined; ;) {
              const page = await rowsOf.page({ limit: 3, cursor })
              paged.push(...page.rows)
              cursor = page.cursor
              if (cursor === undefined) break
            }
            expect(paged).toEqual(wanted)
          }
          for (const row of rows) {
            expect(await table.get(row.k)).toEqual(row)
            expect(await table.has(row.k)).toBe(true)
          }
        },
      ),
      { numRuns: 40 },
    )
    expect((await db.check()).problems).toEqual([])
  })

  test('walk tuples by their leading parts', async () => {
    const db = await openAt({ pairs })
    const rows: Pair[] = []
    for (const x of ['a', 'ab', 'b'])
      for (const y of [1, 2, 10]) for (const z of ['p', 'q']) rows.push({ x, y, z, v: 1 })
    await db.pairs.putMany(rows)
    const names = async (query: Parameters<typeof db.pairs.query>[0]): Promise<string> =>
      (await db.pairs.query(query).toArray()).map(({ x, y, z }) => `${x}${y}${z}`).join()
    expect(await names({ prefix: ['a'] })).toBe('a1p,a1q,a2p,a2q,a10p,a10q')
    expect(await names({ prefix: ['ab', 2] })).toBe('ab2p,ab2q')
    expect(await names({ eq: ['b', 1, 'q'] })).toBe('b1q')
    expect(await names({ gt: ['b', 2, 'p'], reverse: true })).toBe('b10q,b10p,b2q')
    expect(await names({ gte: ['ab', 2, 'q'], lt: ['b', 1, 'q'] })).toBe('ab2q,ab10p,ab10q,b1p')
    expect(await db.pairs.get(['ab', 10, 'p'])).toEqual({ x: 'ab', y: 10, z: 'p', v: 1 })
    expect(await db.pairs.count({ prefix: ['a'] })).toBe(6)
  })

  test('refuse contradicting bounds, unknown indexes and wrong limits', async () => {
    const db = await openAt({ t: t as never })
    const table = db.table('t')
    const bad: [unknown, string][] = [
      [{ eq: 1, gt: 0 }, 'InvalidArgument'],
      [{ prefix: 'a', lt: 'b' }, 'InvalidArgument'],
      [{ gt: 1, gte: 1 }, 'InvalidArgument'],
      [{ lt: 1, lte: 1 }, 'InvalidArgument'],
      [{ prefix: 5 }, 'InvalidArgument'],
      [{ limit: -1 }, 'InvalidArgument'],
      [{ limit: 1.5 }, 'InvalidArgument'],
      [{ index: 'none' }, 'UnknownIndex'],
      [{ eq: Number.NaN }, 'InvalidKey'],
      [{ eq: { no: 1 } }, 'InvalidKey'],
      [{ gte: 'x'.repeat(3_000) }, 'KeyTooLarge'],
    ]
    for (const [query, code] of bad) {
      expect(await codeOf(table.query(query as never).toArray())).toBe(code)
      expect(await codeOf(table.count(query as never))).toBe(code)
      expect(await codeOf(table.query(query as never).first())).toBe(code)
    }
    expect(await codeOf(table.query().page({ limit: 0 }))).toBe('InvalidArgument')
    expect(await codeOf(table.query().page({ limit: 1, cursor: 'no' }))).toBe('InvalidCursor')
  })

  test('are of one snapshot, page after page, and slice after slice', async () => {
    const db = await openAt({ pairs })
    const made = (y: number): Pair => ({ x: 'a', y, z: 'z', v: 0 })
    await db.pairs.putMany(Array.from({ length: 2_000 }, (_, i) => made(2 * i)))
    const all = db.pairs.query()
    const first = await all.page({ limit: 10 })
    await db.pairs.putMany(Array.from({ length: 500 }, (_, i) => made(2 * i + 1)))
    await db.pairs.deleteMany(Array.from({ length: 500 }, (_, i) => ['a', 2 * i, 'z'] as const))
    const second = await all.page({ limit: 10, cursor: first.cursor })
    expect(second.rows.map(({ y }) => y)).toEqual([20, 22, 24, 26, 28, 30, 32, 34, 36, 38])
    // The first page's cursor still leads to the second page.
    expect((await all.page({ limit: 1, cursor: first.cursor })).rows[0]?.y).toBe(20)
    const other = db.pairs.query({ prefix: ['a'] })
    expect(await codeOf(other.page({ limit: 1, cursor: first.cursor }))).toBe('InvalidCursor')
    let seen = 0
    for await (const row of db.pairs.query()) {
      if (seen++ === 0) await db.pairs.put({ ...made(9_001), v: 1 })
      expect(row.v).toBe(0)
    }
    expect(seen).toBe(2_000)
    const gone = [
      first.cursor?.split('.')[0],
      'feedfacefeedface',
      ...(first.cursor?.split('.') ?? []).slice(2),
    ]
    expect(await codeOf(all.page({ limit: 1, cursor: gone.join('.') }))).toBe('SnapshotExpired')
  })
})
