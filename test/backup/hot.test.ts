// A backup is one moment, however many write meanwhile, here and in other processes.
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { backup, listBackups, restore, strong, verifyBackup } from '../../src/index.ts'
import { buildHoldfast } from '../cli/run-holdfast.ts'
import { endChildren, runChild } from './children.ts'
import { cleanUp, freshFolder, openAt } from './places.ts'

const tables = {
  accounts: strong<{ id: number; balance: number }>({ key: 'id' }),
  moves: strong<{ id: number; from: number; to: number; text: string }>({ key: 'id' }),
}
const ACCOUNTS = 8

beforeAll(() => buildHoldfast(), 300_000)

/** The money there is is what there was, and each move is in both accounts or in none. */
async function assertOneMoment(dir: string): Promise<number> {
  const db = await openAt(dir, tables)
  const rows = await db.accounts.query().toArray()
  expect(rows.reduce((sum, { balance }) => sum + balance, 0)).toBe(ACCOUNTS * 100)
  const balances = new Map<number, number>(rows.map(({ id }) => [id, 100]))
  let moves = 0
  for await (const { from, to } of db.moves.query()) {
    moves++
    balances.set(from, (balances.get(from) ?? 0) - 1)
    balances.set(to, (balances.get(to) ?? 0) + 1)
  }
  expect(rows).toEqual([...balances].map(([id, balance]) => ({ id, balance })))
  expect((await db.check()).problems).toEqual([])
  await db.close()
  return moves
}

describe('a backup under heavy writes', () => {
  cleanUp()
  endChildren()

  test('is one moment, made beside another process that writes', async () => {
    const [dir, to] = [freshFolder(), freshFolder()]
    const writer = runChild('bank-worker.mjs', dir, String(ACCOUNTS))
    await writer.said('ready')
    const positions: number[] = []
    while (positions.length < 6) {
      const { position } = await backup({ dir, to, full: positions.length === 3 })
      if (position > (positions.at(-1) ?? 0)) positions.push(position)
      await sleep(30)
    }
    writer.process.kill('SIGKILL')
    await writer.ended
    expect((await listBackups({ from: to })).map(({ kind }) => kind)).toContain('increment')
    const moves: number[] = []
    for (const [i, position] of positions.entries()) {
      const into = freshFolder()
      // Somewhere between two backups, and at the end of one.
      const between = Math.floor((position + (positions[i + 1] ?? position)) / 2)
      await restore({ from: to, dir: into, at: i % 2 === 0 ? position : between })
      moves.push(await assertOneMoment(into))
    }
    expect(moves).toEqual(moves.toSorted((a, b) => a - b))
    expect(moves.at(-1)).toBeGreaterThan(0)
    await verifyBackup({ from: to })
    // What was killed goes on, and so do its backups.
    await openAt(dir, tables).then((db) => db.close())
    expect((await backup({ dir, to })).base).toBeUndefined()
    await verifyBackup({ from: to })
  }, 120_000)

  test('is one moment, made by the process that writes, which goes on writing', async () => {
    const [dir, to] = [freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    await db.accounts.putMany(Array.from({ length: ACCOUNTS }, (_, id) => ({ id, balance: 100 })))
    let [stop, id] = [false, 0]
    const move = async (): Promise<void> => {
      while (!stop) {
        const from = Math.floor(Math.random() * ACCOUNTS)
        const at = id++
        await db.transact(async (tx) => {
          await tx.accounts.update(from, (row) => ({ ...row, balance: row.balance - 1 }))
          await tx.accounts.update((from + 1) % ACCOUNTS, (row) => ({
            ...row,
            balance: row.balance + 1,
          }))
          await tx.moves.put({ id: at, from, to: (from + 1) % ACCOUNTS, text: 'x'.repeat(2_000) })
        })
      }
    }
    const moving = Promise.all(Array.from({ length: 16 }, move))
    while (id < 500) await sleep(5)
    const positions: number[] = []
    let during = 0
    for (let round = 0; round < 4; round++) {
      const before = db.stats().position
      const { position } = await db.backup({ to, full: round === 2 })
      during += db.stats().position - before
      positions.push(position)
      await sleep(20)
    }
    stop = true
    await moving
    expect(during).toBeGreaterThan(0)
    for (const at of positions) {
      const into = freshFolder()
      await restore({ from: to, dir: into, at })
      expect(await assertOneMoment(into)).toBeGreaterThan(0)
    }
  }, 120_000)

  test('stops when it is told to, and leaves no backup', async () => {
    const [dir, to] = [freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    await db.moves.putMany(
      Array.from({ length: 3_000 }, (_, id) => ({ id, from: 0, to: 0, text: 'y'.repeat(500) })),
    )
    const stopping = new AbortController()
    const seen: number[] = []
    const backedUp = db.backup({
      to,
      signal: stopping.signal,
      onProgress: ({ done, total }) => {
        expect(done).toBeLessThanOrEqual(total)
        seen.push(done)
        stopping.abort()
      },
    })
    await expect(backedUp).rejects.toMatchObject({ code: 'Cancelled' })
    expect(seen.length).toBeGreaterThan(0)
    expect(await listBackups({ from: to })).toEqual([])
    await db.backup({ to })
    await verifyBackup({ from: to })
  })
})
