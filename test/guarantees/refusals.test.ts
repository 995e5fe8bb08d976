/** A refusal leaves nothing behind, whoever catches it; and what is refused is refused to its caller alone. */
import { describe, expect, test } from 'vitest'
import { strong, unique, unvalidated } from '../../src/index.ts'
import { cleanUp, codeOf, onBothStores, openInside, sleep, within } from './harness.ts'

interface User {
  id: string
  mail?: string
  nick?: string
  n?: number
  tag?: string | null
}
const users = strong({
  row: unvalidated<User>(),
  key: 'id',
  indexes: { byMail: unique('mail'), byNick: unique('nick'), byTag: 'tag' },
})
interface Plain {
  id: string
  n?: number | string
  t?: string
}
const plain = strong({ row: unvalidated<Plain>(), key: 'id' })
const tagged = strong({ row: unvalidated<Plain>(), key: 'id', indexes: { byT: 't' } })

onBothStores('refusals', (openAt) => {
  test('a unique violation caught inside a transaction leaves no entry of another index', async () => {
    const db = await openAt({ users })
    await db.users.insert({ id: 'a', mail: 'a@x', nick: 'a' })
    await db.users.insert({ id: 'b', mail: 'b@x', nick: 'b' })
    await db.transact(async (tx) => {
      // The mail is free, the nick is not.
      expect(await codeOf(tx.users.put({ id: 'b', mail: 'new@x', nick: 'a' }))).toBe(
        'UniqueViolation',
      )
      await tx.users.put({ id: 'c', n: 1 })
    })
    expect((await db.check()).problems).toEqual([])
    expect((await db.users.query({ index: 'byMail', eq: 'b@x' }).first())?.id).toBe('b')
    await db.users.insert({ id: 'd', mail: 'new@x' })
  })

  test('a value that no index can hold, caught inside a transaction, leaves nothing', async () => {
    const db = await openAt({ users })
    await db.transact(async (tx) => {
      const row = { id: 'a', mail: 'a@x', tag: { deep: 1 } as never }
      expect(await codeOf(tx.users.put(row))).toBe('NotIndexable')
      await tx.users.put({ id: 'c', n: 1 })
    })
    expect((await db.check()).problems).toEqual([])
    await db.users.insert({ id: 'd', mail: 'a@x' })
  })

  test('an update chain refuses only the callers whose own row is refused', async () => {
    const db = await openAt({ users })
    await db.users.insert({ id: 'a', mail: 'a@x', n: 0 })
    await db.users.insert({ id: 'b', mail: 'b@x', n: 0 })
    // The first goes alone; the others wait for it, and are chained.
    const results = await Promise.allSettled([
      db.users.update('b', (row) => ({ ...row, n: (row.n ?? 0) + 1 })),
      db.users.update('b', (row) => ({ ...row, mail: 'a@x' })),
      db.users.update('b', (row) => ({ ...row, n: (row.n ?? 0) + 1 })),
      db.users.update('b', (row) => ({ ...row, mail: 'c@x' })),
      db.users.update('b', () => {
        throw new Error('mine')
      }),
      db.users.update('b', (row) => ({ ...row, tag: 'x'.repeat(2_000) })),
      db.users.update('b', (row) => ({ ...row, id: 'other' })),
      db.users.update('b', (row) => ({ ...row, n: (row.n ?? 0) + 1 })),
    ])
    const told = results.map((result) =>
      result.status === 'fulfilled' ? 'ok' : ((result.reason as { code?: string }).code ?? 'own'),
    )
    expect(told).toEqual([
      'ok',
      'UniqueViolation',
      'ok',
      'ok',
      'own',
      'KeyTooLarge',
      'InvalidArgument',
      'ok',
    ])
    expect(await db.users.get('b')).toEqual({ id: 'b', mail: 'c@x', n: 3 })
    expect((await db.check()).problems).toEqual([])
  })

  test('an op with an idempotency key is refused as one without', async () => {
    const db = await openAt({ plain, tagged })
    await db.plain.put({ id: 'a', n: 'text' })
    expect(await codeOf(db.plain.increment('a', { n: 1 } as never))).toBe('NotNumeric')
    const once = db.plain.increment('a', { n: 1 }, { idempotencyKey: 'k' })
    expect(await codeOf(once)).toBe('NotNumeric')
    await db.tagged.put({ id: 'a', n: 'text', t: 't' })
    const creating = db.tagged.increment('a', { n: 1 }, { create: { id: 'a', n: 0 } })
    expect(await codeOf(creating)).toBe('NotNumeric')
    expect(
      await codeOf(db.plain.increment('none', { n: 1 } as never, { idempotencyKey: 'm' })),
    ).toBe('NotFound')
  })

  test('a huge bigint cannot stop the database', async () => {
    const db = await openAt({ plain })
    for (const bits of [63, 64, 65, 500, 1000, 2000, 2040, 4000, 40_000]) {
      const big = 2n ** BigInt(bits) - 1n
      const made = await codeOf(db.plain.put({ id: 'a', n: big as never }))
      if (made !== 'none') {
        expect(made).toBe('InvalidValue')
        continue
      }
      const row = (await db.plain.get('a')) as unknown as { n: bigint }
      expect(row.n).toBe(big)
      const more = await codeOf(db.plain.increment('a', { n: big }))
      expect(['none', 'RowTooLarge', 'NotNumeric']).toContain(more)
      if (more === 'none') expect((await db.plain.get('a'))?.n).toBe(2n * big)
    }
    await db.plain.put({ id: 'b', n: 1 })
    expect((await db.check()).ok).toBe(true)
  })

  test('an aborted or late call is refused with a code', async () => {
    const db = await openAt({ plain })
    const signal = AbortSignal.abort()
    await db.plain.put({ id: 'a' })
    expect(await codeOf(db.plain.put({ id: 'b' }, { signal }))).toBe('Cancelled')
    expect(await codeOf(db.plain.insert({ id: 'b' }, { signal }))).toBe('Cancelled')
    expect(await codeOf(db.plain.update('a', (row) => row, { signal }))).toBe('Cancelled')
    expect(await codeOf(db.plain.delete('a', { signal }))).toBe('Cancelled')
    expect(await codeOf(db.plain.increment('a', { n: 1 } as never, { signal }))).toBe('Cancelled')
    expect(await codeOf(db.transact(() => 1, { signal }))).toBe('Cancelled')
    expect(await codeOf(db.plain.get('a', { signal }))).toBe('Cancelled')
    expect(await codeOf(db.plain.query({ signal }).toArray())).toBe('Cancelled')
    const stop = new AbortController()
    const feed = db.plain.watch({ signal: stop.signal })[Symbol.asyncIterator]()
    const next = feed.next()
    stop.abort()
    expect(await codeOf(next)).toBe('Cancelled')
    expect(await db.plain.has('b')).toBe(false)
  })

  test('scans that end in their first slice do not count against the snapshots held', async () => {
    const db = await openAt({ tagged })
    const rows = Array.from({ length: 200 }, (_, i) => ({ id: `r${i}`, t: `t${i % 100}` }))
    await db.tagged.putMany(rows)
    const found = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        db.tagged.query({ index: 'byT', eq: `t${i}` }).toArray(),
      ),
    )
    expect(found.every((list) => list.length === 2)).toBe(true)
  })

  test('a cursor leads nowhere but into its own query', async () => {
    const db = await openAt({ plain, users })
    await db.users.putMany([{ id: 'secret', mail: 's@x' }])
    await db.plain.putMany(['a', 'b', 'c', 'd'].map((id) => ({ id })))
    const page = await db.plain.query({ gte: 'b' }).page({ limit: 1 })
    const parts = (page.cursor as string).split('.')
    for (const after of ['00', '10', 'ff', '1000000000']) {
      const forged = [...parts.slice(0, 4), after].join('.')
      expect(await codeOf(db.plain.query({ gte: 'b' }).page({ limit: 9, cursor: forged }))).toBe(
        'InvalidCursor',
      )
    }
    const rest = await db.plain.query({ gte: 'b' }).page({ limit: 9, cursor: page.cursor })
    expect(rest.rows.map(({ id }) => id)).toEqual(['c', 'd'])
  })

  test('any name that is allowed can be a table', async () => {
    const names = ['declare', 'begin', 'toString', 'hasOwnProperty', 'value', 'handles', 'valueOf']
    for (const name of names) {
      const db = await openAt({ [name]: plain, last: plain })
      expect(await codeOf(db.table(name).put({ id: 'a' }))).toBe('none')
      await db.transact((tx) => tx.table(name).put({ id: 'b' }))
      expect(await db.table(name).count()).toBe(2)
    }
  })
})

