// Damage is found by name: a backup that is not what was written restores nothing, and damage in a
// database is not backed up in silence.
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, afterAll, describe, expect, test } from 'vitest'
import { systemEnv } from '../../src/core/system-env.ts'
import {
  backup,
  isHoldfastError,
  open,
  restore,
  strong,
  unique,
  verifyBackup,
} from '../../src/index.ts'
import { openFolderBlob } from '../../src/blob/folder-blob.ts'
import { encodeManifest, type Manifest } from '../../src/shard/backup/manifest.ts'
import { ROW_SPACE } from '../../src/shard/layout.ts'
import { StoreBatch } from '../../src/store/store.ts'
import { openLmdbStore } from '../../src/store/lmdb-store.ts'
import { entryKey } from '../../src/log/entry-store.ts'
import { cleanUp, freshFolder, inPieces, intoMemory } from './places.ts'

const tables = {
  rows: strong<{ id: number; text: string; group: number }>({
    key: 'id',
    indexes: { byGroup: 'group', byText: unique('text') },
  }),
}

let root = ''
/** A folder with a base and two increments, the database they are of, and the same as archives. */
let good = ''
let data = ''
let archive: Uint8Array = new Uint8Array(0)

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-damage-'))
  good = join(root, 'backups')
  data = join(root, 'data')
  const db = await open({ dir: data, tables, shards: 2 })
  for (let round = 0; round < 3; round++) {
    const rows = Array.from({ length: 40 }, (_, i) => ({
      id: i,
      text: `${round}.${i}`,
      group: i % 3,
    }))
    await db.rows.putMany(rows)
    await db.backup({ to: good })
  }
  const whole = intoMemory()
  await db.backup({ stream: whole.stream })
  archive = whole.bytes()
  await db.close()
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

function copyOfGood(): string {
  const dir = freshFolder()
  cpSync(good, dir, { recursive: true })
  return dir
}

/** Files with manifests and parts: beside them lies the claim of who made them. */
function blobsIn(dir: string): string[] {
  return readdirSync(dir).filter((name) => name.endsWith('.blob'))
}

/** What a restore ended in, and that it left nothing that opens. */
async function refusal(from: Parameters<typeof restore>[0]['from']): Promise<unknown> {
  const dir = join(freshFolder(), 'new')
  const cause: unknown = await restore({ from, dir }).then(
    () => 'restored',
    (error: unknown) => error,
  )
  expect(existsSync(join(dir, 'data.mdb'))).toBe(false)
  if (existsSync(dir)) {
    await expect(open({ dir })).rejects.toMatchObject({ code: 'RestoreUnfinished' })
  }
  return cause
}

describe('a damaged backup', () => {
  cleanUp()

  test('is refused by the name of the part, wherever a byte is flipped', async () => {
    const names = blobsIn(good)
    expect(names.length).toBe(6)
    for (const name of names) {
      const bytes = readFileSync(join(good, name))
      const step = Math.max(1, Math.floor(bytes.length / 12))
      for (let at = 0; at < bytes.length; at += step) {
        const dir = copyOfGood()
        const flipped = Buffer.from(bytes)
        flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
        rmSync(join(dir, name))
        writeFileSync(join(dir, name), flipped)
        const part = name.replace('.blob', '').replaceAll('%', '/')
        expect(await refusal(dir)).toMatchObject({ code: 'BackupCorrupt', details: { part } })
        await expect(verifyBackup({ from: dir })).rejects.toMatchObject({ details: { part } })
      }
    }
  }, 120_000)

  test('is refused when a part is cut short or missing', async () => {
    for (const name of blobsIn(good)) {
      const part = name.replace('.blob', '').replaceAll('%', '/')
      const { length } = readFileSync(join(good, name))
      for (const left of [0, 1, Math.floor(length / 2), length - 1]) {
        const dir = copyOfGood()
        truncateSync(join(dir, name), left)
        expect(await refusal(dir)).toMatchObject({ code: 'BackupCorrupt', details: { part } })
      }
      if (part.startsWith('manifests/')) continue
      const dir = copyOfGood()
      rmSync(join(dir, name))
      expect(await refusal(dir)).toMatchObject({ code: 'BackupCorrupt', details: { part } })
    }
  }, 60_000)

  test('is refused when a manifest or a part has the name of another', async () => {
    const [one = '', other = '', ...more] = blobsIn(good).toSorted()
    for (const [from, to] of [
      [one, other],
      [more.at(-2) ?? '', more.at(-1) ?? ''],
      [one, 'manifests%copy-of-it.blob'],
    ] as const) {
      const dir = copyOfGood()
      rmSync(join(dir, to), { force: true })
      copyFileSync(join(good, from), join(dir, to))
      const part = to.replace('.blob', '').replaceAll('%', '/')
      expect(await refusal(dir)).toMatchObject({ code: 'BackupCorrupt', details: { part } })
      await expect(verifyBackup({ from: dir })).rejects.toMatchObject({ details: { part } })
    }
  })

  test('is refused when an increment in between is missing', async () => {
    const dir = copyOfGood()
    const increments = readdirSync(dir).filter((name) => /^manifests.*increment/.test(name))
    rmSync(join(dir, increments.toSorted()[0] as string))
    expect(await refusal(dir)).toMatchObject({ code: 'NotFound' })
  })

  test('as an archive is refused wherever it is flipped or cut', async () => {
    const step = Math.max(1, Math.floor(archive.length / 60))
    for (let at = 0; at < archive.length; at += step) {
      const flipped = Buffer.from(archive)
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      const cause = await refusal(inPieces(flipped, 4096))
      // One byte of it is the format's number, which may stand for a later one.
      expect(
        isHoldfastError(
          cause,
          ...(at === 4 ? (['NewerFormat'] as const) : (['BackupCorrupt'] as const)),
        ),
      ).toBe(true)
      expect(await refusal(inPieces(archive.subarray(0, at), 4096))).toMatchObject({
        code: 'BackupCorrupt',
      })
    }
  }, 120_000)

  test('takes a new base all the same, and says why', async () => {
    const dir = copyOfGood()
    const name = readdirSync(dir).find((file) => file.startsWith('manifests')) as string
    truncateSync(join(dir, name), 10)
    expect(await backup({ dir: data, to: dir })).toMatchObject({ base: 'damaged' })
    rmSync(join(dir, name))
    await verifyBackup({ from: dir })
  })
})

