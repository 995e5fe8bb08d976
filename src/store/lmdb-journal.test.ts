// What the journal promises of a folder that was not closed: all that was acked, whole and in order,
// or an error by name. What a crash of the machine leaves is test/durability's.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { Victim } from '../../test/crash/victim.ts'
import { pairsOf, stateOf } from '../../test/durability/journal-rows.mjs'
import { scratchFolder } from '../../test/durability/strace-record.ts'
import { isHoldfastError } from '../core/errors.ts'
import { systemEnv } from '../core/system-env.ts'
import { dataFile } from './lmdb-file.ts'
import { encodeMark, encodeRecord, Segment, type Mark } from './lmdb-journal.ts'
import { openLmdbReader } from './lmdb-reader.ts'
import { openLmdbStore } from './lmdb-store.ts'
import { openLmdbTree } from './lmdb-tree.ts'
import { bytesOf } from './store-samples.contract.ts'
import { StoreBatch, type Store } from './store.ts'

const WORKER = join(import.meta.dirname, '../../test/durability/journal-worker.mjs')
const root = scratchFolder('journal')
const stores: Store[] = []
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})
afterAll(() => rmSync(root, { recursive: true }))

const newDir = (): string => mkdtempSync(join(root, 'db-'))
const segmentFile = (dir: string, segment: number): string =>
  join(dir, `journal.${String(segment).padStart(6, '0')}`)
const journalIn = (dir: string): string[] =>
  readdirSync(dir).filter((name) => name.startsWith('journal.'))

function batchNumber(n: number): StoreBatch {
  const batch = new StoreBatch()
  for (const { key, value } of pairsOf(n)) {
    if (value === undefined) batch.remove(key)
    else batch.put(key, value)
  }
  return batch
}

function openStore(dir: string, segmentBytes?: number): Store {
  const store = openLmdbStore({ env: systemEnv, dir, ...(segmentBytes && { segmentBytes }) })
  stores.push(store)
  return store
}

/** How many batches are there, closed again; or the code of the refusal, and the file it names. */
async function opening(dir: string): Promise<string> {
  let store: Store
  try {
    store = openLmdbStore({ env: systemEnv, dir })
  } catch (error) {
    return refusal(error)
  }
  const state = stateOf(store)
  await store.close()
  return state
}

function refusal(error: unknown): string {
  if (!isHoldfastError(error)) throw error
  const { path } = error.details as { path?: string }
  return `${error.code} ${path?.split('/').at(-1) ?? 'none'}`
}

/** A folder as a process leaves it that is killed: batches from `from` to `to`, acked. */
async function killedFolder(dir: string, from: number, to: number): Promise<string> {
  const image = newDir()
  const store = openStore(dir)
  for (let n = from; n <= to; n++) await store.write(batchNumber(n))
  cpSync(dir, image, { recursive: true })
  return image
}

const HEADER_BYTES = 34
/** Of a byte: its lowest bit, its highest, all. */
const FLIPS = [0x01, 0x80, 0xff]
const SEGMENTS = 3
/** Records of a segment, each one batch. */
const RECORDS = 3
const ALL = SEGMENTS * RECORDS

