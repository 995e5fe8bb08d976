// `check` finds damage, and survives it: the file is read by a child.

import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { open, strong } from '../../src/index.ts'
import { buildHoldfast, holdfast, Workplace } from './run-holdfast.ts'

const place = new Workplace()
const marker = 'a marker that is nowhere else'

beforeAll(async () => {
  buildHoldfast()
  const tables = { notes: strong<{ id: number; text: string }>({ key: 'id' }) }
  await using db = await open({ dir: place.data, tables })
  const rows = Array.from({ length: 3_000 }, (_, id) => ({ id, text: `${marker} ${id}` }))
  await db.notes.putMany(rows)
})
afterAll(() => place[Symbol.dispose]())

function damaged(name: string, damage: (file: string) => void): string {
  const dir = place.path(name)
  mkdirSync(dir)
  const file = join(dir, 'data.mdb')
  copyFileSync(join(place.data, 'data.mdb'), file)
  damage(file)
  return dir
}

it('finds a flipped bit in a row', async () => {
  const dir = damaged('flipped', (file) => {
    const bytes = readFileSync(file)
    const found: number[] = []
    for (
      let at = bytes.indexOf(`${marker} 77`);
      at >= 0;
      at = bytes.indexOf(`${marker} 77`, at + 1)
    )
      found.push(at)
    expect(found.length).toBeGreaterThan(0)
    for (const at of found) bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
    writeFileSync(file, bytes)
  })
  const json = await holdfast(['check', '--json', '--dir', dir])
  expect(json.code).toBe(2)
  const report = JSON.parse(json.stdout) as { ok: boolean; problems: unknown[] }
  expect(report.ok).toBe(false)
  expect(report.problems).toContainEqual({
    where: expect.stringMatching(/^row /) as unknown,
    what: 'does not have the checksum it was written with',
  })
  const text = await holdfast(['check', '--dir', dir])
  expect(text.code).toBe(2)
  expect(text.stdout).toMatch(/^critical/)
  expect(text.stderr).toContain('try: restore')
})

it('names a truncated file', async () => {
  const dir = damaged('truncated', (file) => truncateSync(file, 65_536))
  const { code, stderr, stdout } = await holdfast(['check', '--json', '--dir', dir])
  expect(code).toBe(2)
  expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'StoreTruncated' } })
  expect(JSON.parse(stdout)).toMatchObject({ ok: false, problemCount: 1 })
})

it('outlives a file whose structure is damaged', async () => {
  const dir = damaged('broken', (file) => {
    const bytes = readFileSync(file)
    // Every page but the first two, which say where the trees are.
    for (let page = 2 * 4096; page < bytes.length; page += 4096) bytes.fill(0xa5, page, page + 64)
    writeFileSync(file, bytes)
  })
  const { code, stderr, stdout, signal } = await holdfast(['check', '--json', '--dir', dir])
  expect([code, signal]).toEqual([2, null])
  expect(JSON.parse(stdout)).toMatchObject({ ok: false })
  expect(stderr).not.toContain('    at ')
})
