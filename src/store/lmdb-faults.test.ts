// What the store on LMDB does when the disk is full, read-only or damaged: it names it, and lives.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { isHoldfastError } from '../core/errors.ts'
import { dataFile } from './lmdb-file.ts'
import { systemEnv } from '../core/system-env.ts'
import { openLmdbReader } from './lmdb-reader.ts'
import { openLmdbStore } from './lmdb-store.ts'
import { batchOf, bytesOf, collect, countOf, filled, show } from './store-samples.contract.ts'
import type { Store } from './store.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-faults-'))
const mounted: string[] = []
const stores: Store[] = []

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
  for (const dir of mounted.splice(0)) run('umount', '-l', dir)
})
afterAll(() => rmSync(root, { recursive: true }))

function run(command: string, ...args: string[]): string | undefined {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status === 0) return undefined
  return error?.message ?? `${command} ${args.join(' ')}: ${stderr}`
}

/** A file system of its own for the test, which is skipped, loudly, where none may be mounted. */
function smallDisk(context: TestContext, size: string): string {
  const dir = mkdtempSync(join(root, 'disk-'))
  const fault = run('mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', dir)
  if (fault !== undefined) {
    console.warn(`NOT TESTED: ${context.task.name}: ${fault}`)
    context.skip(`no tmpfs can be mounted here: ${fault}`)
  }
  mounted.push(dir)
  return dir
}

function remount(dir: string, options: string): void {
  expect(run('mount', '-o', `remount,${options}`, dir)).toBeUndefined()
}

function openStore(dir: string): Store {
  const store = openLmdbStore({ env: systemEnv, dir })
  stores.push(store)
  return store
}

const put = (store: Store, key: string, value: Uint8Array): Promise<void> =>
  store.write(batchOf([[bytesOf(key), value]]))

function codeOf(open: () => unknown): string {
  try {
    open()
  } catch (error) {
    if (isHoldfastError(error)) return error.code
    throw error
  }
  return 'none'
}

