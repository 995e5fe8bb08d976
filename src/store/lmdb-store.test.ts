import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { openLmdbStore } from './lmdb-store.ts'
import { storeContract } from './store.contract.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-store-'))
afterAll(() => rmSync(root, { recursive: true }))
const newDir = (): string => mkdtempSync(join(root, 'db-'))

storeContract('lmdb store', async () => {
  const dir = newDir()
  return { store: openLmdbStore({ dir }), reopen: async () => openLmdbStore({ dir }) }
})
