/** What every Blob owes its callers (blob.ts, obligations 1 to 7), as tests. */
import { describe, expect, it } from 'vitest'
import { concatBytes, equalBytes, hex, type Bytes } from '../core/bytes.ts'
import { digest } from '../core/hash.ts'
import { BLOB_NAME_CHARS, type Blob, type BlobInfo } from './blob.ts'

export interface BlobUnderTest {
  readonly blob: Blob
  /** Opens the same blobs again, where they outlive their opener. */
  readonly reopen?: () => Promise<Blob>
}

export type OpenBlob = () => Promise<BlobUnderTest>

export function blobContract(name: string, open: OpenBlob): void {
  describe(`${name}: put and get`, () => putAndGet(open))
  describe(`${name}: names`, () => names(open))
  describe(`${name}: a name twice`, () => twice(open))
  describe(`${name}: failing sources`, () => failing(open))
  describe(`${name}: delete and reopen`, () => deleting(open))
}

export function sample(length: number, salt = 0): Bytes {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) + salt) & 255
  return bytes
}

export async function* inParts(bytes: Bytes, partBytes: number): AsyncGenerator<Bytes, void> {
  for (let at = 0; at < bytes.length; at += partBytes) {
    await Promise.resolve()
    yield bytes.subarray(at, at + partBytes)
  }
}

export async function readAll(blob: Blob, name: string): Promise<Bytes> {
  const parts: Bytes[] = []
  for await (const part of blob.get(name)) parts.push(part)
  return concatBytes(...parts)
}

const lines = (infos: BlobInfo[]): string[] =>
  infos.map((info) => `${info.name} ${info.bytes} ${hex(info.digest)}`)

function putAndGet(open: OpenBlob): void {
  it('gives back what was put, of every size, whole or in parts', async () => {
    const { blob } = await open()
    for (const size of [0, 1, 31, 32, 65_536, 65_537, 262_144, 3_000_000]) {
      const bytes = sample(size, size)
      const expected = { name: `s/${size}`, bytes: size, digest: digest(bytes) }
      expect(lines([await blob.put(`s/${size}`, bytes)])).toEqual(lines([expected]))
      const parts = await blob.put(`p/${size}`, inParts(bytes, 100_003))
      expect(hex(parts.digest)).toBe(hex(expected.digest))
      expect(equalBytes(await readAll(blob, `s/${size}`), bytes)).toBe(true)
      expect(equalBytes(await readAll(blob, `p/${size}`), bytes)).toBe(true)
      const stat = await blob.stat(`s/${size}`)
      expect(lines(stat === undefined ? [] : [stat])).toEqual(lines([expected]))
    }
  })

  it('takes parts from memory that the source uses again', async () => {
    const { blob } = await open()
    const scratch = Buffer.alloc(1_000)
    async function* source(): AsyncGenerator<Bytes, void> {
      for (let i = 0; i < 50; i++) {
        await Promise.resolve()
        yield scratch.fill(i).subarray(0, 100 + i)
      }
      scratch.fill(255)
    }
    await blob.put('reused', source())
    const expected = concatBytes(
      ...Array.from({ length: 50 }, (_, i) => new Uint8Array(100 + i).fill(i)),
    )
    expect(equalBytes(await readAll(blob, 'reused'), expected)).toBe(true)
  })

  it("hands out parts that are the receiver's", async () => {
    const { blob } = await open()
    const bytes = sample(500_000)
    await blob.put('mine', bytes)
    for await (const part of blob.get('mine')) part.fill(0)
    expect(equalBytes(await readAll(blob, 'mine'), bytes)).toBe(true)
  })

  it('lets readers stop early, and read at once', async () => {
    const { blob } = await open()
    const bytes = sample(1_000_000)
    await blob.put('many', bytes)
    for (let i = 0; i < 200; i++) {
      for await (const part of blob.get('many')) {
        expect(part.length).toBeGreaterThan(0)
        break
      }
    }
    const all = await Promise.all(Array.from({ length: 8 }, () => readAll(blob, 'many')))
    expect(all.every((read) => equalBytes(read, bytes))).toBe(true)
  })

  it('tells what is not there', async () => {
    const { blob } = await open()
    expect(await blob.stat('none')).toBeUndefined()
    await expect(readAll(blob, 'none')).rejects.toMatchObject({ code: 'NotFound' })
  })

  it('shows nothing of a put under way', async () => {
    const { blob } = await open()
    let seen: unknown[] = []
    async function* source(): AsyncGenerator<Bytes, void> {
      yield sample(100_000)
      seen = [await blob.stat('part/way'), (await blob.list('')).length]
      await expect(readAll(blob, 'part/way')).rejects.toMatchObject({ code: 'NotFound' })
      yield sample(100_000)
    }
    await blob.put('part/way', source())
    expect(seen).toEqual([undefined, 0])
    expect((await readAll(blob, 'part/way')).length).toBe(200_000)
  })
}

