import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { systemEnv } from '../core/system-env.ts'
import { openLmdbStore } from './lmdb-store.ts'
import { storeContract } from './store.contract.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-store-'))
afterAll(() => rmSync(root, { recursive: true }))
const newDir = (): string => mkdtempSync(join(root, 'db-'))

for (const [how, segmentBytes, flushing] of [
  ['', undefined, 'each'],
  [', folded all the time', 3_000, 'each'],
  [', flushed in the background', 3_000, 'background'],
] as const)
  storeContract(`lmdb store${how}`, async () => {
    const options = {
      dir: newDir(),
      env: systemEnv,
      flushing,
      ...(segmentBytes && { segmentBytes }),
    }
    return { store: openLmdbStore(options), reopen: async () => openLmdbStore(options) }
  })
