// Parts give back their records, and nothing but what was written.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { PartWriter, readPart } from './part-codec.ts'

function memory(): {
  blobs: Map<string, Bytes>
  put: (name: string, bytes: Bytes) => Promise<void>
} {
  const blobs = new Map<string, Bytes>()
  return {
    blobs,
    put: (name, bytes) => {
      blobs.set(name, new Uint8Array(bytes))
      return Promise.resolve()
    },
  }
}

const reader = (blobs: Map<string, Bytes>) => (name: string) => {
  const bytes = blobs.get(name)
  if (bytes === undefined) return Promise.reject(new HoldfastError('BackupCorrupt', name))
  return Promise.resolve(bytes)
}

describe('parts', () => {
  test('give back every record in order, over as many parts as it takes', async () => {
    const record = fc.tuple(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 200 }))
    const records = fc.array(record, { maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(records, fc.integer({ min: 1, max: 20 }), async (given, every) => {
        const sink = memory()
        const writer = new PartWriter(sink, 'id')
        for (const [i, [first, second]] of given.entries()) {
          writer.add('rows', first, second)
          if (i % every === 0) await writer.flush()
        }
        const parts = await writer.finish()
        expect([...sink.blobs.keys()]).toEqual(parts.map(({ name }) => name))
        const found: [Bytes, Bytes][] = []
        for (const part of parts) {
          for (const { first, second } of await readPart(part, reader(sink.blobs))) {
            found.push([new Uint8Array(first), new Uint8Array(second)])
          }
        }
        expect(found).toEqual(given)
      }),
      { numRuns: 60 },
    )
  })

  test('fail by name when the sink does, not in silence', async () => {
    const full = new HoldfastError('StorageFull', 'no room')
    const writer = new PartWriter({ put: () => Promise.reject(full) }, 'id')
    writer.add('rows', Uint8Array.of(1), Uint8Array.of(2))
    await writer.flush()
    await expect(writer.finish()).rejects.toBe(full)
  })

  test('that lie about what is in them are refused before they take memory', async () => {
    const sink = memory()
    const writer = new PartWriter(sink, 'id')
    writer.add('rows', Uint8Array.of(1), new Uint8Array(100_000))
    const [part] = await writer.finish()
    if (part === undefined) throw new Error('a part was written')
    for (const lie of [{ rawBytes: 50 }, { rawBytes: 2 ** 40 }, { records: 2 }, { bytes: 1 }]) {
      await expect(readPart({ ...part, ...lie }, reader(sink.blobs))).rejects.toMatchObject({
        code: 'BackupCorrupt',
      })
    }
  })
})
