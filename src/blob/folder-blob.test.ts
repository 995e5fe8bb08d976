import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { equalBytes } from '../core/bytes.ts'
import { delay } from '../core/env.ts'
import { systemEnv } from '../core/system-env.ts'
import { blobContract, inParts, readAll, sample } from './blob.contract.ts'
import { openFolderBlob } from './folder-blob.ts'
import type { Blob } from './blob.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-blob-'))
afterAll(() => rmSync(root, { recursive: true }))
const newDir = (): string => mkdtempSync(join(root, 'b-'))
const open = (dir: string): Promise<Blob> => openFolderBlob({ dir, random: systemEnv.random })

blobContract('folder blob', async () => {
  const dir = newDir()
  return { blob: await open(dir), reopen: () => open(dir) }
})

describe('folder blob', () => {
  it('throws StoreCorrupt for every flip of a byte, wherever it is, before get ends', async () => {
    const dir = newDir()
    const blob = await open(dir)
    const bytes = sample(300_000)
    await blob.put('x', bytes)
    const path = join(dir, 'x.blob')
    const good = readFileSync(path)
    const places = [0, 1, 150_000, 262_143, 262_144, 299_999]
    for (let at = 300_000; at < good.length; at++) places.push(at)
    for (const at of places) {
      const bad = Buffer.from(good)
      bad[at] = (bad[at] ?? 0) ^ 0x10
      writeFileSync(path, bad)
      await expect(readAll(blob, 'x')).rejects.toMatchObject({ code: 'StoreCorrupt' })
    }
    writeFileSync(path, good)
    expect(equalBytes(await readAll(blob, 'x'), bytes)).toBe(true)
  })

  it('throws StoreCorrupt for a file that is cut, or has more than was put', async () => {
    const dir = newDir()
    const blob = await open(dir)
    await blob.put('x', sample(1_000))
    const path = join(dir, 'x.blob')
    copyFileSync(path, join(root, 'good'))
    for (const size of [0, 1, 31, 500, 1_000, 1_031, 1_033]) {
      copyFileSync(join(root, 'good'), path)
      truncateSync(path, size)
      await expect(readAll(blob, 'x')).rejects.toMatchObject({ code: 'StoreCorrupt' })
      await expect(blob.stat('x')).rejects.toMatchObject({ code: 'StoreCorrupt' })
    }
    const other = await open(newDir())
    await other.put('y', sample(0))
  })

  it('holds one file for each blob, and clears what puts left behind', async () => {
    const dir = newDir()
    const blob = await open(dir)
    await blob.put('a/b', sample(10))
    expect(readdirSync(dir)).toEqual(['a%b.blob'])
    writeFileSync(join(dir, '.tmp-0011'), 'left by a crash')
    expect((await blob.list('')).length).toBe(1)
    await open(dir)
    expect(readdirSync(dir)).toEqual(['a%b.blob'])
  })

  it('rejects with StorageFull on a full disk, and leaves the rest whole', async (context) => {
    const dir = newDir()
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir], {
      encoding: 'utf8',
    })
    if (mounted.status !== 0) {
      console.warn(`NOT TESTED: ${context.task.name}: ${mounted.stderr}`)
      context.skip('no tmpfs can be mounted here')
    }
    try {
      const blob = await open(dir)
      await blob.put('kept', sample(300_000))
      await expect(blob.put('large', inParts(sample(2_000_000), 50_000))).rejects.toMatchObject({
        code: 'StorageFull',
      })
      expect((await blob.list('')).map(({ name }) => name)).toEqual(['kept'])
      expect(readdirSync(dir)).toEqual(['kept.blob'])
      expect(equalBytes(await readAll(blob, 'kept'), sample(300_000))).toBe(true)
      await blob.put('small', sample(10_000))
      spawnSync('mount', ['-o', 'remount,ro', dir])
      await expect(blob.put('late', sample(1))).rejects.toMatchObject({ code: 'FolderReadOnly' })
    } finally {
      spawnSync('umount', ['-l', dir])
    }
  })

  it('shows nothing of puts that SIGKILL ended, and all of those that resolved', async () => {
    const dir = newDir()
    let interrupted = 0
    for (const killAfterMs of [5, 20, 60]) {
      const said = await killDuringPuts(dir, killAfterMs)
      interrupted += readdirSync(dir).filter((name) => name.startsWith('.tmp-')).length
      const blob = await open(dir)
      expect(readdirSync(dir).filter((name) => name.startsWith('.tmp-'))).toEqual([])
      const names = (await blob.list('')).map(({ name }) => name)
      for (const name of said) expect(names).toContain(name)
      for (const name of names) {
        expect(
          equalBytes(await readAll(blob, name), sample(400_000, Number(name.split('-')[1]))),
        ).toBe(true)
        await blob.delete(name)
      }
    }
    // The kills did fall into puts.
    expect(interrupted).toBeGreaterThan(0)
    expect(statSync(dir).isDirectory()).toBe(true)
  })
})

/** Runs puts in a child, kills it some time after the first, and gives the names that it acked. */
async function killDuringPuts(dir: string, killAfterMs: number): Promise<string[]> {
  const here = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href)
  const script = `
    const { openFolderBlob } = await import(${here('./folder-blob.ts')})
    const { systemEnv } = await import(${here('../core/system-env.ts')})
    const sample = ${sample.toString()}
    const inParts = ${inParts.toString()}
    const blob = await openFolderBlob({ dir: ${JSON.stringify(dir)}, random: systemEnv.random })
    for (let i = 0; ; i++) {
      await blob.put('n-' + i, inParts(sample(400_000, i), 1_000))
      process.stdout.write('n-' + i + '\\n')
    }`
  const loader = new URL('../../test/child/typescript.mjs', import.meta.url).href
  const child = spawn(process.execPath, ['--import', loader, '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (text: string) => (output += text))
  await once(child.stdout, 'data')
  await delay(systemEnv, killAfterMs)
  child.kill('SIGKILL')
  await once(child, 'close')
  return output.split('\n').slice(0, -1)
}
