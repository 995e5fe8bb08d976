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

for (const [how, segmentBytes] of [
  ['', undefined],
  [', folded all the time', 3_000],
] as const)
  storeContract(`lmdb store${how}`, async () => {
    const options = {
      dir: newDir(),
      env: systemEnv,
      ...(segmentBytes && { segmentBytes }),
    }
    return { store: openLmdbStore(options), reopen: async () => openLmdbStore(options) }
  })
