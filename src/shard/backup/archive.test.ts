// Archives give back what was put into them, however the stream is cut, or say that they cannot.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Bytes } from '../../core/bytes.ts'
import { ArchiveWriter, readArchives } from './archive.ts'

type Item = readonly [name: string, bytes: Bytes]

async function written(items: readonly Item[]): Promise<Bytes> {
  const pieces: Bytes[] = []
  const writer = new ArchiveWriter((bytes) => Promise.resolve(pieces.push(new Uint8Array(bytes))))
  for (const [name, bytes] of items) await writer.put(name, bytes)
  await writer.finish()
  return Buffer.concat(pieces)
}

async function* cut(bytes: Bytes, lengths: readonly number[]): AsyncGenerator<Bytes> {
  for (let [at, i] = [0, 0]; at < bytes.length; i++) {
    const length = lengths[i % lengths.length] ?? 1
    yield bytes.subarray(at, at + length)
    at += length
  }
}

async function read(source: AsyncIterable<Bytes>): Promise<Item[]> {
  const items: Item[] = []
  await readArchives(source, {
    put: (name, bytes) => Promise.resolve(items.push([name, new Uint8Array(bytes)])),
  })
  return items
}

const name = fc.stringMatching(/^[a-z0-9]{1,20}\/[0-9]{6}$/)
const items = fc.array(fc.tuple(name, fc.uint8Array({ maxLength: 300 })), { maxLength: 6 })

describe('an archive', () => {
  test('gives back every item, one archive after another, however it is cut', async () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(items, items, lengths, async (first, second, cuts) => {
        const both = Buffer.concat([await written(first), await written(second)])
        expect(await read(cut(both, [...cuts, 7]))).toEqual([...first, ...second])
      }),
    )
  })

  test('is refused when any byte is flipped or any of its end is missing', async () => {
    const bytes = await written([
      ['parts/a/000001', Buffer.from('some bytes')],
      ['manifests/a', Buffer.from('{}')],
    ])
    for (let at = 0; at < bytes.length; at++) {
      const flipped = new Uint8Array(bytes)
      flipped[at] = (flipped[at] as number) ^ 4
      await expect(read(cut(flipped, [16]))).rejects.toMatchObject({
        code: at === 4 ? 'NewerFormat' : 'BackupCorrupt',
      })
      await expect(read(cut(bytes.subarray(0, at), [16]))).rejects.toMatchObject({
        code: 'BackupCorrupt',
      })
    }
  })

  test('hands on what its source throws', async () => {
    const broken = new Error('the pipe broke')
    async function* source(): AsyncGenerator<Bytes> {
      yield (await written([])).subarray(0, 3)
      throw broken
    }
    await expect(read(source())).rejects.toBe(broken)
  })
})