describe('a full disk', () => {
  for (const valueBytes of [600, 3_000, 100_000]) {
    it(`rejects writes of ${valueBytes} bytes, keeps all that was acked, and nothing else`, async (context) => {
      const dir = smallDisk(context, '3m')
      const store = openStore(dir)
      const acked: [Uint8Array, Uint8Array][] = []
      let fault: unknown
      for (let i = 0; fault === undefined && i < 10_000; i++) {
        const pairs = [0, 1].map((part): [Uint8Array, Uint8Array] => [
          bytesOf(`k${i}-${part}`),
          filled(valueBytes, i + part),
        ])
        await store.write(batchOf(pairs)).then(
          () => acked.push(...pairs),
          (error: unknown) => (fault = error),
        )
      }
      expect(fault).toMatchObject({ code: 'StorageFull', applied: 'no' })
      const lines = acked.map(
        ([key, value]) => `${Buffer.from(key).toString('hex')}=${show(value)}`,
      )
      lines.sort()
      expect(collect(store).toSorted()).toEqual(lines)
      expect(countOf(store)).toBe(acked.length)

      // There is room again, but what was lost is lost: no later write may survive an earlier one.
      remount(dir, 'size=30m')
      await expect(put(store, 'later', filled(1))).rejects.toMatchObject({ code: 'StorageFull' })
      await store.close()
      const again = openStore(dir)
      expect(collect(again).toSorted()).toEqual(lines)
      await put(again, 'later', filled(1_000_000))
      expect(countOf(again)).toBe(acked.length + 1)
    })
  }

  it('rejects every batch that was waiting behind the one that failed', async (context) => {
    const dir = smallDisk(context, '2m')
    const store = openStore(dir)
    await put(store, 'kept', filled(10))
    const outcomes: Promise<unknown>[] = []
    const settle = (write: Promise<void>): void => {
      outcomes.push(
        write.then(
          () => 'written',
          (error: unknown) => error,
        ),
      )
    }
    // Many operations: lmdb-js gives several promises for such a transaction, and all must be held.
    const rows = Array.from({ length: 5_000 }, (_, i): [Uint8Array, Uint8Array] => [
      bytesOf(`row-${i}`),
      filled(700, i),
    ])
    settle(store.write(batchOf(rows)))
    settle(put(store, 'beside', filled(1)))
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setImmediate(resolve))
      settle(put(store, `behind-${i}`, filled(1)))
    }
    for (const outcome of await Promise.all(outcomes)) {
      expect(outcome).toMatchObject({ code: 'StorageFull' })
    }
    await store.close()
    const again = openStore(dir)
    expect(countOf(again)).toBe(1)
    expect(show(again.get(bytesOf('kept')))).toBe(show(filled(10)))
  })

  it('lets snapshots be opened, many of them', async (context) => {
    const dir = smallDisk(context, '1m')
    const store = openStore(dir)
    await put(store, 'a', filled(10))
    expect(() => writeFileSync(join(dir, 'filler'), filled(2_000_000))).toThrow(/ENOSPC/)
    const snapshots = Array.from({ length: 100 }, () => store.snapshot())
    for (const snapshot of snapshots)
      expect(show(snapshot.get(bytesOf('a')))).toBe(show(filled(10)))
    for (const snapshot of snapshots) snapshot.close()
    // What is in the journal alone is safe, but the data file is not all there is: closing says so.
    await expect(stores.pop()?.close()).rejects.toMatchObject({ code: 'StorageFull' })
    rmSync(join(dir, 'filler'))
    expect(show(openStore(dir).get(bytesOf('a')))).toBe(show(filled(10)))
  })

  it('refuses to open a new store, and one whose lock file is gone, by name', async (context) => {
    const dir = smallDisk(context, '1m')
    const kept = join(dir, 'kept')
    mkdirSync(kept)
    mkdirSync(join(dir, 'new'))
    const store = openStore(kept)
    await put(store, 'a', filled(10))
    await store.close()
    rmSync(`${dataFile(kept)}-lock`)
    expect(() => writeFileSync(join(dir, 'filler'), filled(2_000_000))).toThrow(/ENOSPC/)
    for (const name of ['kept', 'new']) {
      expect(codeOf(() => openLmdbStore({ env: systemEnv, dir: join(dir, name) }))).toBe(
        'StorageFull',
      )
    }
    rmSync(join(dir, 'filler'))
    expect(show(openStore(kept).get(bytesOf('a')))).toBe(show(filled(10)))
    await put(openStore(join(dir, 'new')), 'a', filled(10))
  })
})

describe('a folder that cannot be written', () => {
  it('is FolderReadOnly on a file system mounted read-only, with a store in it or not', async (context) => {
    const dir = smallDisk(context, '2m')
    mkdirSync(join(dir, 'empty'))
    const store = openStore(dir)
    await put(store, 'a', filled(10))
    await store.close()
    remount(dir, 'ro')
    expect(codeOf(() => openLmdbStore({ env: systemEnv, dir }))).toBe('FolderReadOnly')
    expect(codeOf(() => openLmdbStore({ env: systemEnv, dir: join(dir, 'empty') }))).toBe(
      'FolderReadOnly',
    )
    const reader = openLmdbReader(dir)
    expect(show(reader.snapshot().get(bytesOf('a')))).toBe(show(filled(10)))
    await reader.close()
  })

  it('is FolderReadOnly to a user without the right', async (context) => {
    if (process.getuid?.() !== 0) context.skip('only root can become another user')
    const dir = mkdtempSync(join(root, 'mine-'))
    chmodSync(root, 0o755)
    await openStore(dir).close()
    chownSync(dir, 0, 0)
    chmodSync(dir, 0o555)
    for (const name of readdirSync(dir)) chmodSync(join(dir, name), 0o444)
    expect(inChild(dir, 'process.setuid(65534)')).toMatchObject({
      status: 0,
      said: 'FolderReadOnly',
    })
    for (const name of readdirSync(dir)) chmodSync(join(dir, name), 0o400)
    expect(inChild(dir, 'process.setuid(65534)')).toMatchObject({
      status: 0,
      said: 'FolderReadOnly',
    })
    chmodSync(dir, 0o755)
  })
})