describe('a journal of several segments', () => {
  const good = join(root, 'good')
  /** Where the records of each segment end. */
  const ends: number[][] = []
  beforeAll(async () => {
    mkdirSync(good)
    const mark = await makeJournal(good, 7)
    expect(mark.segment).toBe(1)
    expect(journalIn(good)).toEqual(['journal.000001', 'journal.000002', 'journal.000003'])
    expect(await opening(copyOf())).toBe(`${ALL}`)
  })

  /** A data file without a batch, and a journal with all of them. */
  async function makeJournal(dir: string, salt: number): Promise<Mark> {
    const id = new Uint8Array(16).fill(salt)
    const mark = { id, segment: 1, number: 1, isClean: false, isLax: false }
    const tree = openLmdbTree({ dir })
    await tree.write(new StoreBatch(), encodeMark(mark))
    await tree.close()
    ends.length = 0
    for (let segment = 1; segment <= SEGMENTS; segment++) {
      const first = (segment - 1) * RECORDS + 1
      const file = await Segment.create(dir, { id, segment, number: first }, 'each')
      ends.push([])
      for (let n = first; n < first + RECORDS; n++) {
        await file.append(encodeRecord([batchNumber(n)]))
        ends.at(-1)?.push(file.bytes)
      }
      file.close()
    }
    return mark
  }

  function copyOf(): string {
    const dir = newDir()
    cpSync(good, dir, { recursive: true })
    return dir
  }

  it('with any one byte changed is StoreCorrupt, or lacks the last record if that was hit', async () => {
    const bad: string[] = []
    const outcomes = new Map<string, number>()
    for (let segment = 1; segment <= SEGMENTS; segment++) {
      const bytes = readFileSync(segmentFile(good, segment))
      const lastRecord = segment === SEGMENTS ? (ends[segment - 1]?.at(-2) ?? 0) : bytes.length
      for (let at = 0; at < bytes.length; at++) {
        const dir = copyOf()
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ (FLIPS[at % FLIPS.length] ?? 0)
        writeFileSync(segmentFile(dir, segment), changed)
        const outcome = await opening(dir)
        const expected = at >= lastRecord ? `${ALL - 1}` : `StoreCorrupt journal.00000${segment}`
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        // A record lost at the end of a segment is missed by the next one.
        if (outcome !== expected && outcome !== `StoreCorrupt journal.00000${segment + 1}`)
          bad.push(`byte ${at} of segment ${segment}: ${outcome}, not ${expected}`)
        rmSync(dir, { recursive: true })
      }
    }
    expect(bad).toEqual([])
    expect(outcomes.get(`${ALL - 1}`)).toBeGreaterThan(50)
  })

  it('that was cut within is refused by name; cut at its end it is what was before the cut', async () => {
    const bad: string[] = []
    for (let segment = 1; segment <= SEGMENTS; segment++) {
      const { length } = readFileSync(segmentFile(good, segment))
      for (let size = 0; size < length; size++) {
        const dir = copyOf()
        truncateSync(segmentFile(dir, segment), size)
        const outcome = await opening(dir)
        const kept = ends[segment - 1]?.filter((end) => end <= size).length ?? 0
        const isRight =
          segment === SEGMENTS
            ? outcome === `${ALL - RECORDS + kept}`
            : /^Store(Corrupt|Truncated) journal/.test(outcome)
        if (!isRight) bad.push(`segment ${segment} cut at ${size}: ${outcome}`)
        rmSync(dir, { recursive: true })
      }
    }
    expect(bad).toEqual([])
  })

  it('is StoreTruncated without its first segment, or one between', async () => {
    for (const missing of [1, 2]) {
      const dir = copyOf()
      rmSync(segmentFile(dir, missing))
      expect(await opening(dir)).toBe(`StoreTruncated journal.00000${missing}`)
      expect(readerRefusal(dir)).toBe(`StoreTruncated journal.00000${missing}`)
    }
  })

  it('is StoreTruncated, by its path, where the data file was copied alone', async () => {
    const dir = newDir()
    cpSync(dataFile(good), dataFile(dir))
    expect(await opening(dir)).toBe('StoreTruncated journal.000001')
    expect(readerRefusal(dir)).toBe('StoreTruncated journal.000001')
  })

  it('is StoreCorrupt with a segment of another database, or another one of its own, in a place', async () => {
    const other = newDir()
    await makeJournal(other, 8)
    for (let segment = 1; segment <= SEGMENTS; segment++) {
      const dir = copyOf()
      cpSync(segmentFile(other, segment), segmentFile(dir, segment))
      expect(await opening(dir)).toBe(`StoreCorrupt journal.00000${segment}`)
      const own = copyOf()
      cpSync(segmentFile(good, (segment % SEGMENTS) + 1), segmentFile(own, segment))
      expect(await opening(own)).toBe(`StoreCorrupt journal.00000${segment}`)
    }
  })

  it('goes on where a crash left a segment in the making, of which nothing is kept', async () => {
    const whole = readFileSync(segmentFile(good, 1)).subarray(0, HEADER_BYTES)
    const torn = Buffer.concat([whole.subarray(0, 10), Buffer.alloc(HEADER_BYTES - 10)])
    for (const leftover of [Buffer.alloc(0), Buffer.alloc(4_096), torn, whole.subarray(0, 20)]) {
      const dir = copyOf()
      writeFileSync(segmentFile(dir, 4), leftover)
      const store = openStore(dir)
      expect(existsSync(segmentFile(dir, 4))).toBe(false)
      await store.write(batchNumber(ALL + 1))
      expect(stateOf(store)).toBe(`${ALL + 1}`)
      await store.close()
      expect(journalIn(dir)).toEqual([])
      expect(await opening(dir)).toBe(`${ALL + 1}`)
    }
  })

  it('is opened again and again without a write, and is all there, to readers too', async () => {
    let dir = copyOf()
    for (let round = 0; round < 3; round++) {
      const image = newDir()
      expect(stateOf(openStore(dir))).toBe(`${ALL}`)
      cpSync(dir, image, { recursive: true })
      const reader = openLmdbReader(image)
      expect(stateOf(reader.snapshot())).toBe(`${ALL}`)
      await reader.close()
      dir = image
    }
    expect(journalIn(dir).length).toBe(SEGMENTS)
  })

  function readerRefusal(dir: string): string {
    const reader = openLmdbReader(dir)
    try {
      reader.snapshot()
      return 'none'
    } catch (error) {
      return refusal(error)
    } finally {
      void reader.close()
    }
  }
})

