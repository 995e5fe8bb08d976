// A restore that is interrupted, at whatever moment, leaves no database or the whole, and is run again.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { backup, open, restore, restoreTable, strong, unique } from '../../src/index.ts'
import { buildHoldfast } from '../cli/run-holdfast.ts'
import { endChildren, runChild } from './children.ts'
import { cleanUp, contentsOf, freshFolder, openAt } from './places.ts'

interface Row {
  id: number
  text: string
  name: string
}
const tables = {
  rows: strong<Row>({ key: 'id', indexes: { byText: 'text', byName: unique('name') } }),
}
const ROWS = 6_000

let root = ''
let backups = ''
let contents: Record<string, unknown[]> = {}

beforeAll(async () => {
  buildHoldfast()
  root = mkdtempSync(join(tmpdir(), 'holdfast-interrupted-'))
  backups = join(root, 'backups')
  const db = await open({ dir: join(root, 'data'), tables, shards: 4 })
  for (let round = 0; round < 2; round++) {
    const rows = Array.from({ length: ROWS / 2 }, (_, i) => {
      const id = round * (ROWS / 2) + i
      return { id, text: `${i % 100} ${'z'.repeat(300)}`, name: `name ${id}` }
    })
    await db.rows.putMany(rows)
    await db.backup({ to: backups })
  }
  contents = await contentsOf(db)
  await db.close()
}, 300_000)
afterAll(() => rmSync(root, { recursive: true, force: true }))

async function assertWhole(dir: string): Promise<void> {
  const db = await openAt(dir, tables)
  expect(await contentsOf(db)).toEqual(contents)
  expect((await db.check()).problems).toEqual([])
  await db.close()
}

describe('a restore', () => {
  cleanUp()
  endChildren()

  test('killed at any moment leaves nothing that opens, or the whole, and can be run again', async () => {
    const first = runChild('restore-worker.mjs', backups, freshFolder())
    await first.said('begun')
    const begunAt = performance.now()
    expect(await first.ended).toEqual({ how: '0', errors: '' })
    const tookMs = performance.now() - begunAt
    const KILLS = 14
    const left = { nothing: 0, unfinished: 0, whole: 0 }
    for (let kill = 0; kill < KILLS; kill++) {
      const dir = join(freshFolder(), 'new')
      const child = runChild('restore-worker.mjs', backups, dir)
      await child.said('begun')
      await sleep((tookMs * kill) / (KILLS - 1))
      child.process.kill('SIGKILL')
      await child.ended
      if (existsSync(join(dir, 'data.mdb'))) {
        left.whole++
        await assertWhole(dir)
        continue
      }
      if (existsSync(join(dir, '.restoring'))) {
        left.unfinished++
        await expect(open({ dir })).rejects.toMatchObject({ code: 'RestoreUnfinished' })
        await expect(open({ dir, mustExist: true })).rejects.toMatchObject({
          code: 'RestoreUnfinished',
        })
        await expect(backup({ dir, to: freshFolder() })).rejects.toMatchObject({
          code: 'RestoreUnfinished',
        })
      } else left.nothing++
      await restore({ from: backups, dir })
      await assertWhole(dir)
    }
    expect(left.unfinished).toBeGreaterThan(0)
  }, 240_000)

  test('killed before, between and after the renaming is one of the two', async () => {
    const whole = freshFolder()
    await restore({ from: backups, dir: whole })
    // Before the data got its name: all of it is there, and none of it counts.
    const before = freshFolder()
    mkdirSync(join(before, '.restoring'))
    renameSync(join(whole, 'data.mdb'), join(before, '.restoring', 'data.mdb'))
    await expect(open({ dir: before })).rejects.toMatchObject({ code: 'RestoreUnfinished' })
    // After it, with what was left behind.
    renameSync(join(before, '.restoring', 'data.mdb'), join(before, 'data.mdb'))
    await assertWhole(before)
    expect(readdirSync(before)).not.toContain('.restoring')
    await expect(restore({ from: backups, dir: before })).rejects.toMatchObject({
      code: 'AlreadyExists',
    })
    // Before anything was written.
    const empty = freshFolder()
    mkdirSync(join(empty, '.restoring'))
    await expect(open({ dir: empty })).rejects.toMatchObject({ code: 'RestoreUnfinished' })
    await restore({ from: backups, dir: empty })
    await assertWhole(empty)
  })

  test('that fails leaves the folder unfinished, without what it had written', async () => {
    const dir = freshFolder()
    const stopping = new AbortController()
    const onProgress = (): void => stopping.abort()
    await expect(
      restore({ from: backups, dir, onProgress, signal: stopping.signal }),
    ).rejects.toMatchObject({ code: 'Cancelled' })
    expect(readdirSync(join(dir, '.restoring'))).toEqual([])
    await expect(open({ dir })).rejects.toMatchObject({ code: 'RestoreUnfinished' })
    await restore({ from: backups, dir })
    await assertWhole(dir)
  })

  test('into one folder is done by one at a time', async () => {
    const dir = freshFolder()
    const [one, other] = await Promise.allSettled([
      restore({ from: backups, dir }),
      restore({ from: backups, dir }),
    ])
    const refused = [one, other].filter(({ status }) => status === 'rejected')
    expect(refused).toMatchObject([{ reason: { code: 'FolderInUse' } }])
    await assertWhole(dir)
  })
})