function names(open: OpenBlob): void {
  it('are listed by prefix, in order, a name and those below it apart', async () => {
    const { blob } = await open()
    const all = ['a', 'a-b', 'a/b', 'a/b/c', 'a.b', 'ab', 'b', '0', 'a_b', 'a/c.tar']
    for (const name of all) await blob.put(name, sample(10))
    const list = async (prefix: string): Promise<string[]> =>
      (await blob.list(prefix)).map(({ name }) => name)
    expect(await list('')).toEqual(all.toSorted())
    expect(await list('a/')).toEqual(['a/b', 'a/b/c', 'a/c.tar'])
    expect(await list('a/b')).toEqual(['a/b', 'a/b/c'])
    expect(await list('z')).toEqual([])
    expect(await blob.names('a/b')).toEqual(['a/b', 'a/b/c'])
    expect(await blob.names('')).toEqual(all.toSorted())
  })

  it('may be as long as the limit', async () => {
    const { blob } = await open()
    const name = 'x'.repeat(BLOB_NAME_CHARS)
    await blob.put(name, sample(3))
    expect((await blob.list('xx')).map((info) => info.name)).toEqual([name])
  })

  it('that are not safe are InvalidArgument, everywhere', async () => {
    const { blob } = await open()
    const bad = ['', '/', 'a/', '/a', 'a//b', '.', '..', 'a/../b', '.a', 'a/.b', 'A', 'a b', 'a\\b']
    for (const name of [...bad, 'é', 'a\0', 'a%b', 'a:b', 'x'.repeat(BLOB_NAME_CHARS + 1)]) {
      const invalid = { code: 'InvalidArgument' }
      await expect(blob.put(name, sample(1))).rejects.toMatchObject(invalid)
      await expect(readAll(blob, name)).rejects.toMatchObject(invalid)
      await expect((async () => blob.stat(name))()).rejects.toMatchObject(invalid)
      await expect((async () => blob.delete(name))()).rejects.toMatchObject(invalid)
    }
    expect(await blob.list('')).toEqual([])
  })
}

function twice(open: OpenBlob): void {
  it('is AlreadyExists for other bytes, and resolves for the same', async () => {
    const { blob } = await open()
    const bytes = sample(5_000)
    const first = await blob.put('twice', bytes)
    expect(lines([await blob.put('twice', inParts(bytes, 77))])).toEqual(lines([first]))
    for (const other of [sample(5_000, 1), sample(4_999), new Uint8Array(0)]) {
      await expect(blob.put('twice', other)).rejects.toMatchObject({ code: 'AlreadyExists' })
    }
    expect(equalBytes(await readAll(blob, 'twice'), bytes)).toBe(true)
  })

  it('at once: one wins, and is whole', async () => {
    const { blob } = await open()
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => blob.put('race', inParts(sample(50_000, i), 9_000))),
    )
    const won = outcomes.flatMap((outcome, i) => (outcome.status === 'fulfilled' ? [i] : []))
    expect(won.length).toBe(1)
    expect(equalBytes(await readAll(blob, 'race'), sample(50_000, won[0]))).toBe(true)
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') {
        expect(outcome.reason).toMatchObject({ code: 'AlreadyExists' })
      }
    }
  })
}

function failing(open: OpenBlob): void {
  it('fail the put with what they threw, and leave nothing', async () => {
    const { blob } = await open()
    const fault = new Error('of the source')
    async function* source(): AsyncGenerator<Bytes, void> {
      yield sample(100_000)
      await Promise.resolve()
      throw fault
    }
    await expect(blob.put('failed', source())).rejects.toBe(fault)
    expect(await blob.stat('failed')).toBeUndefined()
    expect(await blob.list('')).toEqual([])
    await blob.put('failed', sample(10))
    expect((await blob.stat('failed'))?.bytes).toBe(10)
  })
}

function deleting(open: OpenBlob): void {
  it('takes a blob away, and leaves its name free', async () => {
    const { blob } = await open()
    await blob.put('gone', sample(10))
    await blob.put('kept', sample(20))
    await blob.delete('gone')
    await blob.delete('gone')
    expect(await blob.stat('gone')).toBeUndefined()
    expect((await blob.list('')).map(({ name }) => name)).toEqual(['kept'])
    await blob.put('gone', sample(30))
    expect((await blob.stat('gone'))?.bytes).toBe(30)
  })

  it('during a get leaves it whole, or makes it throw', async () => {
    const { blob } = await open()
    const bytes = sample(2_000_000)
    await blob.put('read', bytes)
    const parts: Bytes[] = []
    let thrown = false
    try {
      for await (const part of blob.get('read')) {
        if (parts.length === 0) await blob.delete('read')
        parts.push(part)
      }
    } catch {
      thrown = true
    }
    expect(thrown || equalBytes(concatBytes(...parts), bytes)).toBe(true)
  })

  it('keeps all for the next opening, where blobs outlive it', async () => {
    const { blob, reopen } = await open()
    await blob.put('a/b', sample(1_000))
    await blob.put('c', sample(2_000))
    await blob.delete('c')
    if (reopen === undefined) return
    const again = await reopen()
    expect((await again.list('')).map(({ name }) => name)).toEqual(['a/b'])
    expect(equalBytes(await readAll(again, 'a/b'), sample(1_000))).toBe(true)
  })
}
