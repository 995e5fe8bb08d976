/** Transactions: their own writes, refusals, order, contention, and what is kept of them. */
import { describe, expect, test } from 'vitest'
import { codeOf, eventually, later, type OpenDoor } from './places.ts'
import { tables } from './tables.ts'

export function transactionsContract(open: OpenDoor): void {
  describe('transactions', () => {
    test('see what they wrote, and others see all of it or nothing', async () => {
      const { db, other } = await open(tables)
      await db.full.put({ k: 'a', n: 1, g: 'x' })
      const result = await db.transact(async (tx) => {
        await tx.full.put({ k: 'b', n: 2, g: 'x' })
        expect(await tx.full.get('b')).toEqual({ k: 'b', n: 2, g: 'x' })
        expect(await tx.full.delete('a')).toBe(true)
        expect(await tx.full.delete('a')).toBe(false)
        expect(await tx.full.has('a')).toBe(false)
        expect(await tx.full.getMany(['a', 'b'])).toEqual([undefined, { k: 'b', n: 2, g: 'x' }])
        expect(await tx.full.query({ index: 'byG', eq: 'x' }).toArray()).toHaveLength(1)
        expect(await tx.full.count()).toBe(1)
        expect((await tx.full.query({ reverse: true }).first())?.k).toBe('b')
        for await (const row of tx.full.query()) expect(row.k).toBe('b')
        tx.plain.increment('n', { n: 2 }, { create: { k: 'n', n: 40 } })
        expect(await tx.plain.get('n')).toEqual({ k: 'n', n: 42 })
        tx.plain.patch('n', { g: 'p' })
        tx.plain.append('n', { tags: ['t'] })
        tx.plain.increment('missing', { n: 1 })
        expect(await other.plain.has('n')).toBe(false)
        return (await tx.plain.update('n', (row) => ({ ...row, n: row.n + 1 }))).n
      })
      expect(result).toBe(43)
      expect(await other.plain.get('n')).toEqual({ k: 'n', n: 43, g: 'p', tags: ['t'] })
      expect(await other.full.query().toArray()).toEqual([{ k: 'b', n: 2, g: 'x' }])
    })

    test('go on behind a refusal that they caught', async () => {
      const { db } = await open(tables)
      await db.full.put({ k: 'a', n: 1, mail: 'm' })
      const codes = await db.transact(async (tx) => [
        await codeOf(tx.full.insert({ k: 'a', n: 2 })),
        await codeOf(tx.full.put({ k: 'b', n: 2, mail: 'm' })),
        await codeOf(tx.full.update('none', (row) => row)),
        await codeOf(tx.checked.insert({ id: '' })),
        await codeOf(() => tx.table('none').get('a')),
        await codeOf(() => tx.full.query({ index: 'none' } as never).toArray()),
        await codeOf(() => tx.full.get({} as never)),
        await codeOf(() => tx.full.put({ k: 'n', n: Number.NaN })),
        await codeOf(tx.full.query().page({ limit: 1 })),
        await codeOf(tx.full.insert({ k: 'c', n: 3 })),
      ])
      expect(codes).toEqual([
        'AlreadyExists',
        'UniqueViolation',
        'NotFound',
        'InvalidRow',
        'UnknownTable',
        'UnknownIndex',
        'InvalidKey',
        'InvalidValue',
        'Unsupported',
        'none',
      ])
      expect((await db.full.query().toArray()).map(({ k }) => k)).toEqual(['a', 'c'])
    })

    test('apply nothing when they throw, or are refused', async () => {
      const { db } = await open(tables)
      await db.plain.put({ k: 'a', n: 1 })
      const mine = new Error('mine')
      const thrown = db.transact(async (tx) => {
        await tx.plain.put({ k: 'b', n: 1 })
        tx.plain.increment('a', { n: 1 })
        throw mine
      })
      await expect(thrown).rejects.toBe(mine)
      const refused = db.transact(async (tx) => {
        await tx.plain.put({ k: 'b', n: 1 })
        await tx.plain.insert({ k: 'a', n: 1 })
      })
      await expect(refused).rejects.toMatchObject({ code: 'AlreadyExists', applied: 'no' })
      const indexed = db.transact(async (tx) => {
        await tx.plain.put({ k: 'b', n: 1 })
        tx.full.increment('a', { n: 1 })
      })
      expect(await codeOf(indexed)).toBe('IndexedField')
      const other = db.transact((tx) => tx.plain.update('a', (row) => ({ ...row, k: 'z' })))
      expect(await codeOf(other)).toBe('InvalidArgument')
      expect(await codeOf(() => db.transact(1 as never))).toBe('InvalidArgument')
      expect(await db.plain.query().toArray()).toEqual([{ k: 'a', n: 1 }])
    })

    test('count what was called and not awaited', async () => {
      const { db } = await open(tables)
      await db.plain.put({ k: 'a', n: 1 })
      await db.transact((tx) => {
        void tx.plain.put({ k: 'b', n: 2 })
        void tx.plain.update('a', (row) => ({ ...row, n: 5 }))
        void tx.plain.update('a', (row) => ({ ...row, n: row.n + 1 }))
        tx.plain.increment('b', { n: 1 })
      })
      expect(await db.plain.query().toArray()).toEqual([
        { k: 'a', n: 6 },
        { k: 'b', n: 3 },
      ])
      const refused = db.transact((tx) => {
        void tx.plain.put({ k: 'c', n: 2 })
        void tx.plain.insert({ k: 'a', n: 2 })
      })
      expect(await codeOf(refused)).toBe('AlreadyExists')
      await db.transact((tx) => {
        void tx.plain.put({ k: 'd', n: 2 })
        tx.plain.insert({ k: 'a', n: 2 }).catch(() => undefined)
      })
      expect((await db.plain.query().toArray()).map(({ k }) => k)).toEqual(['a', 'b', 'd'])
      const running = db.transact((tx) => {
        tx.plain
          .query()
          .toArray()
          .catch(() => undefined)
      })
      expect(await codeOf(running)).toBe('TransactionClosed')
    })

    test('leave handles that do nothing any more', async () => {
      const { db } = await open(tables)
      let kept: Parameters<Parameters<typeof db.transact>[0]>[0] | undefined
      await db.transact(async (tx) => {
        kept = tx
        await tx.plain.put({ k: 'a', n: 1 })
      })
      expect(await codeOf(() => kept?.plain.put({ k: 'b', n: 1 }))).toBe('TransactionClosed')
      expect(await codeOf(() => kept?.plain.get('a'))).toBe('TransactionClosed')
      expect(await codeOf(() => kept?.plain.query().toArray())).toBe('TransactionClosed')
      expect(await codeOf(async () => kept?.plain.increment('a', { n: 1 }))).toBe(
        'TransactionClosed',
      )
      expect(await db.plain.query().toArray()).toEqual([{ k: 'a', n: 1 }])
    })

    test('keep sums while many move amounts between a few rows', async () => {
      const { db, other } = await open(tables)
      const rows = ['a', 'b', 'c']
      await db.plain.putMany(rows.map((k) => ({ k, n: 100 })))
      const sums: number[] = []
      let isDone = false
      const reader = (async () => {
        while (!isDone) {
          const read = await other.transact(async (tx) => {
            const found = [await tx.plain.get('a')]
            await later()
            found.push(await tx.plain.get('b'), await tx.plain.get('c'))
            return found
          })
          sums.push(read.reduce((sum, row) => sum + (row?.n ?? 0), 0))
          await later()
        }
      })()
      await Promise.all(
        Array.from({ length: 24 }, (_, i) =>
          (i % 2 === 0 ? db : other).transact(async (tx) => {
            const [from, to] = [rows[i % 3] as string, rows[(i + 1) % 3] as string]
            await Promise.all([
              tx.plain.update(from, (row) => ({ ...row, n: row.n - 1 })),
              tx.plain.update(to, (row) => ({ ...row, n: row.n + 1 })),
            ])
          }),
        ),
      )
      isDone = true
      await reader
      expect(new Set(sums)).toEqual(new Set([300]))
      const after = await db.plain.query().toArray()
      expect(after.map(({ n }) => n)).toEqual([100, 100, 100])
    })

    test('do not both act on what the other changes', async () => {
      const { db, other } = await open(tables)
      await db.plain.putMany([
        { k: 'a', n: 1 },
        { k: 'b', n: 1 },
      ])
      let waiting = 0
      const takeOff = (on: typeof db, k: string): Promise<boolean> =>
        on.transact(async (tx) => {
          const onDuty = (await tx.plain.query().toArray()).filter(({ n }) => n === 1)
          waiting++
          await eventually(() => waiting >= 2)
          if (onDuty.length < 2) return false
          await tx.plain.update(k, (row) => ({ ...row, n: 0 }))
          return true
        })
      const took = await Promise.all([takeOff(db, 'a'), takeOff(other, 'b')])
      expect(new Set(took)).toEqual(new Set([false, true]))
      const left = await db.plain.query().toArray()
      expect(new Set(left.map(({ n }) => n))).toEqual(new Set([0, 1]))
    })

    test('see no phantoms', async () => {
      const { db, other } = await open(tables)
      let runs = 0
      await db.transact(async (tx) => {
        runs++
        const count = await tx.full.count({ index: 'byG', eq: 'x' })
        if (runs === 1) await other.full.put({ k: 'new', n: 1, g: 'x' })
        await tx.plain.put({ k: 'count', n: count })
      })
      expect(runs).toBe(2)
      expect(await db.plain.get('count')).toEqual({ k: 'count', n: 1 })
    })

    test('with an idempotency key happen once', async () => {
      const { db, other } = await open(tables)
      await db.plain.put({ k: 'a', n: 0 })
      let runs = 0
      const call = (on: typeof db, request?: string): Promise<unknown> =>
        on.transact(
          async (tx) => {
            runs++
            const row = await tx.plain.update('a', ({ n, ...rest }) => ({ ...rest, n: n + 1 }))
            return { now: row.n, at: new Date(5) }
          },
          { idempotencyKey: 'one', request },
        )
      const first = { now: 1, at: new Date(5) }
      expect(await call(db)).toEqual(first)
      const before = runs
      expect(await call(other)).toEqual(first)
      expect(await Promise.all([call(db), call(other)])).toEqual([first, first])
      expect(runs).toBe(before)
      expect(await codeOf(call(db, 'another'))).toBe('IdempotencyMismatch')
      expect((await db.plain.get('a'))?.n).toBe(1)
      const none = (): Promise<unknown> =>
        db.transact((tx) => void tx.plain.put({ k: 'u', n: 1 }), { idempotencyKey: 'none' })
      expect(await none()).toBeUndefined()
      await db.plain.delete('u')
      expect(await none()).toBeUndefined()
      expect(await db.plain.has('u')).toBe(false)
    })

    test('that were refused can be called again with their key', async () => {
      const { db } = await open(tables)
      const call = (): Promise<unknown> =>
        db.transact((tx) => tx.plain.update('a', (row) => ({ ...row, n: 2 })), {
          idempotencyKey: 'again',
        })
      expect(await codeOf(call())).toBe('NotFound')
      await db.plain.put({ k: 'a', n: 1 })
      expect(await call()).toEqual({ k: 'a', n: 2 })
    })

    test('end at their deadline, and when they are aborted', async () => {
      const { db, other } = await open(tables)
      await db.plain.put({ k: 'a', n: 0 })
      const loses = db.transact(
        async (tx) => {
          const row = await tx.plain.get('a')
          await other.plain.increment('a', { n: 1 })
          await tx.plain.put({ k: 'b', n: row?.n ?? 0 })
        },
        { deadlineMs: 300 },
      )
      expect(['Conflict', 'DeadlineExceeded']).toContain(await codeOf(loses))
      expect(await db.plain.has('b')).toBe(false)
      const aborted = db.transact((tx) => tx.plain.put({ k: 'b', n: 1 }), {
        signal: AbortSignal.abort(),
      })
      expect(await codeOf(aborted)).toBe('Cancelled')
      const large = db.transact(async (tx) => {
        for (const k of ['x', 'y']) await tx.plain.put({ k, n: 1, g: 'x'.repeat(200_000) })
      })
      await expect(large).rejects.toMatchObject({ code: 'TransactionTooLarge', applied: 'no' })
    })
  })
}