describe('a manifest that lies', () => {
  cleanUp()

  const lies: Record<string, (manifest: Manifest) => Manifest> = {
    'about rows': (manifest) => ({
      ...manifest,
      tables: manifest.tables.map((table) => ({ ...table, rows: table.rows + 1 })),
    }),
    'about a digest': (manifest) => ({
      ...manifest,
      tables: manifest.tables.map((table) => ({ ...table, digest: '0123456789abcdef' })),
    }),
    'about its tables': (manifest) => ({ ...manifest, tables: manifest.tables.slice(1) }),
    'about its history': (manifest) => ({
      ...manifest,
      to: { ...manifest.to, decisionChain: '00'.repeat(16) },
    }),
    'about the position': (manifest) => ({
      ...manifest,
      to: { ...manifest.to, position: manifest.to.position + 1 },
    }),
    'about its parts': (manifest) => ({ ...manifest, parts: [] }),
    'about a part': (manifest) => ({
      ...manifest,
      parts: manifest.parts.map((part) => ({ ...part, records: part.records + 1 })),
    }),
  }

  for (const [what, lie] of Object.entries(lies)) {
    test(`${what} is found by verify, and restores nothing`, async () => {
      const dir = copyOfGood()
      const file = readdirSync(dir)
        .filter((name) => name.startsWith('manifests'))
        .toSorted()
        .at(-1) as string
      const path = join(dir, file)
      const text = readFileSync(path, 'utf8')
      const manifest = JSON.parse(text.split('\n')[1] as string) as Manifest
      rmSync(path)
      const blob = await openFolderBlob({ dir, random: systemEnv.random })
      await blob.put(`manifests/${manifest.id}`, encodeManifest(lie(manifest)))
      await expect(verifyBackup({ from: dir })).rejects.toMatchObject({ code: 'BackupCorrupt' })
      expect(await refusal(dir)).toMatchObject({ code: 'BackupCorrupt' })
    })
  }
})

describe('a damaged database', () => {
  cleanUp()

  /** A copy of the database, changed behind its back. */
  async function changed(
    change: (batch: StoreBatch, store: ReturnType<typeof openLmdbStore>) => void,
  ): Promise<string> {
    const dir = freshFolder()
    cpSync(join(data, 'data.mdb'), join(dir, 'data.mdb'))
    const store = openLmdbStore({ env: systemEnv, dir })
    const batch = new StoreBatch()
    change(batch, store)
    await store.write(batch)
    await store.close()
    return dir
  }

  const first = (
    store: ReturnType<typeof openLmdbStore>,
  ): { key: Uint8Array; value: Uint8Array } => {
    let found: { key: Uint8Array; value: Uint8Array } | undefined
    const range = { gte: Uint8Array.of(ROW_SPACE), lt: Uint8Array.of(ROW_SPACE + 1), limit: 1 }
    store.scan(range, (key, value) => {
      found = { key: new Uint8Array(key), value: new Uint8Array(value) }
    })
    if (found === undefined) throw new Error('there is no row')
    return found
  }

  test('is not backed up in silence: a row that was changed', async () => {
    const dir = await changed((batch, store) => {
      const { key, value } = first(store)
      value[value.length - 1] = (value.at(-1) as number) ^ 1
      batch.put(key, value)
    })
    await expect(backup({ dir, to: freshFolder() })).rejects.toMatchObject({ code: 'StoreCorrupt' })
  })

  test('is not backed up in silence: a row that went missing', async () => {
    const dir = await changed((batch, store) => batch.remove(first(store).key))
    await expect(backup({ dir, to: freshFolder() })).rejects.toMatchObject({ code: 'StoreCorrupt' })
  })

  test('is not backed up in silence: an entry that was changed', async () => {
    const to = copyOfGood()
    const names = readdirSync(to).filter((name) => name.includes('increment'))
    for (const name of names) rmSync(join(to, name))
    const dir = await changed((batch, store) => {
      const key = entryKey(5, 0)
      const value = new Uint8Array(store.get(key) ?? [])
      expect(value.length).toBeGreaterThan(30)
      value[30] = (value[30] as number) ^ 1
      batch.put(key, value)
    })
    await expect(backup({ dir, to })).rejects.toMatchObject({ code: 'EntryCorrupt' })
    expect(readdirSync(to).filter((name) => name.startsWith('manifests'))).toHaveLength(1)
  })
})
