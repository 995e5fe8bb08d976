import { expect, it } from 'vitest'
import { systemEnv } from '../core/system-env.ts'
import { openMemoryStore } from '../store/memory-store.ts'
import { StoreBatch, type Store } from '../store/store.ts'
import { edgeEntry, putEntry, readEntry, trimEntries } from './entry-store.ts'
import { openLocalLog } from './local-log.ts'
import { logContract, type OpenedLog } from './log.contract.ts'

/** A local log with a small apply loop, which stores what it is given, as `with-apply` asks. */
function opened(store: Store): OpenedLog {
  const log = openLocalLog(store)
  return {
    log,
    follow: (from, follower) =>
      log.follow(from, {
        entry: (position, frame) => {
          if (position > edgeEntry(store, 'newest')) {
            const batch = new StoreBatch()
            putEntry(batch, position, frame)
            void store.write(batch)
          }
          follower.entry(position, frame)
        },
        failed: (cause) => follower.failed(cause),
      }),
    remembers: false,
    followers: 'one',
    reopen: () => Promise.resolve(opened(store)),
  }
}

logContract('local log', () => ({
  env: systemEnv,
  open: () => Promise.resolve(opened(openMemoryStore(systemEnv))),
}))

it('tells its follower of an entry that is missing', async () => {
  const store = openMemoryStore(systemEnv)
  const batch = new StoreBatch()
  putEntry(batch, 1, Uint8Array.of(1))
  putEntry(batch, 3, Uint8Array.of(3))
  await store.write(batch)
  const got: unknown[] = []
  openLocalLog(store).follow(1, {
    entry: (position) => got.push(position),
    failed: (cause) => got.push((cause as { code: string }).code),
  })
  expect(got).toEqual([1, 'EntryCorrupt'])
})

it('goes on above what was trimmed', async () => {
  const store = openMemoryStore(systemEnv)
  const log = openLocalLog(store, 41)
  const got: number[] = []
  log.follow(42, { entry: (position) => got.push(position), failed: () => got.push(-1) })
  await log.append(Uint8Array.of(1), 'a')
  expect(got).toEqual([42])
})

it('trims whole ranges of entries, a bounded number of chunks at a time', async () => {
  const store = openMemoryStore(systemEnv)
  const batch = new StoreBatch()
  for (let position = 1; position <= 10; position++)
    putEntry(batch, position, new Uint8Array(5_000).fill(position))
  await store.write(batch)
  let rounds = 0
  for (let more = true; more; rounds++) {
    const trim = new StoreBatch()
    more = trimEntries(store, trim, 8, 4)
    expect(trim.size).toBeLessThanOrEqual(4)
    await store.write(trim)
  }
  expect(rounds).toBe(6)
  expect(edgeEntry(store, 'oldest')).toBe(8)
  expect(readEntry(store, 8)).toEqual(new Uint8Array(5_000).fill(8))
  expect(readEntry(store, 7)).toBeUndefined()
})

it('keeps an entry that is empty', async () => {
  const store = openMemoryStore(systemEnv)
  const batch = new StoreBatch()
  putEntry(batch, 1, new Uint8Array())
  await store.write(batch)
  expect(readEntry(store, 1)).toEqual(new Uint8Array())
})