/** Opens `dir` and reads all of it in a child process, which tells the code of what went wrong. */
function inChild(
  dir: string,
  before = '',
): { status: number | null; signal: string | null; said: string } {
  const here = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href)
  const script = `
    import { readFileSync } from 'node:fs'
    const { openLmdbStore } = await import(${here('./lmdb-store.ts')})
    const { systemEnv } = await import(${here('../core/system-env.ts')})
    ${before}
    try {
      const store = openLmdbStore({ env: systemEnv, dir: ${JSON.stringify(dir)} })
      let bytes = 0
      store.scan({}, (key, value) => { for (const byte of value) bytes += byte })
      await store.close()
      process.stdout.write('opened')
    } catch (error) {
      process.stdout.write(error.code ?? String(error.stack))
    }`
  const loader = new URL('../../test/child/typescript.mjs', import.meta.url).href
  const { status, signal, stdout } = spawnSync(
    process.execPath,
    ['--import', loader, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  )
  return { status, signal, said: stdout }
}

describe('a damaged data file', () => {
  const good = join(root, 'good')
  beforeAll(async () => {
    mkdirSync(good)
    const store = openLmdbStore({ env: systemEnv, dir: good })
    for (let round = 0; round < 10; round++) {
      const pairs = Array.from({ length: 50 }, (_, i): [Uint8Array, Uint8Array] => [
        bytesOf(`k${round}-${i}`),
        filled(i % 10 === 0 ? 20_000 : 100, i),
      ])
      await store.write(batchOf(pairs))
    }
    await store.close()
  })

  /** A copy with its bytes changed. */
  function damaged(change: (bytes: Buffer) => Buffer): string {
    const dir = mkdtempSync(join(root, 'damaged-'))
    writeFileSync(dataFile(dir), change(readFileSync(dataFile(good))))
    return dir
  }

  it('that lacks its end is StoreTruncated, wherever it was cut, and the process lives', () => {
    const { length } = readFileSync(dataFile(good))
    for (const size of [length - 1, length - 4_096, length / 2, 3 * 4_096, 2 * 4_096]) {
      const dir = mkdtempSync(join(root, 'cut-'))
      copyFileSync(dataFile(good), dataFile(dir))
      truncateSync(dataFile(dir), Math.floor(size))
      expect(codeOf(() => openLmdbStore({ env: systemEnv, dir }))).toBe('StoreTruncated')
    }
    expect(inChild(damaged((bytes) => bytes.subarray(0, length / 2)))).toEqual({
      status: 0,
      signal: null,
      said: 'StoreTruncated',
    })
  })

  it('that has no sound meta page is StoreCorrupt, and the process lives', () => {
    const changes: ((bytes: Buffer) => Buffer)[] = [
      (bytes) => bytes.fill(0, 0, 8_192),
      (bytes) => bytes.fill(0xa5, 0, 8_192),
      (bytes) => bytes.fill(0),
      () => Buffer.from('this is no data file of anything'),
      () => Buffer.alloc(1),
      () => Buffer.from(filled(100_000)),
    ]
    for (const change of changes) {
      expect(codeOf(() => openLmdbStore({ env: systemEnv, dir: damaged(change) }))).toBe(
        'StoreCorrupt',
      )
    }
    // LMDB wants both meta pages; one of them alone is damage too.
    for (const at of [0, 4_096]) {
      expect(inChild(damaged((bytes) => bytes.fill(0, at, at + 4_096)))).toEqual({
        status: 0,
        signal: null,
        said: 'StoreCorrupt',
      })
    }
  })

  // It was taken for a new store once: a database that was cut to nothing came up empty.
  it('that is empty was cut; an intact one opens', () => {
    expect(
      codeOf(() => openLmdbStore({ env: systemEnv, dir: damaged(() => Buffer.alloc(0)) })),
    ).toBe('StoreTruncated')
    expect(inChild(good)).toEqual({ status: 0, signal: null, said: 'opened' })
  })
})