describe('a data file and a journal that are not of one folder', () => {
  /** Closed after batch 2; then killed after batch 4, and after batch 6. */
  async function history(): Promise<Record<'closed' | 'killed' | 'later', string>> {
    const dir = newDir()
    const first = openStore(dir)
    await first.write(batchNumber(1))
    await first.write(batchNumber(2))
    await first.close()
    const closed = newDir()
    cpSync(dir, closed, { recursive: true })
    expect(journalIn(closed)).toEqual([])
    const killed = await killedFolder(dir, 3, 4)
    await stores.pop()?.close()
    const later = await killedFolder(dir, 5, 6)
    return { closed, killed, later }
  }

  function together(data: string, journal: string): string {
    const dir = newDir()
    cpSync(dataFile(data), dataFile(dir))
    for (const name of journalIn(journal)) cpSync(join(journal, name), join(dir, name))
    return dir
  }

  it('are refused, whichever is the older, and left as they are', async () => {
    const { closed, killed, later } = await history()
    expect(await opening(together(killed, killed))).toBe('4')
    expect(await opening(together(later, later))).toBe('6')
    const corrupt = expect.stringMatching(/^StoreCorrupt journal/) as string
    const missing = expect.stringMatching(/^StoreTruncated journal/) as string
    for (const [data, journal, expected] of [
      // Closed, and older than writes that are nowhere else.
      [closed, killed, corrupt],
      [closed, later, corrupt],
      [killed, later, missing],
      [later, killed, missing],
    ] as const) {
      const dir = together(data, journal)
      const before = journalIn(dir)
      for (let again = 0; again < 2; again++) expect(await opening(dir)).toEqual(expected)
      expect(journalIn(dir)).toEqual(before)
    }
    const alone = newDir()
    for (const name of journalIn(killed)) cpSync(join(killed, name), join(alone, name))
    expect(await opening(alone)).toEqual(corrupt)
  })

  it('are one where the journal is in the data file already: it is removed', async () => {
    const dir = newDir()
    const killed = await killedFolder(dir, 1, 3)
    await stores.pop()?.close()
    // As if the machine had stopped before the removal reached the disk.
    const both = together(dir, killed)
    expect(journalIn(both)).toEqual(['journal.000001'])
    const store = openStore(both)
    expect(stateOf(store)).toBe('3')
    expect(journalIn(both)).toEqual([])
    await store.write(batchNumber(4))
    await store.close()
    expect(await opening(both)).toBe('4')
  })

  it('are one where nothing was written to the segment: it is removed', async () => {
    const dir = newDir()
    await openStore(dir).write(batchNumber(1))
    await stores.pop()?.close()
    const id = new Uint8Array(16).fill(9)
    const segment = await Segment.create(dir, { id, segment: 2, number: 2 }, 'each')
    segment.close()
    expect(await opening(dir)).toBe('1')
    expect(journalIn(dir)).toEqual([])
  })
})

describe('a store in the middle of things', () => {
  it('killed while it wrote a value with its own journal in it is not taken for damaged', async () => {
    const dir = newDir()
    const store = openStore(dir)
    await store.write(batchNumber(1))
    await store.write(batchNumber(2))
    const batch = new StoreBatch()
    batch.put(bytesOf('journal'), readFileSync(segmentFile(dir, 1)))
    await store.write(batch)
    const image = newDir()
    cpSync(dir, image, { recursive: true })
    truncateSync(segmentFile(image, 1), statSync(segmentFile(image, 1)).size - 1)
    expect(await opening(image)).toBe('2')
  })

  it('closes whatever it was doing, and leaves the data file alone', async () => {
    for (let turns = 0; turns < 60; turns++) {
      const dir = newDir()
      const store = openStore(dir, 200)
      const writes: Promise<void>[] = []
      for (let n = 1; n <= 12; n++) {
        writes.push(store.write(batchNumber(n)))
        if (n % 3 === 0) for (let i = 0; i < turns % 20; i++) await Promise.resolve()
        if (n % 4 === 0 && turns >= 20) await writes.at(-1 - (turns % 3))
      }
      await Promise.all([...writes, store.close()])
      expect(readdirSync(dir).toSorted()).toEqual(['data.mdb', 'data.mdb-lock'])
      expect(await opening(dir)).toBe('12')
    }
  })

  it('gives snapshots that do not move while what they saw is folded', async () => {
    const store = openStore(newDir(), 300)
    const held = [{ n: 0, snapshot: store.snapshot() }]
    for (let n = 1; n <= 60; n++) {
      const written = store.write(batchNumber(n))
      // Between any two steps of folding.
      for (let i = 0; i < n % 5; i++) await new Promise((resolve) => setImmediate(resolve))
      const before = store.snapshot()
      expect([`${n - 1}`, `${n}`]).toContain(stateOf(before))
      before.close()
      await written
      held.push({ n, snapshot: store.snapshot() })
      if (held.length > 8) held.splice(n % 8, 1)[0]?.snapshot.close()
      for (const { n: at, snapshot } of held) expect(stateOf(snapshot)).toBe(`${at}`)
      expect(stateOf(store)).toBe(`${n}`)
    }
  })
})

