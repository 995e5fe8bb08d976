// A disk that is full, fails, lies or was damaged: named errors, nothing acked is lost, and the
// process lives.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { crc32 } from '../../src/core/hash.ts'
import { isHoldfastError, open, strong } from '../../src/index.ts'
import { STATE_KEY } from '../../src/shard/apply-loop.ts'
import { STORE_FORMAT } from '../../src/shard/log-state.ts'
import { systemEnv } from '../../src/core/system-env.ts'
import { openLmdbStore } from '../../src/store/lmdb-store.ts'
import { StoreBatch } from '../../src/store/store.ts'
import { Victim } from '../crash/victim.ts'
import { ChildVerifier } from '../durability/child-verifier.ts'
import { seeded } from '../durability/crash-fates.ts'
import { straceUnavailable } from '../durability/strace-record.ts'

interface Row {
  id: string
  text: string
  group?: number
}
const tables = { rows: strong<Row>({ key: 'id', indexes: { byGroup: 'group' } }) }
const ROWS = 400
const WORKER = join(import.meta.dirname, 'fault-worker.mjs')

let root = ''
let good = ''
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-disk-'))
  good = join(root, 'good')
  const db = await open({ dir: good, tables, shards: 4 })
  for (let round = 0; round < 4; round++) {
    const rows = Array.from({ length: ROWS }, (_, i) => ({
      id: `r${i}`,
      group: i % 7,
      text: `${round} ${'x'.repeat(i % 50 === 0 ? 9_000 : i % 90)}`,
    }))
    for (let at = 0; at < ROWS; at += 100) await db.rows.putMany(rows.slice(at, at + 100))
  }
  await db.close()
})
const mounted: string[] = []
afterEach(() => {
  for (const dir of mounted.splice(0)) spawnSync('umount', ['-l', dir])
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

function mount(...args: string[]): string | undefined {
  const { status, stderr, error } = spawnSync('mount', args, { encoding: 'utf8' })
  return status === 0 ? undefined : (error?.message ?? stderr)
}

/** A file system of its own for the test, which is skipped, loudly, where none may be mounted. */
function smallDisk(context: TestContext, size: string): string {
  const dir = mkdtempSync(join(root, 'disk-'))
  const fault = mount('-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', dir)
  if (fault !== undefined) {
    console.warn(`NOT TESTED: ${context.task.name}: ${fault}`)
    context.skip(`no tmpfs can be mounted here: ${fault}`)
  }
  mounted.push(dir)
  return dir
}

/** The sample's folder with its data file changed. */
function damaged(change: (path: string) => void): string {
  const dir = mkdtempSync(join(root, 'damaged-'))
  cpSync(join(good, 'data.mdb'), join(dir, 'data.mdb'))
  change(join(dir, 'data.mdb'))
  return dir
}

function codeOf(error: unknown): string {
  return isHoldfastError(error) ? `${error.code} ${error.applied}` : `uncoded ${String(error)}`
}

describe('a full disk', () => {
  test('fails callers by name, keeps what was acked, and works again with room', async (context) => {
    const dir = smallDisk(context, '4m')
    const db = await open({ dir, tables })
    const acked = new Map<string, string>()
    const codes = new Set<string>()
    const lane = async (name: string): Promise<void> => {
      for (let n = 0; n < 5_000; n++) {
        const row = { id: `${name}${n}`, text: `${n} ${'x'.repeat(700)}` }
        try {
          await db.transact(async (tx) => {
            await tx.rows.insert(row)
            await tx.rows.put({ id: `twin ${row.id}`, text: row.text })
          })
          acked.set(row.id, row.text)
        } catch (error) {
          codes.add(codeOf(error))
          return
        }
      }
    }
    await Promise.all(['a', 'b', 'c', 'd'].map(lane))
    expect([...codes].filter((each) => each !== 'Halted no')).toEqual(['StorageFull no'])
    expect(acked.size).toBeGreaterThan(50)
    const stopped = { code: 'Halted', applied: 'no', cause: { code: 'StorageFull' } }
    // Reads go on, writes are refused by name, and so they are once there is room again.
    expect(await db.rows.count()).toBe(2 * acked.size)
    await expect(db.rows.put({ id: 'z', text: '' })).rejects.toMatchObject(stopped)
    expect(mount('-o', 'remount,size=40m', dir)).toBeUndefined()
    await expect(db.rows.put({ id: 'z', text: '' })).rejects.toMatchObject(stopped)
    await db.close()
    const again = await open({ dir, tables })
    for (const [id, text] of acked) {
      expect((await again.rows.get(id))?.text).toBe(text)
      expect((await again.rows.get(`twin ${id}`))?.text).toBe(text)
    }
    expect(await again.rows.count()).toBe(2 * acked.size)
    expect((await again.check()).problems).toEqual([])
    await again.rows.put({ id: 'z', text: 'room' })
    await again.close()
  })

  test('with no room to open at all says so', async (context) => {
    const dir = smallDisk(context, '1m')
    const filled = spawnSync('dd', ['if=/dev/zero', `of=${join(dir, 'filler')}`, 'bs=4k'])
    expect(filled.status).not.toBe(0)
    await expect(open({ dir: join(dir, 'db'), tables })).rejects.toMatchObject({
      code: 'StorageFull',
    })
    rmSync(join(dir, 'filler'))
    const db = await open({ dir: join(dir, 'db'), tables })
    await db.close()
  })
})

test('a file system that is mounted read-only is FolderReadOnly', async (context) => {
  const dir = smallDisk(context, '8m')
  const db = await open({ dir, tables })
  await db.close()
  expect(mount('-o', 'remount,ro', dir)).toBeUndefined()
  await expect(open({ dir, tables })).rejects.toMatchObject({ code: 'FolderReadOnly' })
  await expect(open({ dir: join(dir, 'new') })).rejects.toMatchObject({ code: 'FolderReadOnly' })
})

const unavailable = straceUnavailable()
if (unavailable !== undefined)
  process.stderr.write(`\nSKIPPED: failing syncs were not tested: ${unavailable}\n\n`)

describe.skipIf(unavailable !== undefined)('a disk whose', { timeout: 60_000 }, () => {
  const faults = [
    ['sync fails', 'fdatasync:error=EIO'],
    ['writes fail', 'pwrite64,writev,pwritev:error=EIO'],
    ['writes are cut short by a full disk', 'pwrite64,writev,pwritev:error=ENOSPC'],
  ] as const
  for (const [what, inject] of faults) {
    // Of each thread that makes such calls, the n-th fails.
    for (const when of [2, 4, 7]) {
      test(`${what}, at call ${when}, is never acked`, async () => {
        const dir = mkdtempSync(join(root, 'failing-'))
        const calls = inject.slice(0, inject.indexOf(':'))
        const tracer = ['strace', '-f', '-qq', '-o', join(dir, 'trace'), '--seccomp-bpf']
        const victim = new Victim(WORKER, [
          ...[...tracer, '-e', `trace=${calls}`],
          ...['-e', `inject=${inject}:when=${when}`],
        ])
        await victim.said('ready')
        victim.lines.length = 0
        victim.tell({ do: 'open', dir })
        const opened = (await victim.nextLine()) === 'opened'
        if (opened) {
          victim.tell({ do: 'write', writes: 30 })
          await victim.said('done')
          victim.tell({ do: 'close' })
          await victim.said('closed')
        } else
          expect(victim.lines).toEqual([expect.stringMatching(/^refused Storage(Failed|Full)/)])
        await victim.kill()
        expect(readFileSync(join(dir, 'trace'), 'latin1')).toContain('(INJECTED)')
        const outcomes = victim.lines.filter((line) => /^(ack|fail) /.test(line))
        const first = outcomes.findIndex((line) => line.startsWith('fail'))
        if (opened)
          expect(first, `first failure of ${victim.lines.join(' | ')}`).toBeGreaterThan(-1)
        const failed = opened ? outcomes.slice(first) : []
        expect(failed.filter((line) => line.startsWith('ack'))).toEqual([])
        for (const line of failed)
          expect(line).toMatch(/^fail r\d+ (Storage(Failed|Full) |Halted no$)/)

        const db = await open({ dir, tables })
        const there = new Set((await db.rows.query().toArray()).map(({ id }) => id))
        for (const line of outcomes.slice(0, first)) {
          expect(there.has(line.split(' ')[1] ?? ''), `of ${line}`).toBe(true)
        }
        for (const line of failed) {
          if (line.endsWith(' no'))
            expect(there.has(line.split(' ')[1] ?? ''), `of ${line}`).toBe(false)
        }
        expect((await db.check()).problems).toEqual([])
        await db.rows.put({ id: 'later', text: '' })
        await db.close()
      })
    }
  }
})

describe('a data file', { timeout: 60_000 }, () => {
  let child: ChildVerifier
  beforeAll(() => {
    const worker = join(import.meta.dirname, 'open-worker.mjs')
    child = new ChildVerifier([process.execPath, worker], { retry: false })
  })
  afterAll(() => child.close())

  const intact = `opened ${ROWS} 0`
  async function opening(dir: string): Promise<string> {
    const [outcome = ''] = await child.verify(dir, [])
    rmSync(dir, { recursive: true, force: true })
    return outcome
  }

  test('that was cut, at any length, is named and kills nobody', async () => {
    expect(await opening(damaged(() => undefined))).toBe(intact)
    const { length } = readFileSync(join(good, 'data.mdb'))
    const random = seeded(11)
    const sizes = [1, 100, 4_095, 4_096, 4_097, 8_191, 8_192, 8_193, length - 1, length - 4_096]
    for (let i = 0; i < 40; i++) sizes.push(Math.floor(random() * length))
    for (let i = 0; i < 15; i++) sizes.push(4_096 * Math.floor(random() * (length / 4_096)))
    const outcomes: Record<string, number> = {}
    for (const size of sizes) {
      const outcome = await opening(damaged((path) => truncateSync(path, size)))
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      // The last pages may be free: then nothing is missing.
      expect(outcome, `at ${size} of ${length}`).toMatch(
        /^(StoreTruncated|StoreCorrupt|opened 400 0)$/,
      )
    }
    console.log(`cut: ${JSON.stringify(outcomes)}`)
    // It came up as a new, empty database once.
    expect(await opening(damaged((path) => truncateSync(path, 0)))).toBe('StoreTruncated')
  })

  test('with damaged meta pages is refused or whole, and kills nobody', async () => {
    const random = seeded(12)
    const outcomes: Record<string, number> = {}
    const bad: string[] = []
    for (let i = 0; i < 120; i++) {
      // In what LMDB keeps there: a header and the meta record, in each of the first two pages.
      const offset = Math.floor(random() * 2) * 4_096 + Math.floor(random() * 176)
      const bit = Math.floor(random() * 8)
      const dir = damaged((path) => {
        const bytes = readFileSync(path)
        bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit)
        writeFileSync(path, bytes)
      })
      const outcome = await opening(dir)
      outcomes[outcome.slice(0, 80)] = (outcomes[outcome.slice(0, 80)] ?? 0) + 1
      // Opened with something missing, it is `check` that must say so.
      if (!/^(Store(Truncated|Corrupt)|opened 400 0|opened \d+ [1-9]\d*)$/.test(outcome))
        bad.push(`bit ${bit} at ${offset}: ${outcome.slice(0, 120)}`)
    }
    console.log(`meta flips: ${JSON.stringify(outcomes)}`)
    expect(bad).toEqual([])
  })

  test('that is none is StoreCorrupt', async () => {
    const random = seeded(13)
    const noise = Uint8Array.from({ length: 50_000 }, () => Math.floor(random() * 256))
    const contents = [Buffer.from('no data file'), noise, Buffer.alloc(4_096), Buffer.alloc(65_536)]
    for (const content of contents) {
      expect(await opening(damaged((path) => writeFileSync(path, content)))).toBe('StoreCorrupt')
    }
  })

  // The apply loop met the damage while the entry was still being handed over, and stopped; the call
  // that had made the entry was told nothing, ever.
  test('that has a damaged row: an op that meets it is told so, and the node stops', async () => {
    const dir = join(root, 'damaged-row')
    const before = await open({ dir, tables })
    await before.rows.put({ id: 'a', text: 'unmistakable' })
    await before.close()
    const file = join(dir, 'data.mdb')
    const bytes = readFileSync(file, 'latin1').replaceAll('unmistakable', 'unmistakablE')
    writeFileSync(file, bytes, 'latin1')
    const db = await open({ dir, tables })
    await expect(db.rows.patch('a', { text: 'new' })).rejects.toMatchObject({
      code: 'StoreCorrupt',
      applied: 'no',
    })
    await expect(db.rows.put({ id: 'b', text: '' })).rejects.toMatchObject({ code: 'Halted' })
    await db.close()
  })

  test('of a newer format is refused in words, and left as it is', async () => {
    const dir = damaged(() => undefined)
    const store = openLmdbStore({ env: systemEnv, dir })
    const record = Buffer.from(store.get(STATE_KEY) ?? [])
    record[4] = STORE_FORMAT + 1
    record.writeUInt32LE(crc32(record, 4), 0)
    const batch = new StoreBatch()
    batch.put(STATE_KEY, record)
    await store.write(batch)
    await store.close()
    const before = readFileSync(join(dir, 'data.mdb'))
    for (let again = 0; again < 2; again++) {
      await expect(open({ dir, tables })).rejects.toMatchObject({
        code: 'NewerFormat',
        details: { format: STORE_FORMAT + 1 },
        message: expect.stringContaining('written by a newer Holdfast') as string,
      })
    }
    expect(readFileSync(join(dir, 'data.mdb')).equals(before)).toBe(true)
  })
})
