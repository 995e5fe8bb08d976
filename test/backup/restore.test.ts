// A restored database is what was backed up, at any moment since the first base, and is another one.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  backup,
  listBackups,
  open,
  restore,
  strong,
  unique,
  unvalidated,
  verifyBackup,
} from '../../src/index.ts'
import { cleanUp, contentsOf, freshFolder, inPieces, intoMemory, openAt } from './places.ts'

interface Account {
  id: string
  owner: string
  email?: string
  balance: number
}
const tables = {
  accounts: strong({
    row: unvalidated<Account>(),
    key: 'id',
    indexes: { byOwner: 'owner', byEmail: unique('email') },
  }),
  visits: strong<{ site: string; at: number; until?: Date }>({ key: ['site', 'at'], ttl: 'until' }),
}
const account = (id: string, more: Partial<Account> = {}): Account => ({
  id,
  owner: 'o',
  balance: 1,
  ...more,
})

describe('a restored database', () => {
  cleanUp()

  test('has the same rows, indexes, uniqueness and idempotency keys', async () => {
    const [dir, to, into] = [freshFolder(), freshFolder(), join(freshFolder(), 'new')]
    const db = await openAt(dir, tables)
    await db.accounts.insert(account('a', { owner: 'x', email: 'a@x' }))
    await db.accounts.insert(account('b', { owner: 'x', email: 'b@x' }))
    await db.visits.put({ site: 's', at: 1 })
    await db.accounts.insert(account('c'), { idempotencyKey: 'once' })
    const before = await contentsOf(db)
    const report = await db.backup({ to })
    expect(report).toMatchObject({ base: 'first', backups: [{ kind: 'base', rows: 4 }] })
    const { identity, position } = await restore({ from: to, dir: into })
    expect(identity).not.toBe(db.identity)
    expect(position).toBe(report.position)
    const restored = await openAt(into, tables)
    expect(await contentsOf(restored)).toEqual(before)
    expect(restored.identity).toBe(identity)
    expect((await restored.check()).problems).toEqual([])
    const ofX = await restored.accounts.query({ index: 'byOwner', eq: 'x' }).toArray()
    expect(ofX.map(({ id }) => id)).toEqual(['a', 'b'])
    await expect(restored.accounts.insert(account('d', { email: 'a@x' }))).rejects.toMatchObject({
      code: 'UniqueViolation',
    })
    await restored.accounts.insert(account('c'), { idempotencyKey: 'once' })
    await expect(
      restored.accounts.insert(account('e'), { idempotencyKey: 'once' }),
    ).rejects.toMatchObject({ code: 'IdempotencyMismatch' })
    expect(await restored.accounts.count()).toBe(3)
  })

  test('is another database: tokens and cursors of the old one mean nothing to it', async () => {
    const [dir, to, into] = [freshFolder(), freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    for (let i = 0; i < 5; i++) await db.accounts.insert(account(`a${i}`))
    const { cursor } = await db.accounts.query().page({ limit: 2 })
    const { token } = db
    await db.backup({ to })
    await restore({ from: to, dir: into })
    const restored = await openAt(into, tables)
    await expect(restored.accounts.get('a1', { after: token })).rejects.toMatchObject({
      code: 'TokenMismatch',
    })
    await expect(restored.accounts.query().page({ limit: 2, cursor })).rejects.toMatchObject({
      code: 'SnapshotExpired',
    })
  })

  test('writes on, feeds its changes from the start, and survives being opened again', async () => {
    const [dir, to, into] = [freshFolder(), freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    for (let i = 0; i < 50; i++) await db.accounts.insert(account(`a${i}`))
    await db.backup({ to })
    await restore({ from: to, dir: into })
    for (let life = 0; life < 3; life++) {
      const again = await openAt(into, tables)
      await again.accounts.insert(account(`new${life}`))
      await again.accounts.increment('a1', { balance: 1 })
      const seen: string[] = []
      for await (const change of again.accounts.watch({ from: 'start' })) {
        seen.push(`${change.kind} ${String(change.key)}`)
        if (change.position >= again.stats().position) break
      }
      expect(seen.slice(0, 2)).toEqual(['insert new0', 'update a1'])
      expect(seen).toHaveLength(2 * (life + 1))
      const rows = await again.accounts.watch({ from: 'snapshot' })[Symbol.asyncIterator]().next()
      expect(rows.value).toMatchObject({ kind: 'row' })
      expect((await again.check()).problems).toEqual([])
      await again.close()
    }
  })

  test('can be backed up itself, beside the backups of the old one', async () => {
    const [dir, to, into, third] = [freshFolder(), freshFolder(), freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    await db.accounts.insert(account('a'))
    await db.backup({ to })
    await restore({ from: to, dir: into })
    const restored = await openAt(into, tables)
    await restored.accounts.insert(account('b'))
    expect(await restored.backup({ to })).toMatchObject({ base: 'other-history' })
    await restored.accounts.insert(account('c'))
    expect((await restored.backup({ to })).base).toBeUndefined()
    await restore({ from: to, dir: third })
    expect(await contentsOf(await openAt(third, tables))).toEqual(await contentsOf(restored))
  })

  test('still expires rows by their time to live', async () => {
    const [dir, to, into] = [freshFolder(), freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    await db.visits.put({ site: 's', at: 1, until: new Date(1) })
    await db.visits.put({ site: 's', at: 2, until: new Date(Date.now() + 1e9) })
    await db.backup({ to })
    await restore({ from: to, dir: into })
    const restored = await openAt(into, tables)
    await restored.upkeep()
    const left = await restored.visits.query().toArray()
    expect(left.map(({ at }) => at)).toEqual([2])
  })

  test('is never made over another, and an unknown moment touches nothing', async () => {
    const [dir, to, into] = [freshFolder(), freshFolder(), join(freshFolder(), 'new')]
    const db = await openAt(dir, tables)
    await db.accounts.insert(account('a'))
    await db.backup({ to })
    await expect(restore({ from: to, dir })).rejects.toMatchObject({ code: 'AlreadyExists' })
    const target = await openAt(freshFolder(), tables)
    await target.accounts.insert(account('mine'))
    await target.close()
    const { dir: taken = '' } = target
    await expect(restore({ from: to, dir: taken })).rejects.toMatchObject({ code: 'AlreadyExists' })
    expect(await (await openAt(taken, tables)).accounts.has('mine')).toBe(true)
    const beyond = db.stats().position + 1
    await expect(restore({ from: to, dir: into, at: beyond })).rejects.toMatchObject({
      code: 'NotFound',
    })
    await expect(restore({ from: to, dir: into, at: 1 })).rejects.toMatchObject({
      code: 'NotFound',
    })
    await expect(restore({ from: to, dir: into, at: new Date(1e12) })).rejects.toMatchObject({
      code: 'NotFound',
    })
    await expect(restore({ from: to, dir: into, backup: 'none' })).rejects.toMatchObject({
      code: 'NotFound',
    })
    expect(existsSync(into)).toBe(false)
  })
})

/** What a step of a history does. */
type Step =
  | { readonly do: 'put'; readonly key: number; readonly value: number }
  | { readonly do: 'delete'; readonly key: number }
  | { readonly do: 'add'; readonly key: number; readonly value: number }
  | { readonly do: 'race'; readonly key: number }
  | { readonly do: 'index' | 'drop' | 'backup' | 'full' | 'reopen' }

const key = fc.integer({ min: 0, max: 9 })
const value = fc.integer({ min: 0, max: 99 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('put' as const), key, value }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), key }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('add' as const), key, value }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('race' as const), key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('backup' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('index', 'drop', 'full', 'reopen') }),
  },
)