describe('a disk that gets full', () => {
  const disk = newDir()
  let isMounted = false
  afterAll(() => {
    if (isMounted) spawnSync('umount', ['-l', disk])
  })

  /** A file system of its own, or the test is skipped, loudly. */
  function mountDisk(context: TestContext): void {
    const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk])
    isMounted = status === 0
    if (isMounted) return
    console.warn(`NOT TESTED: ${context.task.name}: ${String(stderr)}`)
    context.skip(`no tmpfs can be mounted here: ${String(stderr)}`)
  }

  /** Leaves room for so many blocks. */
  function fill(blocks: number): void {
    const { bavail, bsize } = statfsSync(disk)
    writeFileSync(join(disk, 'filler'), Buffer.alloc((bavail - blocks) * bsize))
  }

  it('wherever it does, keeps what was acked, and nothing that was said to have failed', async (context) => {
    mountDisk(context)
    const dir = join(disk, 'db')
    let blocks = 0
    // Few blocks stop the journal, more of them the folding: that takes its room in advance.
    for (let isEnough = false; !isEnough; blocks += blocks < 6 ? 1 : 16) {
      mkdirSync(dir)
      const writer = new Victim(WORKER)
      writer.tell({ do: 'open', dir, segmentBytes: 1_500 })
      writer.tell({ do: 'write', batches: 1 })
      await writer.said('done')
      fill(blocks)
      writer.tell({ do: 'write', batches: 150 })
      writer.tell({ do: 'close' })
      // lmdb-js damages its memory over a page that cannot be written: it must not come to that.
      await writer.said('ended')
      await writer.kill()
      const acked = writer.lines.filter((line) => line.startsWith('ack')).length
      const failed = writer.lines.filter((line) => line.startsWith('fail'))
      for (const line of failed) expect(line).toMatch(/^fail \d+ StorageFull no$/)
      isEnough = failed.length === 0 && writer.lines.includes('closed')
      rmSync(join(disk, 'filler'))
      const state = await opening(dir)
      expect(state, `with ${blocks} blocks`).toBe(`${acked}`)
      rmSync(dir, { recursive: true })
    }
    expect(blocks).toBeGreaterThan(20)
  })
})

describe('a journal that is synced in the background', () => {
  const openLax = (dir: string): Store => {
    const store = openLmdbStore({ env: systemEnv, dir, flushing: 'background' })
    stores.push(store)
    return store
  }

  it('ends where a lost machine tore it, however its folder is opened from then on', async () => {
    const dir = newDir()
    const store = openLax(dir)
    const ends: number[] = []
    for (let n = 1; n <= 5; n++) {
      await store.write(batchNumber(n))
      ends.push(readFileSync(segmentFile(dir, 1)).length)
    }
    const torn = newDir()
    cpSync(dir, torn, { recursive: true })
    // The fourth record did not reach the disk, and the fifth did.
    const bytes = readFileSync(segmentFile(torn, 1))
    bytes.fill(0, ends[2], ends[3])
    writeFileSync(segmentFile(torn, 1), bytes)
    for (const open of [openStore, openLax]) {
      const first = newDir()
      cpSync(torn, first, { recursive: true })
      const again = open(first)
      expect(stateOf(again)).toBe('3')
      // It ends once more, before what was torn is in the tree: in either way of opening.
      await again.write(batchNumber(4))
      const second = newDir()
      cpSync(first, second, { recursive: true })
      expect(await opening(second)).toBe('4')
    }
  })
})
