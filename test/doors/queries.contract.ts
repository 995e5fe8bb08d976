/** Queries: bounds, order, pages, one moment. */
import { describe, expect, test } from 'vitest'
import { codeOf, type OpenDoor } from './places.ts'
import { tables } from './tables.ts'

const LETTERS = ['a', 'b', 'c', 'd', 'e']
/** More than a page that a client fetches at once. */
const MANY = 1_203

export function queriesContract(open: OpenDoor): void {
  describe('queries', () => {
    test('have bounds, order and limits', async () => {
      const { db } = await open(tables)
      await db.plain.insertMany(LETTERS.map((k, n) => ({ k, n })))
      const keys = async (query?: object): Promise<string> =>
        (await db.plain.query(query as never).toArray()).map(({ k }) => k).join('')
      expect(await keys()).toBe('abcde')
      expect(await keys({ eq: 'b' })).toBe('b')
      expect(await keys({ gt: 'b' })).toBe('cde')
      expect(await keys({ gte: 'b', lt: 'd' })).toBe('bc')
      expect(await keys({ gt: 'a', lte: 'd', reverse: true })).toBe('dcb')
      expect(await keys({ reverse: true, limit: 2 })).toBe('ed')
      expect(await keys({ limit: 0 })).toBe('')
      expect(await keys({ prefix: 'c' })).toBe('c')
      expect(await db.plain.query({ gt: 'b' }).first()).toEqual({ k: 'c', n: 2 })
      expect(await db.plain.query({ eq: 'x' }).first()).toBeUndefined()
      expect(await db.plain.count()).toBe(5)
      expect(await db.plain.count({ gt: 'b' })).toBe(3)
      expect(await db.plain.count({ gte: 'a', limit: 2 })).toBe(2)
    })

    test('go over tuples and indexes', async () => {
      const { db } = await open(tables)
      await db.pairs.putMany([
        { a: 'x', b: 2 },
        { a: 'x', b: 10 },
        { a: 'y', b: 1, v: 'last' },
      ])
      expect(await db.pairs.get(['y', 1])).toEqual({ a: 'y', b: 1, v: 'last' })
      expect((await db.pairs.query({ prefix: ['x'] }).toArray()).map(({ b }) => b)).toEqual([2, 10])
      expect(await db.pairs.query({ gt: ['x', 2], lt: ['y', 0] }).toArray()).toEqual([
        { a: 'x', b: 10 },
      ])
      await db.full.putMany([
        { k: '1', n: 3, g: 'u', mail: 'a@b.c' },
        { k: '2', n: 1, g: 'u' },
        { k: '3', n: 2, g: 'v' },
        { k: '4', n: 9 },
      ])
      const byG = await db.full.query({ index: 'byG', gte: 'u' }).toArray()
      expect(byG.map(({ k }) => k)).toEqual(['1', '2', '3'])
      const byGN = await db.full.query({ index: 'byGN', prefix: ['u'], reverse: true }).toArray()
      expect(byGN.map(({ k }) => k)).toEqual(['1', '2'])
      expect((await db.full.query({ index: 'byMail', eq: 'a@b.c' }).first())?.k).toBe('1')
      expect(await db.full.count({ index: 'byG', eq: 'u' })).toBe(2)
    })

    test('are refused when their bounds make no sense', async () => {
      const { db } = await open(tables)
      const code = (query: object): Promise<string> => codeOf(() => db.plain.query(query).toArray())
      expect(await code({ eq: 'a', gt: 'b' })).toBe('InvalidArgument')
      expect(await code({ gt: 'a', gte: 'b' })).toBe('InvalidArgument')
      expect(await code({ prefix: 1 })).toBe('InvalidArgument')
      expect(await code({ limit: -1 })).toBe('InvalidArgument')
      expect(await code({ eq: { a: 1 } })).toBe('InvalidKey')
      expect(await codeOf(() => db.plain.query().page({ limit: 0 }))).toBe('InvalidArgument')
      expect(await codeOf(() => db.plain.query().page({ limit: 1, cursor: 'x' }))).toBe(
        'InvalidCursor',
      )
    })

    test('give pages of one moment', async () => {
      const { db, other } = await open(tables)
      await db.plain.insertMany(LETTERS.map((k, n) => ({ k, n })))
      const first = await db.plain.query().page({ limit: 2 })
      expect(first.rows.map(({ k }) => k)).toEqual(['a', 'b'])
      await other.plain.delete('c')
      await other.plain.put({ k: 'cc', n: 9 })
      const second = await db.plain.query().page({ limit: 2, cursor: first.cursor })
      expect(second.rows.map(({ k }) => k)).toEqual(['c', 'd'])
      const third = await db.plain.query().page({ limit: 2, cursor: second.cursor })
      expect(third).toEqual({ rows: [{ k: 'e', n: 4 }], cursor: undefined })
      const query = { gte: 'a', limit: 3, reverse: true }
      const one = await db.plain.query(query).page({ limit: 2 })
      const two = await db.plain.query(query).page({ limit: 2, cursor: one.cursor })
      expect([...one.rows, ...two.rows].map(({ k }) => k)).toEqual(['e', 'd', 'cc'])
      expect(two.cursor).toBeUndefined()
    })

    test('go on through many rows as of one moment', async () => {
      const { db, other } = await open(tables)
      const name = (n: number): string => String(n).padStart(5, '0')
      await db.plain.putMany(Array.from({ length: MANY }, (_, n) => ({ k: name(n), n })))
      const seen: number[] = []
      for await (const { n } of db.plain.query()) {
        seen.push(n)
        if (n === 10) {
          await other.plain.delete(name(MANY - 1))
          await other.plain.put({ k: '99999', n: -1 })
        }
      }
      expect(seen).toEqual(Array.from({ length: MANY }, (_, n) => n))
      expect(await db.plain.query({ limit: 700 }).toArray()).toHaveLength(700)
      for await (const { n } of db.plain.query({ reverse: true })) {
        expect(n).toBe(-1)
        break
      }
      expect((await db.plain.query({ limit: 601, reverse: true }).toArray()).at(-1)?.n).toBe(
        MANY - 601,
      )
    })
  })
}