describe('a random history', () => {
  cleanUp()
  const counters = {
    counters: strong<{ id: number; n: number }>({ key: 'id' }),
    other: strong<{ id: number; n: number }>({ key: 'id', indexes: { byN: unique('n') } }),
  }

  test('is restored as it was at any position and time since the first backup', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 40 }), async (steps) => {
        const [dir, to] = [freshFolder(), freshFolder()]
        let db = await openAt(dir, counters)
        await db.backup({ to })
        const first = db.stats().position
        const states = new Map<number, unknown>([[first, await contentsOf(db)]])
        for (const each of steps) {
          if (each.do === 'reopen') {
            await db.close()
            db = await openAt(dir, counters)
          } else await run(db, to, each)
          states.set(db.stats().position, await contentsOf(db))
        }
        await db.backup({ to })
        expect(await verifyBackup({ from: to })).toMatchObject({ position: db.stats().position })
        const { entries } = await db.check()
        expect(entries).toBeGreaterThan(0)
        for (const [position, contents] of [...states].filter((_, i) => i % 4 === 0)) {
          const into = freshFolder()
          expect(await restore({ from: to, dir: into, at: position })).toMatchObject({ position })
          const restored = await open({ dir: into })
          expect(await contentsOf(restored)).toEqual(contents)
          expect((await restored.check()).problems).toEqual([])
          await restored.close()
        }
        await db.close()
      }),
      { numRuns: 12 },
    )
  }, 120_000)

  async function run(
    db: Awaited<ReturnType<typeof openAt<typeof counters>>>,
    to: string,
    each: Step,
  ): Promise<void> {
    const refused = (): undefined => undefined
    switch (each.do) {
      case 'put':
        await db.counters.put({ id: each.key, n: each.value })
        await db.other.put({ id: each.key, n: each.value }).catch(refused)
        break
      case 'delete':
        await db.counters.delete(each.key)
        break
      case 'add':
        // An indexed field takes no increments.
        await db.counters
          .increment(each.key, { n: each.value }, { create: { id: each.key, n: 0 } })
          .catch(refused)
        break
      case 'race': {
        // Transactions that read one another's rows: some lose, and the log says which.
        const add = (): Promise<void> =>
          db.transact(async (tx) => {
            const row = (await tx.counters.get(each.key)) ?? { id: each.key, n: 0 }
            await tx.counters.put({ ...row, n: row.n + 1 })
          })
        await Promise.all(Array.from({ length: 6 }, add))
        break
      }
      case 'index':
        await db.define(
          'counters',
          strong<{ id: number; n: number }>({ key: 'id', indexes: { byN: 'n' } }),
        )
        break
      case 'drop':
        await db.drop('other')
        await db.define('other', counters.other)
        break
      case 'backup':
        await db.backup({ to })
        break
      case 'full':
        await db.backup({ to, full: true })
        break
      case 'reopen':
        throw new Error('it is opened again by whoever runs the steps')
    }
  }
})