const mounted: string[] = []

/** A file system of its own for the test, which is skipped, loudly, where none may be mounted. */
function smallDisk(context: TestContext, size: string): string {
  const dir = mkdtempSync(join(root, 'disk-'))
  const { status, stderr } = spawnSync(
    'mount',
    ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', dir],
    {
      encoding: 'utf8',
    },
  )
  if (status !== 0) {
    console.warn(`NOT TESTED: ${context.task.name}: ${stderr}`)
    context.skip(`no tmpfs can be mounted here: ${stderr}`)
  }
  mounted.push(dir)
  return dir
}

describe('a full disk', () => {
  cleanUp()
  afterEach(() => {
    for (const dir of mounted.splice(0)) spawnSync('umount', ['-l', dir])
  })

  test('fails a restore by name; with room it is run again', async (context) => {
    const dir = smallDisk(context, '4m')
    await expect(restore({ from: backups, dir })).rejects.toMatchObject({ code: 'StorageFull' })
    expect(existsSync(join(dir, 'data.mdb'))).toBe(false)
    await expect(open({ dir })).rejects.toMatchObject({ code: 'RestoreUnfinished' })
    expect(spawnSync('mount', ['-o', 'remount,size=64m', dir]).status).toBe(0)
    await restore({ from: backups, dir })
    await assertWhole(dir)
  })

  test('fails a backup by name, and leaves none', async (context) => {
    const to = smallDisk(context, '64k')
    await expect(backup({ dir: join(root, 'data'), to })).rejects.toMatchObject({
      code: 'StorageFull',
    })
    expect(readdirSync(to).filter((name) => name.startsWith('manifests'))).toEqual([])
    expect(spawnSync('mount', ['-o', 'remount,size=64m', to]).status).toBe(0)
    await backup({ dir: join(root, 'data'), to })
    await restore({ from: to, dir: join(freshFolder(), 'new') })
  })
})

