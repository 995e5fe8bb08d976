// A table that demands more than acks mean is not opened, and not written while they mean less.

import { describe, expect, test } from 'vitest'
import { systemEnv } from '../../src/core/system-env.ts'
import { open, strong, unvalidated, type Durability } from '../../src/index.ts'
import { openLocalLog } from '../../src/log/local-log.ts'
import { openMemoryStore } from '../../src/store/memory-store.ts'
import { startDatabase } from '../../src/table/start-database.ts'
import { cleanUp, freshFolder } from './harness.ts'

interface Row {
  k: string
  n: number
}
const declared = (leastDurability: Durability) =>
  strong({ row: unvalidated<Row>(), key: 'k', leastDurability })

/** A database whose acks mean what `now` says. */
async function opened(now: () => Durability) {
  const { db } = await startDatabase(
    { tables: { safe: declared('quorum-fsynced'), any: declared('memory') } },
    {
      env: systemEnv,
      store: openMemoryStore(systemEnv),
      openLog: openLocalLog,
      durability: now,
      dir: undefined,
      release: () => Promise.resolve(),
    },
  )
  return db
}

describe('a table that demands more than acks mean', () => {
  cleanUp()

  test('refuses to open, by what was read and what is demanded, and leaves all as it was', async () => {
    const dir = await freshFolder()
    const tables = { first: declared('memory'), safe: declared('quorum') }
    await expect(open({ dir, tables })).rejects.toMatchObject({
      code: 'DurabilityTooLow',
      kind: 'rejected',
      applied: 'no',
      message: "acks mean 'fsynced' here; safe demands 'quorum' at the least",
      details: { table: 'safe', durability: 'fsynced', least: 'quorum' },
    })
    const db = await open({ dir, tables: { safe: declared('fsynced') } })
    expect(db.stats().tables.map(({ name }) => name)).toEqual(['safe'])
    await expect(db.define('more', declared('quorum-fsynced'))).rejects.toMatchObject({
      code: 'DurabilityTooLow',
    })
    expect(await db.safe.put({ k: 'a', n: 1 })).toMatchObject({ durability: 'fsynced' })
    await db.close()
    const code = 'DurabilityTooLow'
    const memory = open({ memory: true, tables: { safe: declared('fsynced') } })
    await expect(memory).rejects.toMatchObject({ code })
    expect(() => declared('forever' as never)).toThrow(/leastDurability is one of/)
  })

  test('is not written while they mean less, by no way, and goes on when they mean enough', async () => {
    let now: Durability = 'quorum-fsynced'
    const db = await opened(() => now)
    const before = await db.safe.put({ k: 'a', n: 1 })
    now = 'quorum'
    const { position } = db.stats()
    const { safe } = db
    const writes: (() => Promise<unknown>)[] = [
      () => safe.put({ k: 'b', n: 1 }),
      () => safe.insert({ k: 'b', n: 1 }),
      () => safe.update('a', (row) => ({ ...row, n: 2 })),
      () => safe.increment('a', { n: 1 }),
      () => safe.patch('a', { n: 3 }),
      () => safe.delete('a'),
      () => safe.put({ k: 'c', n: 1 }, { idempotencyKey: 'c' }),
      () => safe.delete('a', { idempotencyKey: 'd' }),
      () => db.transact((tx) => tx.safe.put({ k: 'b', n: 1 })),
      () => db.transact((tx) => tx.safe.update('a', (row) => row)),
      () => db.transact((tx) => tx.safe.delete('a')),
      () => db.transact((tx) => tx.safe.increment('a', { n: 1 })),
    ]
    for (const write of writes) {
      await expect(write()).rejects.toMatchObject({ code: 'DurabilityTooLow', applied: 'no' })
    }
    expect(db.stats().position).toBe(position)
    expect(await safe.get('a')).toEqual({ k: 'a', n: 1 })
    // Others are written, and their acks say what they mean now; those given before stay as they were.
    expect((await db.any.put({ k: 'x', n: 1 })).durability).toBe('quorum')
    expect(before.durability).toBe('quorum-fsynced')
    now = 'quorum-fsynced'
    expect((await safe.put({ k: 'b', n: 1 })).durability).toBe('quorum-fsynced')
    await db.close()
  })
})
