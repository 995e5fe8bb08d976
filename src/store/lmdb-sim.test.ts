// The simulated store against the one on LMDB (D3): the same answers to the same operations.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Bytes } from '../core/bytes.ts'
import { drawFrom, type Draw } from '../sim/draw.ts'
import { Kernel } from '../sim/kernel.ts'
import { SimDisk } from '../sim/sim-disk.ts'
import { systemEnv } from '../core/system-env.ts'
import { openLmdbStore } from './lmdb-store.ts'
import { bytesOf, collect, countOf, filled, show } from './store-samples.contract.ts'
import { StoreBatch, type RangeOptions, type Store } from './store.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-lmdb-sim-'))
afterAll(() => rmSync(root, { recursive: true }))

const OPERATIONS = 100_000
const KEYS = 2_000

/** Some are long, some share a prefix, some are a prefix of another. */
function drawnKey(draw: Draw): Bytes {
  const n = draw.int(0, KEYS - 1)
  const text = `k${n}`
  if (n % 50 === 0) return bytesOf(text.padEnd(200 + (n % 1_700), '\xff'))
  return n % 7 === 0 ? bytesOf(`${text}\x00`) : bytesOf(text)
}

function drawnBatch(draw: Draw): StoreBatch {
  const batch = new StoreBatch()
  for (let size = draw.int(0, 300); size > 0; size--) {
    const key = drawnKey(draw)
    if (draw.chance(0.35)) batch.remove(key)
    else
      batch.put(key, filled(draw.chance(0.02) ? draw.int(2_000, 40_000) : draw.int(0, 300), size))
  }
  return batch
}

function drawnRange(draw: Draw): RangeOptions {
  return {
    gte: draw.chance(0.3) ? undefined : drawnKey(draw),
    lt: draw.chance(0.3) ? undefined : drawnKey(draw),
    reverse: draw.chance(0.5),
    limit: draw.chance(0.25) ? undefined : draw.int(0, 40),
  }
}

/** Both stores, and what is done with both. */
class Pair {
  readonly #kernel: Kernel
  readonly #disk: SimDisk
  readonly #dir = mkdtempSync(join(root, 'db-'))
  #processes = 0
  #stores: readonly [Store, Store]

  constructor(kernel: Kernel, disk: SimDisk) {
    this.#kernel = kernel
    this.#disk = disk
    this.#stores = this.#opened()
  }

  #opened(): readonly [Store, Store] {
    const owner = this.#kernel.owner(`process-${this.#processes++}`)
    // Answers are compared here, not what a crash leaves: syncing would only take time.
    const lmdb = openLmdbStore({ env: systemEnv, dir: this.#dir, unsafeNoSync: true })
    return [lmdb, this.#disk.open(owner)]
  }

  get both(): readonly [Store, Store] {
    return this.#stores
  }

  async write(batches: readonly StoreBatch[]): Promise<void> {
    const [lmdb, simulated] = this.#stores
    await Promise.all(batches.map((batch) => lmdb.write(batch)))
    await this.#kernel.run(Promise.all(batches.map((batch) => simulated.write(batch))))
  }

  async reopen(): Promise<void> {
    await this.close()
    this.#stores = this.#opened()
  }

  async close(): Promise<void> {
    const [lmdb, simulated] = this.#stores
    await lmdb.close()
    await this.#kernel.run(simulated.close())
  }
}

describe('simulated store and lmdb store', () => {
  for (const profile of ['synced', 'overlapping'] as const) {
    it(`agree over ${OPERATIONS} operations, ${profile}, with snapshots held and the store opened again`, async () => {
      const kernel = new Kernel(20_261_122)
      const pair = new Pair(kernel, new SimDisk(kernel, 'disk', { profile }))
      const draw = drawFrom(20_261_122, profile)
      let held = pair.both.map((store) => store.snapshot())
      for (let operations = 0; operations < OPERATIONS;) {
        const batches = Array.from({ length: draw.int(1, 4) }, () => drawnBatch(draw))
        for (const batch of batches) operations += batch.size
        await pair.write(batches)
        for (let i = 0; i < 4; i++) {
          const key = drawnKey(draw)
          const range = drawnRange(draw)
          for (const readers of [pair.both, held]) {
            const [values, lines] = [
              readers.map((reader) => show(reader.get(key))),
              readers.map((reader) => collect(reader, range).join()),
            ]
            expect(values[1]).toBe(values[0])
            expect(lines[1]).toBe(lines[0])
          }
          operations += 4
        }
        const keys = pair.both.map((store) => countOf(store))
        expect(keys[1]).toBe(keys[0])
        if (!draw.chance(0.05)) continue
        for (const snapshot of held) snapshot.close()
        if (draw.chance(0.3)) await pair.reopen()
        held = pair.both.map((store) => store.snapshot())
      }
      const all = pair.both.map((store) => collect(store).join())
      expect(all[1]).toBe(all[0])
      await pair.close()
    })
  }
})