describe('a table', () => {
  cleanUp()
  endChildren()

  test('is restored under another name, with its indexes, beside what is there', async () => {
    const db = await openAt(freshFolder(), tables)
    await db.rows.put({ id: 1, text: 'mine', name: 'mine' })
    const copied = await restoreTable({ from: backups, into: db, table: 'rows', as: 'copy' })
    expect(copied).toMatchObject({ table: 'rows', as: 'copy', rows: ROWS })
    const copy = db.table('copy')
    expect(await copy.query().toArray()).toEqual(contents['rows'])
    const indexed = await copy.count({ index: 'byText', eq: `7 ${'z'.repeat(300)}` } as never)
    expect(indexed).toBe(ROWS / 100)
    await expect(copy.insert({ id: -1, text: 'x', name: 'name 5' })).rejects.toMatchObject({
      code: 'UniqueViolation',
    })
    expect(await db.rows.count()).toBe(1)
    expect((await db.check()).problems).toEqual([])
    // Once more it is the same copy; in place of another table it is none.
    const again = await restoreTable({ from: backups, into: db, table: 'rows', as: 'copy' })
    expect(again).toEqual(copied)
    await expect(
      restoreTable({ from: backups, into: db, table: 'rows', as: 'rows' }),
    ).rejects.toMatchObject({ code: 'AlreadyExists' })
    await expect(
      restoreTable({ from: backups, into: db, table: 'none', as: 'other' }),
    ).rejects.toMatchObject({ code: 'UnknownTable' })
    // Dropped, it can be had again.
    await db.drop('copy')
    expect(await restoreTable({ from: backups, into: db, table: 'rows', as: 'copy' })).toEqual(
      copied,
    )
    expect(await db.table('copy').count()).toBe(ROWS)
  }, 60_000)

  test('is never put into a table of others, not even an empty one', async () => {
    const db = await openAt(freshFolder(), {
      ...tables,
      other: strong<Row>({ key: 'id', indexes: { byText: 'text' } }),
    })
    const copy = { from: backups, into: db, table: 'rows', as: 'other' }
    await expect(restoreTable(copy)).rejects.toMatchObject({ code: 'AlreadyExists' })
    expect(db.stats().tables.find(({ name }) => name === 'other')?.indexes).toHaveLength(1)
    // What was copied once, dropped, and made anew by others is another table.
    await restoreTable({ ...copy, as: 'copy' })
    await db.drop('copy')
    await db.define('copy', tables.rows)
    expect(await restoreTable({ ...copy, as: 'copy' })).toMatchObject({ rows: ROWS })
    expect(await db.table('copy').count()).toBe(ROWS)
    await db.drop('copy')
    await db.define('copy', tables.rows)
    await db.table('copy').put({ id: 1, text: 'of others', name: 'of others' })
    await expect(restoreTable({ ...copy, as: 'copy' })).rejects.toMatchObject({
      code: 'AlreadyExists',
    })
    expect(await db.table('copy').count()).toBe(1)
  }, 60_000)

  test('interrupted goes on where it was, whoever writes to other tables meanwhile', async () => {
    const dir = freshFolder()
    const whole = await openAt(dir, tables)
    await whole.close()
    let killed = 0
    for (let kill = 0; kill < 5; kill++) {
      const child = runChild('table-worker.mjs', backups, dir)
      await child.said('begun')
      await sleep(60 + 120 * kill)
      child.process.kill('SIGKILL')
      if ((await child.ended).how === 'SIGKILL') killed++
      const db = await openAt(dir, tables)
      await db.rows.put({ id: kill, text: 'mine', name: `mine ${kill}` })
      await db.close()
    }
    expect(killed).toBeGreaterThan(0)
    const db = await openAt(dir, tables)
    let writes = 0
    let stop = false
    const writing = (async () => {
      while (!stop)
        await db.rows.put({ id: 1_000 + (writes++ % 50), text: 'm', name: `m${writes}` })
    })()
    const { rows } = await restoreTable({ from: backups, into: db, table: 'rows', as: 'copy' })
    stop = true
    await writing
    expect(rows).toBe(ROWS)
    expect(await db.table('copy').query().toArray()).toEqual(contents['rows'])
    expect((await db.check()).problems).toEqual([])
  }, 120_000)

  test('is as of the moment asked for', async () => {
    const db = await openAt(freshFolder(), tables)
    const first = readdirSync(backups).find((name) => name.includes('base')) as string
    const id = first.replace('.blob', '').split('%')[1] as string
    await restoreTable({ from: backups, into: db, table: 'rows', as: 'half', backup: id })
    expect(await db.table('half').count()).toBe(ROWS / 2)
  })
})