describe('backups in a folder', () => {
  cleanUp()

  test('keep what was decided: who lost to a write from before the base loses again', async () => {
    const [dir, to, into] = [freshFolder(), freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    await db.accounts.insert(account('a', { balance: 0 }))
    let tries = 0
    await db.transact(async (tx) => {
      const before = await tx.accounts.get('a')
      if (++tries === 1) {
        await db.accounts.put(account('a', { balance: 10 }))
        await db.backup({ to })
      }
      await tx.accounts.put(account('a', { balance: (before?.balance ?? 0) + 1 }))
      await tx.accounts.put(account(`try ${tries}`))
    })
    expect(tries).toBe(2)
    await db.backup({ to })
    await restore({ from: to, dir: into })
    const restored = await openAt(into, tables)
    expect(await restored.accounts.get('a')).toMatchObject({ balance: 11 })
    expect(await contentsOf(restored)).toEqual(await contentsOf(db))
  })

  test('go on from one another, and a moment in between is found by its time', async () => {
    const [dir, to] = [freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    const times: { time: Date; rows: number }[] = []
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 3; i++) {
        await db.accounts.insert(account(`${round}.${i}`))
        times.push({ time: new Date(), rows: round * 3 + i + 1 })
        while (Date.now() <= (times.at(-1)?.time.getTime() ?? 0)) await new Promise(setImmediate)
      }
      const report = await db.backup({ to })
      expect(report.backups.map(({ kind }) => kind)).toEqual([round === 0 ? 'base' : 'increment'])
    }
    const listed = await listBackups({ from: to })
    expect(listed.map(({ rows }) => rows)).toEqual([3, 6, 9, 12])
    expect(listed.slice(1).map(({ from }) => from)).toEqual(
      listed.slice(0, -1).map(({ position }) => position),
    )
    for (const { time, rows } of times.slice(3)) {
      const into = freshFolder()
      await restore({ from: to, dir: into, at: time })
      const restored = await openAt(into, tables)
      expect(await restored.accounts.count()).toBe(rows)
      await restored.close()
    }
  })

  test('a new base is made, and said, when the entries since the last are gone', async () => {
    const [dir, to] = [freshFolder(), freshFolder()]
    const db = await open({ dir, tables, retention: { keepMs: 0, keepBytes: 1 } })
    await db.backup({ to })
    for (let i = 0; i < 20; i++) await db.accounts.insert(account(`a${i}`))
    await db.upkeep()
    expect(db.stats().oldestPosition).toBeGreaterThan(5)
    expect(await db.backup({ to })).toMatchObject({ base: 'trimmed', backups: [{ kind: 'base' }] })
    await db.close()
    await verifyBackup({ from: to })
  })

  test('are made beside the process that has the folder open, and of a closed one', async () => {
    const [dir, to] = [freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    await db.accounts.insert(account('a'))
    expect((await backup({ dir, to })).base).toBe('first')
    await db.accounts.insert(account('b'))
    await db.close()
    expect((await backup({ dir, to })).base).toBeUndefined()
    expect((await verifyBackup({ from: to })).rows).toBe(2)
    await expect(backup({ dir: freshFolder(), to })).rejects.toMatchObject({
      code: 'FolderNotFound',
    })
    await expect(listBackups({ from: join(to, 'none') })).rejects.toMatchObject({
      code: 'FolderNotFound',
    })
  })
})

test('looking at a folder of backups leaves alone what a backup under way has in it', async () => {
  const [dir, to] = [freshFolder(), freshFolder()]
  const db = await openAt(dir, tables)
  await db.backup({ to })
  const underWay = join(to, '.tmp-0123')
  writeFileSync(underWay, 'x')
  await listBackups({ from: to })
  await verifyBackup({ from: to })
  await restore({ from: to, dir: freshFolder() })
  expect(existsSync(underWay)).toBe(true)
  await db.backup({ to })
  expect(existsSync(underWay)).toBe(false)
})

describe('an archive', () => {
  cleanUp()

  test('restores what a stream took, increments behind it included', async () => {
    const [dir, into, early] = [freshFolder(), freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    for (let i = 0; i < 30; i++) await db.accounts.insert(account(`a${i}`))
    const whole = intoMemory()
    const { position } = await db.backup({ stream: whole.stream })
    await db.accounts.delete('a3')
    await db.accounts.insert(account('later'))
    const more = intoMemory()
    expect(await db.backup({ stream: more.stream, after: position })).toMatchObject({
      backups: [{ kind: 'increment', from: position }],
    })
    const bytes = Buffer.concat([whole.bytes(), more.bytes()])
    await restore({ from: inPieces(bytes, 777), dir: into })
    expect(await contentsOf(await openAt(into, tables))).toEqual(await contentsOf(db))
    await restore({ from: inPieces(bytes, 100_000), dir: early, at: position })
    expect(await (await openAt(early, tables)).accounts.count()).toBe(30)
    expect(await verifyBackup({ from: inPieces(bytes, 5_000) })).toMatchObject({ backups: 2 })
    await expect(
      restore({ from: inPieces(more.bytes(), 999), dir: freshFolder() }),
    ).rejects.toMatchObject({ code: 'NotFound' })
  })

  test('is aborted, not ended, when the backup fails', async () => {
    const db = await openAt(freshFolder(), tables)
    await db.accounts.insert(account('a'))
    const controller = new AbortController()
    controller.abort()
    let aborted: unknown
    const stream = new WritableStream<Uint8Array>({ abort: (cause) => void (aborted = cause) })
    await expect(db.backup({ stream, signal: controller.signal })).rejects.toMatchObject({
      code: 'Cancelled',
    })
    expect(aborted).toMatchObject({ code: 'Cancelled' })
  })

  test('whose reader stops reading for ever ends when it is told to', async () => {
    const db = await openAt(freshFolder(), tables)
    await db.accounts.insert(account('a'))
    const stopping = new AbortController()
    let asked = 0
    const stream = new WritableStream<Uint8Array>({
      write: () => {
        asked++
        stopping.abort()
        return new Promise(() => undefined)
      },
    })
    await expect(db.backup({ stream, signal: stopping.signal })).rejects.toMatchObject({
      code: 'Cancelled',
    })
    expect(asked).toBe(1)
  })
})

test('what cannot be a backup, or its options, is refused before anything is touched', async () => {
  const db = await openAt(freshFolder(), tables)
  const dir = join(freshFolder(), 'new')
  const refused = { code: 'InvalidArgument' }
  const { stream } = intoMemory()
  stream.getWriter()
  await expect(db.backup({ stream })).rejects.toMatchObject(refused)
  await expect(db.backup({ to: freshFolder(), full: 'yes' } as never)).rejects.toMatchObject(
    refused,
  )
  for (const options of [undefined, {}, { dir }, { dir, from: 5 }, { dir, from: [] }] as never[]) {
    await expect(restore(options)).rejects.toMatchObject(refused)
    await expect(verifyBackup(options)).rejects.toMatchObject(refused)
    await expect(listBackups(options)).rejects.toMatchObject(refused)
  }
  await expect(backup(undefined as never)).rejects.toMatchObject(refused)
  expect(existsSync(dir)).toBe(false)
  async function* text(): AsyncGenerator<never> {
    yield 'text' as never
  }
  await expect(restore({ from: text(), dir })).rejects.toMatchObject(refused)
})
