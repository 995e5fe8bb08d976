// `check` finds every flipped bit that a reader of the store could see, and every key that went
// missing, came back, was swapped or added.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { copyBytes, hex } from '../../src/core/bytes.ts'
import { isHoldfastError } from '../../src/core/errors.ts'
import { checkStore } from '../../src/shard/check.ts'
import { systemEnv } from '../../src/core/system-env.ts'
import { openLmdbStore } from '../../src/store/lmdb-store.ts'
import { StoreBatch, type Store } from '../../src/store/store.ts'
import { ChildVerifier } from '../durability/child-verifier.ts'
import { seeded } from '../durability/crash-fates.ts'
import { makeSample, openSample } from './check-samples.ts'

const FLIPS = Number(process.env['HOLDFAST_FLIPS'] ?? 300)
const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1)

let root = ''
let good = ''
beforeAll(async () => {
  root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'holdfast-check-'))
  good = join(root, 'good')
  await makeSample(good)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

let copies = 0
/** A store of its own with the sample's data file, changed on the way. */
function copyOf(change?: (bytes: Buffer) => void): string {
  const dir = join(root, `copy-${++copies}`)
  mkdirSync(dir)
  if (change === undefined) {
    copyFileSync(join(good, 'data.mdb'), join(dir, 'data.mdb'))
    return dir
  }
  const bytes = readFileSync(join(good, 'data.mdb'))
  change(bytes)
  writeFileSync(join(dir, 'data.mdb'), bytes)
  return dir
}

test('a flipped bit that changes anything readable is found', { timeout: 90_000 }, async () => {
  const worker = join(import.meta.dirname, 'check-worker.mjs')
  const child = new ChildVerifier([process.execPath, worker], { retry: false })
  const [intact, sound, detail] = await child.verify(copyOf(), [])
  expect([sound, detail]).toEqual(['ok', ''])
  const { length } = readFileSync(join(good, 'data.mdb'))
  const random = seeded(SEED)
  const counts = { flips: 0, changed: 0, found: 0, deaths: 0, reportedOnly: 0 }
  const missed: string[] = []
  for (let flip = 0; flip < FLIPS; flip++) {
    // Not in the meta pages: those are LMDB's, and are looked at when the file is opened.
    const offset = 8_192 + Math.floor(random() * (length - 8_192))
    const bit = Math.floor(random() * 8)
    const dir = copyOf((bytes) => {
      bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit)
    })
    const [read = '', verdict] = await child.verify(dir, [])
    rmSync(dir, { recursive: true })
    counts.flips++
    const died = verdict === undefined
    if (died) counts.deaths++
    if (read === intact) {
      if (verdict === 'found') counts.reportedOnly++
      continue
    }
    counts.changed++
    if (died || verdict === 'found') counts.found++
    else missed.push(`bit ${bit} at ${offset}: page ${Math.floor(offset / 4096)}+${offset % 4096}`)
  }
  await child.close()
  console.log(`flips, seed ${SEED}: ${JSON.stringify(counts)}`)
  expect(missed).toEqual([])
  expect(counts.changed).toBeGreaterThan(FLIPS / 10)
})

type Pair = { readonly key: Uint8Array; readonly value: Uint8Array }

function pairsOf(store: Store, space: number): Pair[] {
  const pairs: Pair[] = []
  store.scan({ gte: Uint8Array.of(space), lt: Uint8Array.of(space + 1) }, (key, value) => {
    pairs.push({ key: copyBytes(key), value: copyBytes(value) })
  })
  return pairs
}

/** Whether `check` finds the sample with these writes on top. */
async function problemsAfter(change: (batch: StoreBatch, store: Store) => void): Promise<string[]> {
  const dir = copyOf()
  const store = openLmdbStore({ env: systemEnv, dir, unsafeNoSync: true })
  const batch = new StoreBatch()
  change(batch, store)
  expect(batch.size).toBeGreaterThan(0)
  await store.write(batch)
  try {
    const { ok, problems } = await checkStore(store)
    expect(ok).toBe(problems.length === 0)
    return problems.map(({ where, what }) => `${where} ${what}`)
  } catch (error) {
    if (isHoldfastError(error)) return [error.message]
    throw error
  } finally {
    await store.close()
    rmSync(dir, { recursive: true })
  }
}

const SPACES = { meta: 1, entries: 2, changes: 3, stats: 4, rows: 16, index: 17 }

