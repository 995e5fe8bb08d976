// Who may open a folder, and what stands where a folder should: coded errors, and one holder.
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { open, strong } from '../../src/index.ts'
import { fillFolder, withFolder } from '../../src/open.ts'
import { statePosition } from '../../src/shard/apply-loop.ts'
import { Victim } from '../crash/victim.ts'

const WORKER = join(import.meta.dirname, 'fault-worker.mjs')
const RACERS = 20

interface Row {
  id: string
  text: string
}
const tables = { rows: strong<Row>({ key: 'id', indexes: { byText: 'text' } }) }

let root = ''
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-folder-'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const victims: Victim[] = []
afterEach(async () => {
  await Promise.all(victims.splice(0).map((victim) => victim.kill()))
})

function victim(): Victim {
  const made = new Victim(WORKER)
  victims.push(made)
  return made
}

const folder = (): string => mkdtempSync(join(root, 'data-'))
const socketsIn = (dir: string): string[] =>
  readdirSync(dir).filter((name) => name.endsWith('.sock') || name.endsWith('.claim'))

describe('a second opener', () => {
  test('in the same process is told FolderInUse, with the pid', async () => {
    const dir = folder()
    const db = await open({ dir, tables })
    const refused = { code: 'FolderInUse', details: { dir, pid: process.pid } }
    await expect(open({ dir, tables })).rejects.toMatchObject(refused)
    await expect(open({ dir: `${dir}/./`, tables })).rejects.toMatchObject(refused)
    await db.rows.put({ id: 'a', text: 'still works' })
    await db.close()
    const again = await open({ dir, tables })
    expect(await again.rows.get('a')).toEqual({ id: 'a', text: 'still works' })
    await again.close()
    expect(socketsIn(dir)).toEqual([])
  })

  test('in another process too; once the holder is killed it opens at once', async () => {
    const dir = folder()
    const holder = victim()
    await holder.said('ready')
    holder.tell({ do: 'open', dir })
    await holder.said('opened')
    holder.tell({ do: 'write', writes: 5 })
    await holder.said('done')
    await expect(open({ dir, tables })).rejects.toMatchObject({
      code: 'FolderInUse',
      message: expect.stringContaining(String(holder.pid)) as string,
      details: { pid: holder.pid },
    })
    await holder.kill()
    const started = performance.now()
    const db = await open({ dir, tables })
    expect(performance.now() - started).toBeLessThan(2_000)
    expect(await db.rows.count()).toBe(15)
    await db.close()
    expect(socketsIn(dir)).toEqual([])
  })

  test('gets no way in while the holder is too busy to answer', async () => {
    const dir = folder()
    const holder = victim()
    await holder.said('ready')
    holder.tell({ do: 'open', dir })
    await holder.said('opened')
    // Stopped, it takes no connection; the system keeps some hundred waiting, and refuses the rest.
    process.kill(holder.pid, 'SIGSTOP')
    const refusals = await Promise.all(
      Array.from({ length: 700 }, () =>
        open({ dir, tables }).then(
          () => 'opened',
          (error: unknown) => (error as { code: string }).code,
        ),
      ),
    )
    expect([...new Set(refusals)]).toEqual(['FolderInUse'])
  })

  test(`of ${RACERS} processes exactly one wins, over and over`, { timeout: 60_000 }, async () => {
    const dir = folder()
    const racers = Array.from({ length: RACERS }, victim)
    await Promise.all(racers.map((racer) => racer.said('ready', 40_000)))
    for (let left = racers; left.length > 0;) {
      for (const racer of left) racer.lines.length = 0
      for (const racer of left) racer.tell({ do: 'open', dir })
      const outcomes = await Promise.all(left.map((racer) => racer.nextLine()))
      const winners = left.filter((_, at) => outcomes[at] === 'opened')
      expect(winners.length, `winners of ${outcomes.join(' | ')}`).toBe(1)
      const [winner] = winners
      for (const outcome of outcomes) {
        if (outcome !== 'opened') expect(outcome).toMatch(/^refused FolderInUse /)
      }
      await winner?.kill()
      left = left.filter((racer) => racer !== winner)
    }
    const db = await open({ dir, tables })
    expect((await db.check()).problems).toEqual([])
    await db.close()
    expect(socketsIn(dir)).toEqual([])
    expect(readdirSync(dir).filter((name) => name.startsWith('holder.')).length).toBe(1)
  })
})

