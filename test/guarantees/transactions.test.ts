/** Transactions: all or nothing, over one state, phantoms included; idempotency keys (S3, S4, S11). */
import { expect, test } from 'vitest'
import { strong, unique, unvalidated } from '../../src/index.ts'
import { codeOf, later, onBothStores, sleep } from './harness.ts'

interface Row {
  k: string
  g?: string
  n: number
  mail?: string
}
const rows = strong({
  row: unvalidated<Row>(),
  key: 'k',
  indexes: { byG: 'g', byN: 'n', byMail: unique('mail') },
})
const plain = strong({ row: unvalidated<Row>(), key: 'k' })
const name = (i: number): string => `k${String(i).padStart(4, '0')}`

onBothStores('transactions', (openAt) => {
  test('apply all or nothing', async () => {
    const db = await openAt({ rows, plain })
    await db.transact(async (tx) => {
      await tx.rows.insert({ k: 'a', n: 1 })
      await tx.plain.insert({ k: 'a', n: 1 })
    })
    const failed = db.transact(async (tx) => {
      await tx.rows.insert({ k: 'b', n: 1 })
      await tx.plain.delete('a')
      tx.plain.increment('a', { n: 5 })
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
    expect(await db.rows.count()).toBe(1)
    expect(await db.plain.get('a')).toEqual({ k: 'a', n: 1 })
  })

  test('read their own writes, in queries too', async () => {
    const db = await openAt({ rows })
    await db.rows.putMany([1, 3, 5, 7].map((n) => ({ k: name(n), g: 'x', n, mail: `m${n}` })))
    await db.transact(async (tx) => {
      await tx.rows.put({ k: name(4), g: 'x', n: 4, mail: 'm4' })
      await tx.rows.delete(name(3))
      await tx.rows.update(name(5), (row) => ({ ...row, g: 'y', n: 0 }))
      await tx.rows.put({ k: name(9), n: 9 })
      await tx.rows.update(name(7), (row) => ({ ...row, mail: 'm0' }))
      const keys = async (query?: Parameters<typeof tx.rows.query>[0]): Promise<string> =>
        (await tx.rows.query(query).toArray()).map(({ k }) => Number(k.slice(1))).join()
      expect(await keys()).toBe('1,4,5,7,9')
      expect(await keys({ reverse: true })).toBe('9,7,5,4,1')
      expect(await keys({ reverse: true, limit: 2 })).toBe('9,7')
      expect(await keys({ limit: 3 })).toBe('1,4,5')
      expect(await keys({ gt: name(1), lte: name(5) })).toBe('4,5')
      expect(await keys({ index: 'byG', eq: 'x' })).toBe('1,4,7')
      expect(await keys({ index: 'byG', eq: 'y' })).toBe('5')
      expect(await keys({ index: 'byN', gte: 0, lt: 5 })).toBe('5,1,4')
      expect(await keys({ index: 'byMail', prefix: 'm' })).toBe('7,1,4,5')
      expect(await keys({ index: 'byMail', reverse: true })).toBe('5,4,1,7')
      expect(await keys({ index: 'byMail', eq: 'm7' })).toBe('')
      expect(await tx.rows.count()).toBe(5)
      expect(await tx.rows.count({ index: 'byG', eq: 'x' })).toBe(3)
      expect(await tx.rows.get(name(3))).toBeUndefined()
      expect(await tx.rows.has(name(4))).toBe(true)
      expect((await tx.rows.getMany([name(9), name(3)])).map((row) => row?.n)).toEqual([
        9,
        undefined,
      ])
      expect((await tx.rows.query({ index: 'byN' }).first())?.k).toBe(name(5))
    })
    const after = await db.rows.query().toArray()
    expect(after.map(({ n }) => n)).toEqual([1, 4, 0, 7, 9])
    expect((await db.check()).problems).toEqual([])
  })

  test('see their own stateful ops', async () => {
    const db = await openAt({ plain, rows })
    await db.plain.put({ k: 'a', n: 1 })
    const seen = await db.transact(async (tx) => {
      tx.plain.increment('a', { n: 1 })
      tx.plain.increment('a', { n: 1 })
      tx.plain.increment('b', { n: 1 })
      tx.plain.max('c', { n: 4 }, { create: { k: 'c', n: 0 } })
      tx.plain.patch('a', { g: 'set' })
      return [await tx.plain.get('a'), await tx.plain.get('b'), await tx.plain.get('c')]
    })
    expect(seen).toEqual([{ k: 'a', n: 3, g: 'set' }, undefined, { k: 'c', n: 4 }])
    expect(await db.plain.query().toArray()).toEqual([
      { k: 'a', n: 3, g: 'set' },
      { k: 'c', n: 4 },
    ])
    await db.transact((tx) => {
      tx.plain.increment('none', { n: 1 })
      tx.plain.increment('a', { n: 1 })
    })
    expect((await db.plain.get('a'))?.n).toBe(4)
    expect(await codeOf(db.transact((tx) => tx.rows.increment('a', { n: 1 })))).toBe('IndexedField')
  })

  test('do nothing through a handle that is over', async () => {
    const db = await openAt({ plain })
    type Tx = Parameters<Parameters<typeof db.transact>[0]>[0]
    let kept: Tx | undefined
    await db.transact((tx) => {
      kept = tx
    })
    const tx = kept as Tx
    expect(await codeOf(tx.plain.get('a'))).toBe('TransactionClosed')
    expect(await codeOf(tx.plain.put({ k: 'a', n: 1 }))).toBe('TransactionClosed')
    expect(await codeOf(tx.plain.query().toArray())).toBe('TransactionClosed')
    expect(await codeOf(async () => tx.plain.increment('a', { n: 1 }))).toBe('TransactionClosed')
    expect(await db.plain.count()).toBe(0)
  })

  /** Each of two transactions makes sure of something that the other one breaks. */
  async function checkSkew(
    openAnd: () => Promise<{
      run: (mine: number, wait: () => Promise<void>) => Promise<boolean>
      sum: () => Promise<number>
    }>,
  ): Promise<void> {
    const { run, sum } = await openAnd()
    let waiting = 0
    let go: () => void = () => undefined
    const both = new Promise<void>((resolve) => (go = resolve))
    const wait = async (): Promise<void> => {
      if (++waiting >= 2) go()
      await both
    }
    const done = await Promise.all([run(1, wait), run(2, wait)])
    expect(done.filter(Boolean)).toHaveLength(1)
    expect(await sum()).toBe(1)
  }

  test.each([
    ['a range of keys', {}],
    ['a range of keys, from its end', { reverse: true, gte: 'k', lt: 'l' }],
    ['an index', { index: 'byG', eq: 'x' }],
    ['an index, from its end', { index: 'byG', eq: 'x', reverse: true }],
    ['an index, with a limit', { index: 'byG', gte: 'a', limit: 1 }],
    ['a range of an index', { index: 'byN', gte: 0, lte: 10 }],
    ['a unique index', { index: 'byMail', prefix: 'm' }],
    ['a unique index, from its end', { index: 'byMail', reverse: true }],
  ] as const)('see no phantom in %s', async (_, query) => {
    await checkSkew(async () => {
      const db = await openAt({ rows })
      return {
        run: (mine, wait) =>
          db.transact(async (tx) => {
            const found = await tx.rows.query(query).toArray()
            await wait()
            if (found.length > 0) return false
            await tx.rows.put({ k: name(mine), g: 'x', n: 5, mail: `m${mine}` })
            return true
          }),
        sum: () => db.rows.count(),
      }
    })
  })

  test('see no phantom at the edge of a slice that ran backwards', async () => {
    // 256 rows of one value fill a slice; its last row is not the end of the value.
    const db = await openAt({ rows })
    await db.rows.putMany(Array.from({ length: 300 }, (_, i) => ({ k: name(i), g: 'x', n: 1 })))
    let attempts = 0
    const last = await db.transact(async (tx) => {
      const query = { index: 'byG', eq: 'x', reverse: true, limit: 256 } as const
      const found = await tx.rows.query(query).toArray()
      if (attempts++ === 0) await db.rows.put({ k: 'k0044a', g: 'x', n: 1 })
      await tx.rows.put({ k: 'seen', n: found.length })
      return found.at(-1)?.k
    })
    expect(attempts).toBe(2)
    expect(last).toBe('k0044a')
  })

  test('see no phantom between two slices', async () => {
    const db = await openAt({ rows })
    await db.rows.putMany(Array.from({ length: 700 }, (_, i) => ({ k: name(i), g: 'x', n: 1 })))
    for (const query of [
      { index: 'byG', eq: 'x' },
      { index: 'byG', eq: 'x', reverse: true },
      { reverse: true, gte: 'k', lt: 'l' },
    ] as const) {
      let attempts = 0
      const count = await db.transact(async (tx) => {
        let seen = 0
        for await (const row of tx.rows.query(query)) {
          void row
          if (++seen === 256 && attempts++ === 0) {
            await db.transact(async (other) => {
              await other.rows.put({ k: 'k0050a', g: 'x', n: 1 })
              await other.rows.put({ k: 'k0650a', g: 'x', n: 1 })
            })
          }
        }
        return seen
      })
      expect(count).toBe(702)
      expect(attempts).toBe(2)
      await db.rows.deleteMany(['k0050a', 'k0650a'])
    }
  })

  test('see a row that left what they scanned', async () => {
    const db = await openAt({ rows })
    await db.rows.putMany([1, 2, 3].map((n) => ({ k: name(n), g: 'x', n })))
    for (const change of [
      () => db.rows.delete(name(2)),
      () => db.rows.put({ k: name(2), g: 'y', n: 2 }),
      () => db.rows.patch(name(1), { g: 'z' }),
    ]) {
      let attempts = 0
      await db.transact(async (tx) => {
        const found = await tx.rows.query({ index: 'byG', eq: 'x' }).toArray()
        if (attempts++ === 0) await change()
        await tx.rows.put({ k: 'seen', n: found.length })
      })
      const now = await db.rows.count({ index: 'byG', eq: 'x' })
      expect((await db.rows.get('seen'))?.n).toBe(now)
      await db.rows.putMany([1, 2].map((n) => ({ k: name(n), g: 'x', n })))
    }
  })

  test('never give one unique value to two rows', async () => {
    const db = await openAt({ rows })
    const results = await db.rows.insertMany(
      Array.from({ length: 60 }, (_, i) => ({ k: name(i), n: i, mail: 'same' })),
    )
    expect(results.filter(({ ok }) => ok)).toHaveLength(1)
    const codes = new Set(results.flatMap((one) => (one.ok ? [] : [(one.error as never)['code']])))
    expect([...codes]).toEqual(['UniqueViolation'])
    const owner = (await db.rows.query({ index: 'byMail', eq: 'same' }).first()) as Row
    await db.rows.delete(owner.k)
    await db.rows.insert({ k: 'next', n: 1, mail: 'same' })
    expect((await db.check()).problems).toEqual([])
  })

  test('swap unique values by way of a third', async () => {
    const db = await openAt({ rows })
    await db.rows.putMany([
      { k: 'a', n: 1, mail: 'x' },
      { k: 'b', n: 2, mail: 'y' },
    ])
    await db.transact(async (tx) => {
      await tx.rows.update('a', ({ mail: _, ...row }) => row)
      await tx.rows.update('b', (row) => ({ ...row, mail: 'x' }))
      await tx.rows.update('a', (row) => ({ ...row, mail: 'y' }))
    })
    expect((await db.rows.query({ index: 'byMail', eq: 'x' }).first())?.k).toBe('b')
    expect((await db.rows.query({ index: 'byMail', eq: 'y' }).first())?.k).toBe('a')
    await db.transact(async (tx) => {
      await tx.rows.delete('a')
      await tx.rows.put({ k: 'c', n: 3, mail: 'y' })
      await tx.rows.put({ k: 'a', n: 3, mail: 'z' })
    })
    expect((await db.check()).problems).toEqual([])
  })

  test('keep unique values right under random races', async () => {
    const db = await openAt({ rows })
    const work = Array.from({ length: 8 }, async (_, client) => {
      for (let i = 0; i < 40; i++) {
        const k = name((client * 7 + i * 3) % 10)
        const mail = `m${(client * 5 + i) % 6}`
        const kind = (client + i) % 5
        const code = await codeOf(
          kind === 0
            ? db.rows.put({ k, n: i, mail })
            : kind === 1
              ? db.rows.update(k, (row) => ({ ...row, mail }))
              : kind === 2
                ? db.rows.delete(k)
                : kind === 3
                  ? db.rows.insert({ k, n: i, mail })
                  : db.transact(async (tx) => {
                      await tx.rows.delete(k)
                      await later()
                      await tx.rows.put({ k: name((i * 3) % 10), n: i, mail })
                    }),
        )
        expect(['none', 'UniqueViolation', 'NotFound', 'AlreadyExists']).toContain(code)
      }
    })
    await Promise.all(work)
    expect((await db.check()).problems).toEqual([])
    const mails = (await db.rows.query().toArray()).flatMap(({ mail }) => mail ?? [])
    expect(new Set(mails).size).toBe(mails.length)
  })

  test('with an idempotency key happen once', async () => {
    const db = await openAt({ plain })
    await db.plain.put({ k: 'a', n: 0 })
    let runs = 0
    const call = (request?: string): Promise<number> =>
      db.transact(
        async (tx) => {
          runs++
          await sleep(1)
          const row = (await tx.plain.get('a')) as Row
          await tx.plain.put({ ...row, n: row.n + 1 })
          return row.n + 1
        },
        { idempotencyKey: 'one', request },
      )
    expect(await Promise.all(Array.from({ length: 10 }, () => call()))).toEqual(Array(10).fill(1))
    expect((await db.plain.get('a'))?.n).toBe(1)
    const before = runs
    expect(await call()).toBe(1)
    expect(runs).toBe(before)
    expect(await codeOf(call('another'))).toBe('IdempotencyMismatch')
  })

  test('replay what each write with an idempotency key was told', async () => {
    const db = await openAt({ plain })
    const options = (key: string): { idempotencyKey: string } => ({ idempotencyKey: key })
    const one = await db.plain.insert({ k: 'a', n: 1 }, options('i'))
    await db.plain.delete('a')
    const two = await db.plain.insert({ k: 'a', n: 1 }, options('i'))
    expect([two.position, two.row]).toEqual([one.position, one.row])
    expect(await db.plain.has('a')).toBe(false)
    expect(await codeOf(db.plain.insert({ k: 'a', n: 2 }, options('i')))).toBe(
      'IdempotencyMismatch',
    )
    expect(await codeOf(db.plain.put({ k: 'a', n: 1 }, options('i')))).toBe('IdempotencyMismatch')
    await db.plain.put({ k: 'a', n: 1 })
    for (let i = 0; i < 3; i++) {
      expect((await db.plain.increment('a', { n: 1 }, options('inc'))).row.n).toBe(2)
      const up = await db.plain.update('a', (row) => ({ ...row, g: 'u' }), options('up'))
      expect(up.row.g).toBe('u')
    }
    expect(await db.plain.get('a')).toEqual({ k: 'a', n: 2, g: 'u' })
    expect((await db.plain.delete('a', options('del'))).existed).toBe(true)
    expect((await db.plain.delete('a', options('del'))).existed).toBe(true)
    expect(await codeOf(db.plain.put({ k: 'a', n: 1 }, options('')))).toBe('InvalidArgument')
    expect(await codeOf(db.plain.put({ k: 'a', n: 1 }, options('x'.repeat(257))))).toBe(
      'InvalidArgument',
    )
    // What was refused was not applied, and can be called again.
    expect(await codeOf(db.plain.update('none', (row) => row, options('no')))).toBe('NotFound')
    await db.plain.put({ k: 'none', n: 1 })
    expect(await codeOf(db.plain.update('none', (row) => row, options('no')))).toBe('none')
  })

  test('too large are refused with the figure', async () => {
    const db = await openAt({ plain })
    const run = db.transact(async (tx) => {
      for (let i = 0; i < 3; i++) await tx.plain.put({ k: name(i), n: 1, g: 'x'.repeat(200_000) })
    })
    await expect(run).rejects.toMatchObject({
      code: 'TransactionTooLarge',
      applied: 'no',
      details: { limitBytes: 384 * 1024 },
    })
    expect(await db.plain.count()).toBe(0)
  })

  test('that read very much are judged by whole tables', async () => {
    const db = await openAt({ plain })
    await db.plain.putMany(Array.from({ length: 4_200 }, (_, i) => ({ k: name(i), n: i })))
    let attempts = 0
    await db.transact(async (tx) => {
      const found = await tx.plain.getMany(Array.from({ length: 4_200 }, (_, i) => name(i)))
      if (attempts++ === 0) await db.plain.put({ k: name(4_199), n: -1 })
      await tx.plain.put({ k: 'sum', n: found.reduce((sum, row) => sum + (row?.n ?? 0), 0) })
    })
    expect(attempts).toBe(2)
    expect((await db.plain.get('sum'))?.n).toBe((4_199 * 4_200) / 2 - 4_199 - 1)
  })
})
