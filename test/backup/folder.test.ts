// A folder of backups: one backup at a time, nothing stays of those that ended early, and the
// histories of several databases, or of one that was set back, are kept apart.
import { cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { backup, listBackups, restore, strong, verifyBackup } from '../../src/index.ts'
import { buildHoldfast } from '../cli/run-holdfast.ts'
import { endChildren, runChild } from './children.ts'
import { cleanUp, contentsOf, freshFolder, openAt } from './places.ts'

const tables = { rows: strong<{ id: number; text: string }>({ key: 'id' }) }
const rowsFrom = (first: number, count: number): { id: number; text: string }[] =>
  Array.from({ length: count }, (_, i) => ({ id: first + i, text: 't'.repeat(500) }))

const partsIn = (dir: string): string[] =>
  readdirSync(dir).filter((name) => name.startsWith('parts%'))

/** The backups that parts are of, and those there are. */
async function assertNoLeftovers(dir: string): Promise<void> {
  const ids = (await listBackups({ from: dir })).map(({ id }) => id)
  const of = new Set(partsIn(dir).map((name) => name.split('%')[1]))
  expect(ids).toEqual(expect.arrayContaining([...of]))
  expect(readdirSync(dir).filter((name) => name.startsWith('.tmp-'))).toEqual([])
}

describe('a folder of backups', () => {
  cleanUp()
  endChildren()
  beforeAll(() => buildHoldfast(), 300_000)

  test('takes one backup at a time, and refuses another by its code', async () => {
    const [dir, to] = [freshFolder(), join(freshFolder(), 'new')]
    const db = await openAt(dir, tables)
    await db.rows.putMany(rowsFrom(0, 3_000))
    const both = await Promise.allSettled([db.backup({ to }), backup({ dir, to })])
    const refused = both.filter(({ status }) => status === 'rejected')
    expect(refused).toMatchObject([{ reason: { code: 'FolderInUse', details: { dir: to } } }])
    await verifyBackup({ from: to })
    // One that failed lets go of it.
    await expect(db.backup({ to, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'Cancelled',
    })
    expect((await db.backup({ to })).base).toBeUndefined()
  })

  test('is refused to another process, and free once that was killed', async () => {
    const [dir, to] = [freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    await db.rows.putMany(rowsFrom(0, 20_000))
    const child = runChild('backup-worker.mjs', dir, to)
    await child.said('begun')
    while (partsIn(to).length === 0) await sleep(1)
    await expect(db.backup({ to })).rejects.toMatchObject({ code: 'FolderInUse' })
    child.process.kill('SIGKILL')
    await child.ended
    await db.backup({ to })
    await assertNoLeftovers(to)
  }, 60_000)

  test('keeps nothing of a backup that was killed, whenever, once the next is made', async () => {
    const [dir, to] = [freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    await db.rows.putMany(rowsFrom(0, 5_000))
    for (let kill = 0; kill < 8; kill++) {
      const child = runChild('backup-worker.mjs', dir, to)
      await child.said('begun')
      await sleep(20 * kill)
      child.process.kill('SIGKILL')
      await child.ended
      await verifyOrNone(to)
      await db.rows.putMany(rowsFrom(5_000 + 10 * kill, 10))
      await db.backup({ to })
      await assertNoLeftovers(to)
    }
    await verifyBackup({ from: to })
    const into = freshFolder()
    await restore({ from: to, dir: into })
    expect(await contentsOf(await openAt(into, tables))).toEqual(await contentsOf(db))
  }, 120_000)

  test('loses no part to the clearing while a manifest that may list it cannot be read', async () => {
    const [dir, to] = [freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    await db.rows.putMany(rowsFrom(0, 10))
    await db.backup({ to })
    const [part = ''] = partsIn(to)
    const manifest = readdirSync(to).find((name) => name.startsWith('manifests')) as string
    cpSync(join(to, manifest), join(dir, 'kept'))
    writeFileSync(join(to, manifest), 'damaged')
    expect(await db.backup({ to })).toMatchObject({ base: 'damaged' })
    expect(existsSync(join(to, part))).toBe(true)
    // Once the manifest is deleted, the part is nobody's.
    rmSync(join(to, manifest))
    await db.backup({ to })
    expect(existsSync(join(to, part))).toBe(false)
    await verifyBackup({ from: to })
  })

  test('goes on from the own backups of each database that has some there', async () => {
    const to = freshFolder()
    const [one, other] = [await openAt(freshFolder(), tables), await openAt(freshFolder(), tables)]
    for (let round = 0; round < 3; round++) {
      for (const [i, db] of [one, other].entries()) {
        await db.rows.putMany(rowsFrom(100 * round + i, 20))
        const { base } = await db.backup({ to })
        expect(base !== undefined).toBe(round === 0)
      }
    }
    const backups = await listBackups({ from: to })
    for (const db of [one, other]) {
      const last = backups.findLast(({ identity }) => identity === db.identity)
      const into = freshFolder()
      await restore({ from: to, dir: into, backup: last?.id })
      expect(await contentsOf(await openAt(into, tables))).toEqual(await contentsOf(db))
    }
  })

  test('still leads to any moment of the history before a restore, by one of its backups', async () => {
    const [dir, to] = [freshFolder(), freshFolder()]
    const db = await openAt(dir, tables)
    await db.rows.put({ id: 1, text: 'first' })
    await db.backup({ to })
    await db.rows.put({ id: 2, text: 'second' })
    const { position: at } = db.stats()
    await db.rows.put({ id: 3, text: 'third' })
    const { backups } = await db.backup({ to })
    const again = freshFolder()
    await restore({ from: to, dir: again, at })
    const restored = await openAt(again, tables)
    await restored.rows.put({ id: 4, text: 'fourth' })
    await restored.backup({ to })
    await expect(restore({ from: to, dir: freshFolder(), at })).rejects.toMatchObject({
      code: 'NotFound',
    })
    const into = freshFolder()
    expect(await restore({ from: to, dir: into, at, backup: backups[0]?.id })).toMatchObject({
      position: at,
    })
    expect(await (await openAt(into, tables)).rows.count()).toBe(2)
  })

  test('keeps apart what a database did before its file was put back, and after', async () => {
    const [dir, to, kept] = [freshFolder(), freshFolder(), freshFolder()]
    const before = await openAt(dir, tables)
    await before.rows.putMany(rowsFrom(0, 5))
    await before.backup({ to })
    await before.close()
    cpSync(join(dir, 'data.mdb'), join(kept, 'data.mdb'))
    const left = await openAt(dir, tables)
    for (let id = 100; id < 110; id++) await left.rows.put({ id, text: 'left' })
    const end = await left.backup({ to })
    const atLeft = end.position - 2
    await left.close()
    cpSync(join(kept, 'data.mdb'), join(dir, 'data.mdb'))
    const db = await openAt(dir, tables)
    for (let id = 200; id < 230; id++) await db.rows.put({ id, text: 'after' })
    expect(await db.backup({ to })).toMatchObject({ base: 'other-history' })
    await db.rows.put({ id: 300, text: 'after' })
    expect((await db.backup({ to })).base).toBeUndefined()
    const into = freshFolder()
    await restore({ from: to, dir: into })
    expect(await contentsOf(await openAt(into, tables))).toEqual(await contentsOf(db))
    // It never was in that state: the other history was.
    await expect(restore({ from: to, dir: freshFolder(), at: atLeft })).rejects.toMatchObject({
      code: 'NotFound',
    })
    const id = end.backups[0]?.id
    const ofLeft = freshFolder()
    await restore({ from: to, dir: ofLeft, at: atLeft, backup: id })
    expect(await (await openAt(ofLeft, tables)).rows.has(107)).toBe(true)
  })
})

async function verifyOrNone(from: string): Promise<void> {
  if ((await listBackups({ from })).length > 0) await verifyBackup({ from })
}