describe('a folder', () => {
  test('with spaces, quotes and letters of all kinds in its name', async () => {
    for (const name of ['a b', "it's “ô”", 'データ', '😀 %41#?', '-rf', 'a\nb']) {
      const dir = join(folder(), name)
      const db = await open({ dir, tables })
      await db.rows.put({ id: 'a', text: name })
      await db.close()
      const again = await open({ dir, tables, mustExist: true })
      expect((await again.rows.get('a'))?.text).toBe(name)
      await again.close()
      expect(socketsIn(dir)).toEqual([])
    }
  })

  test('deeper than the path of a socket may be long', async () => {
    let dir = folder()
    while (dir.length < 700) dir = join(dir, 'deep'.repeat(12))
    const db = await open({ dir, tables })
    await db.rows.put({ id: 'a', text: 'deep' })
    await expect(open({ dir, tables })).rejects.toMatchObject({ code: 'FolderInUse' })
    const holder = victim()
    await holder.said('ready')
    holder.lines.length = 0
    holder.tell({ do: 'open', dir })
    expect(await holder.nextLine()).toMatch(/^refused FolderInUse/)
    await db.close()
    expect(socketsIn(dir)).toEqual([])
    holder.lines.length = 0
    holder.tell({ do: 'open', dir })
    await holder.said('opened')
    await holder.kill()
    const again = await open({ dir, tables })
    expect(await again.rows.count()).toBe(1)
    await again.close()
    expect(socketsIn(dir)).toEqual([])
  })

  test('whose socket only its user may use', async () => {
    const dir = folder()
    const db = await open({ dir, tables })
    const [socket = ''] = socketsIn(dir)
    expect(statSync(join(dir, socket)).mode & 0o777).toBe(0o600)
    await db.close()
  })

  test('that is a file, is under one, has too long a name, or is not there', async () => {
    const file = join(folder(), 'file')
    writeFileSync(file, 'no folder')
    for (const dir of [file, join(file, 'below'), join(root, 'n'.repeat(300))]) {
      await expect(open({ dir, tables }), `in ${dir}`).rejects.toMatchObject({
        code: 'FolderNotFound',
      })
    }
    const missing = join(root, 'missing')
    await expect(open({ dir: missing, tables, mustExist: true })).rejects.toMatchObject({
      code: 'FolderNotFound',
    })
    expect(readdirSync(root)).not.toContain('missing')
  })

  test('with files of others in it keeps them', async () => {
    const dir = folder()
    writeFileSync(join(dir, 'notes.txt'), 'mine')
    mkdirSync(join(dir, 'holder.x.json'))
    writeFileSync(join(dir, 'holder.3.json'), 'not json')
    const db = await open({ dir, tables })
    await db.close()
    expect(readdirSync(dir)).toEqual(expect.arrayContaining(['notes.txt', 'holder.x.json']))
  })

  test('that this user may not write to is FolderReadOnly', async (context) => {
    if (process.getuid?.() !== 0) context.skip('only root can become another user')
    const dir = folder()
    await (await open({ dir, tables })).close()
    chmodSync(root, 0o755)
    chmodSync(dir, 0o555)
    const other = new Victim(WORKER, [], { uid: 65_534 })
    victims.push(other)
    await other.said('ready')
    for (const at of [dir, join(dir, 'new')]) {
      other.lines.length = 0
      other.tell({ do: 'open', dir: at })
      expect(await other.nextLine()).toMatch(/^refused FolderReadOnly/)
    }
  })
})

describe('a folder whose data is being replaced', () => {
  /** As a crash leaves it: what is whole waits beside, and of what was there the journal or all is gone. */
  async function interrupted(isGone: boolean): Promise<string> {
    const [dir, other] = [folder(), folder()]
    for (const [at, text] of [
      [dir, 'old'],
      [other, 'new'],
    ] as const) {
      const db = await open({ dir: at, tables })
      await db.rows.put({ id: 'a', text })
      const journal = readdirSync(at).filter((name) => name.startsWith('journal.'))
      for (const name of journal) cpSync(join(at, name), join(at, `kept-${name}`))
      await db.close()
    }
    for (const name of readdirSync(dir).filter((each) => each.startsWith('kept-'))) {
      // The process ended before its journal was in its data.
      for (const number of ['000001', '000002', '000003'])
        cpSync(join(dir, name), join(dir, `journal.${number}`))
    }
    mkdirSync(join(dir, '.replacing'))
    renameSync(join(other, 'data.mdb'), join(dir, '.replacing', 'data.mdb'))
    if (isGone) rmSync(join(dir, 'data.mdb'))
    return dir
  }

  test.each([false, true])(
    'has the new one for whoever opens it, the old one gone: %s',
    async (isGone) => {
      const dir = await interrupted(isGone)
      const db = await open({ dir, tables, mustExist: true })
      expect(await db.rows.get('a')).toEqual({ id: 'a', text: 'new' })
      await db.close()
      const again = await interrupted(isGone)
      const positions = await withFolder(again, (store) => Promise.resolve(statePosition(store)))
      expect(positions).toBeGreaterThan(0)
      expect(readdirSync(again)).not.toContain('.replacing')
      const after = await open({ dir: again, tables })
      expect(await after.rows.get('a')).toEqual({ id: 'a', text: 'new' })
      await after.close()
    },
  )

  test('counts as a database: nothing is restored over it', async () => {
    const dir = await interrupted(true)
    const fill = (): Promise<void> => Promise.resolve()
    await expect(fillFolder(dir, fill)).rejects.toMatchObject({ code: 'AlreadyExists' })
    expect(readdirSync(dir)).toContain('.replacing')
  })
})
