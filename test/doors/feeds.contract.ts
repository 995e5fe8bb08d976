/** Feeds: in order, without gaps, from where they are told to begin. */
import { describe, expect, test } from 'vitest'
import type { Change } from '../../src/index.ts'
import { codeOf, type OpenDoor } from './places.ts'
import { tables, type Plain } from './tables.ts'

type PlainChange = Change<Plain, string>

/** The next `count` changes; the feed is left behind them. */
async function take(
  feed: AsyncIterable<PlainChange>,
  count: number,
): Promise<readonly PlainChange[]> {
  const changes: PlainChange[] = []
  for await (const change of feed) {
    changes.push(change)
    if (changes.length === count) break
  }
  return changes
}

const told = ({ kind, key, row }: PlainChange): string => `${kind} ${key} ${row?.n ?? '-'}`

export function feedsContract(open: OpenDoor): void {
  describe('feeds', () => {
    test('begin where watch is called', async () => {
      const { db } = await open(tables)
      await db.plain.put({ k: 'before', n: 0 })
      const feed = db.plain.watch()
      await db.plain.insert({ k: 'a', n: 1 })
      await db.full.insert({ k: 'elsewhere', n: 1 })
      await db.plain.update('a', (row) => ({ ...row, n: 2 }))
      await db.plain.delete('a')
      const changes = await take(feed, 3)
      expect(changes.map(told)).toEqual(['insert a 1', 'update a 2', 'delete a -'])
      const positions = changes.map(({ position }) => position)
      expect(positions).toEqual(positions.toSorted((a, b) => a - b))
      expect(changes[0]?.token).toMatch(/^hf1\.[0-9a-f]{32}\.\d+\.\d+$/)
    })

    test('begin with the rows there are, or the oldest change', async () => {
      const { db, other } = await open(tables)
      await db.plain.putMany([
        { k: 'a', n: 1 },
        { k: 'b', n: 2 },
      ])
      await db.plain.put({ k: 'a', n: 3 })
      const changes: string[] = []
      for await (const change of db.plain.watch({ from: 'snapshot' })) {
        changes.push(told(change))
        expect(change.token).toMatch(/^hf1\.[0-9a-f]{32}\.\d+/)
        if (changes.length === 2) await other.plain.put({ k: 'c', n: 4 })
        if (changes.length === 3) break
      }
      expect(changes).toEqual(['row a 3', 'row b 2', 'insert c 4'])
      const all = await take(db.plain.watch({ from: 'start' }), 4)
      expect(all.map(told)).toEqual(['insert a 1', 'insert b 2', 'update a 3', 'insert c 4'])
    })

    test('go on behind a token, within an entry too', async () => {
      const { db } = await open(tables)
      const { token } = await db.plain.put({ k: 'first', n: 0 })
      await db.transact(async (tx) => {
        for (const [n, k] of ['a', 'b', 'c'].entries()) await tx.plain.put({ k, n })
      })
      const [one] = await take(db.plain.watch({ after: token }), 1)
      expect(one && told(one)).toBe('insert a 0')
      const rest = await take(db.plain.watch({ after: one?.token }), 2)
      expect(rest.map(told)).toEqual(['insert b 1', 'insert c 2'])
    })

    test('wait for what comes, in its order', async () => {
      const { db, other } = await open(tables)
      const feed = take(db.plain.watch(), 30)
      // The feed stands once its own writes come behind it.
      await db.plain.put({ k: 'first', n: -1 })
      for (let n = 0; n < 29; n++) await other.plain.put({ k: `k${n % 3}`, n })
      expect((await feed).map(({ row }) => row?.n)).toEqual([-1, ...Array(29).keys()])
    })

    test('end when they are aborted, or cannot begin', async () => {
      const { db } = await open(tables)
      const abort = new AbortController()
      const end = codeOf(take(db.plain.watch({ signal: abort.signal }), 2))
      await db.plain.put({ k: 'a', n: 1 })
      abort.abort()
      expect(await end).toBe('Cancelled')
      const { token } = await db.plain.put({ k: 'a', n: 2 })
      expect(await codeOf(take(db.plain.watch({ after: token, from: 'start' }), 1))).toBe(
        'InvalidArgument',
      )
      expect(await codeOf(take(db.plain.watch({ from: 'here' as never }), 1))).toBe(
        'InvalidArgument',
      )
      expect(await codeOf(take(db.plain.watch({ after: 'x' }), 1))).toBe('InvalidCursor')
      const foreign = `hf1.${'0'.repeat(32)}.1`
      expect(await codeOf(take(db.plain.watch({ after: foreign }), 1))).toBe('TokenMismatch')
    })

    test('end with their table', async () => {
      const { db } = await open(tables)
      const end = codeOf(take(db.plain.watch(), 2))
      await db.plain.put({ k: 'a', n: 1 })
      await db.drop('plain')
      expect(await end).toBe('UnknownTable')
    })

    test('end with the database', async () => {
      const { db } = await open(tables)
      const end = codeOf(take(db.plain.watch(), 2))
      await db.plain.put({ k: 'a', n: 1 })
      await db.close()
      expect(await end).toBe('Closed')
    })
  })
}