describe('waiting', () => {
  cleanUp()
  test('for another transaction ends at the deadline', async () => {
    const { db } = await openInside({ plain })
    await db.plain.put({ id: 'a', n: 0 })
    let letGo = (): void => undefined
    const held = new Promise<void>((resolve) => (letGo = resolve))
    let tries = 0
    // Loses once, and then holds the latch of the row.
    const holder = db.transact(async (tx) => {
      const row = (await tx.plain.get('a')) as Plain
      if (tries++ === 0) await db.plain.put({ id: 'a', n: 1 })
      else await held
      await tx.plain.put(row)
    })
    await sleep(20)
    let others = 0
    const other = db.transact(
      async (tx) => {
        const row = (await tx.plain.get('a')) as Plain
        if (others++ === 0) await db.plain.put({ id: 'a', n: 2 })
        await tx.plain.put({ ...row, t: 'other' })
      },
      { deadlineMs: 300 },
    )
    expect(['none', 'Conflict']).toContain(await codeOf(within(2_000, other)))
    letGo()
    await holder
  })

  test('for a transaction inside another one that holds the row ends', async () => {
    const { db } = await openInside({ plain })
    await db.plain.put({ id: 'a', n: 0 })
    let outer = 0
    const run = db.transact(
      async (tx) => {
        const row = (await tx.plain.get('a')) as Plain
        if (outer++ === 0) await db.plain.put({ id: 'a', n: 1 })
        else {
          let inner = 0
          await db.transact(
            async (nested) => {
              const seen = (await nested.plain.get('a')) as Plain
              if (inner++ === 0) await db.plain.put({ id: 'a', n: 5 })
              await nested.plain.put({ ...seen, t: 'nested' })
            },
            { deadlineMs: 200 },
          )
          if (outer > 3) return
        }
        await tx.plain.put(row)
      },
      { deadlineMs: 1_500 },
    )
    expect(await codeOf(within(5_000, run))).not.toBe('not settled')
  })
})