describe('check finds', () => {
  for (const [name, space] of Object.entries(SPACES)) {
    test(`any missing key of ${name}`, async () => {
      const store = openLmdbStore({ env: systemEnv, dir: copyOf() })
      const pairs = pairsOf(store, space)
      await store.close()
      expect(pairs.length).toBeGreaterThan(1)
      const step = Math.max(1, Math.floor(pairs.length / 12))
      const picked = pairs.filter((_, at) => at % step === 0 || at === pairs.length - 1)
      for (const { key } of picked) {
        const problems = await problemsAfter((batch) => batch.remove(key))
        expect(problems, `${name} without ${hex(key)}`).not.toEqual([])
      }
    })

    test(`values swapped, cut, lengthened or emptied in ${name}`, async () => {
      const store = openLmdbStore({ env: systemEnv, dir: copyOf() })
      const pairs = pairsOf(store, space)
      await store.close()
      const step = Math.max(1, Math.floor(pairs.length / 6))
      for (let at = 0; at + 1 < pairs.length; at += step) {
        const [a, b] = [pairs[at], pairs[at + 1]]
        if (a === undefined || b === undefined) break
        const variants: [string, (batch: StoreBatch) => void][] = [
          ['longer', (batch) => batch.put(a.key, Buffer.concat([a.value, Uint8Array.of(0)]))],
        ]
        if (a.value.length > 0) {
          variants.push(
            ['empty', (batch) => batch.put(a.key, new Uint8Array(0))],
            ['shorter', (batch) => batch.put(a.key, a.value.subarray(0, -1))],
          )
        }
        if (hex(a.value) !== hex(b.value)) {
          variants.push(
            ['copied', (batch) => batch.put(b.key, a.value)],
            [
              'swapped',
              (batch) => {
                batch.put(a.key, b.value)
                batch.put(b.key, a.value)
              },
            ],
          )
        }
        for (const [what, change] of variants) {
          expect(await problemsAfter(change), `${name} ${hex(a.key)} ${what}`).not.toEqual([])
        }
      }
    })

    test(`a key that nobody wrote in ${name}`, async () => {
      const store = openLmdbStore({ env: systemEnv, dir: copyOf() })
      const pairs = pairsOf(store, space)
      await store.close()
      for (const pair of [pairs[0], pairs[Math.floor(pairs.length / 2)], pairs.at(-1)]) {
        if (pair === undefined) continue
        const longer = Buffer.concat([pair.key, Uint8Array.of(7)])
        const beside = Buffer.from(pair.key)
        beside[beside.length - 1] = (beside.at(-1) ?? 0) ^ 0x80
        for (const key of [longer, beside]) {
          const problems = await problemsAfter((batch) => batch.put(key, pair.value))
          expect(problems, `${name} with ${hex(key)}`).not.toEqual([])
        }
      }
    })
  }

  test('keys in no space', async () => {
    for (const key of [[9], [5, 1], [15], [18, 0, 0, 0, 1], [255, 255]]) {
      const problems = await problemsAfter((batch) =>
        batch.put(Uint8Array.from(key), Uint8Array.of(1)),
      )
      expect(problems, `key ${key.join()}`).not.toEqual([])
    }
  })

  test('an old version of a row put back, with its index entries too', async () => {
    const dir = copyOf()
    const older = openLmdbStore({ env: systemEnv, dir })
    const before = new Map(
      [...pairsOf(older, SPACES.rows), ...pairsOf(older, SPACES.index)].map(
        ({ key, value }) => [hex(key), { key, value }] as const,
      ),
    )
    await older.close()
    const db = await openSample(dir)
    await db.people.update(5, (row) => ({ ...row, score: 1_000 }))
    await db.people.update(6, (row) => ({ ...row, city: 'Rome' }))
    await db.people.delete(7)
    await db.close()
    for (const part of ['changed', 'both', 'everything'] as const) {
      const store = openLmdbStore({ env: systemEnv, dir })
      const batch = new StoreBatch()
      for (const space of [SPACES.rows, SPACES.index]) {
        const now = pairsOf(store, space)
        const kept = new Set(now.map(({ key }) => hex(key)))
        for (const { key, value } of now) {
          const old = before.get(hex(key))
          if (old === undefined) {
            if (part !== 'changed') batch.remove(key)
          } else if (hex(old.value) !== hex(value)) batch.put(key, old.value)
        }
        for (const [name, { key, value }] of before) {
          if (part === 'everything' && !kept.has(name) && key[0] === space) batch.put(key, value)
        }
      }
      expect(batch.size).toBeGreaterThan(0)
      await store.write(batch)
      const { problems } = await checkStore(store)
      expect(problems, `${part} put back`).not.toEqual([])
      await store.close()
    }
  })
})
