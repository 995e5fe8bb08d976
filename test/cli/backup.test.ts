// Backups from the shell, both while another process has the folder open and while none has.

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { buildHoldfast, holdfast, jsonLines, whileHeld, Workplace } from './run-holdfast.ts'
import { standing } from './standing.ts'

beforeAll(() => buildHoldfast(), 300_000)

async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await standing(args)
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
  return stdout
}

async function fill(place: Workplace, name: string, rows: number): Promise<void> {
  const lines = Array.from({ length: rows }, (_, id) =>
    JSON.stringify({ id, name: `${name} ${id}` }),
  )
  writeFileSync(place.path(`${name}.ndjson`), lines.join('\n'))
  const create = ['--create', '--key', 'id', '--index', 'byName=name']
  await ok('import', name, place.path(`${name}.ndjson`), ...create, '--dir', place.data)
}

describe.each([
  ['held by another process', true],
  ['held by none', false],
])('a folder %s', (_name, isHeld) => {
  it('is backed up, listed, proved, restored, and a table of it copied', async () => {
    using place = new Workplace()
    const [backups, other] = [place.path('backups'), place.path('other')]
    const dir = ['--dir', place.data]
    await fill(place, 'people', 50)
    await whileHeld(place.data, isHeld, async () => {
      const first = jsonLines(await ok('backup', 'create', '--to', backups, '--json', ...dir))[0]
      expect(first).toMatchObject({ base: 'first', backups: [{ kind: 'base' }] })
      await fill(place, 'pets', 7)
      const second = await standing(['backup', 'create', '--to', backups, ...dir])
      expect(second).toMatchObject({ code: 0, stdout: '' })
      expect(second.stderr).toMatch(/^backed up to position \d+: positions above \d+; .* in .*\n$/)
      const listed = jsonLines(await ok('backup', 'list', '--from', backups, '--json'))
      expect(listed.map(({ kind }) => kind)).toEqual(['base', 'increment'])
      expect(await ok('backup', 'list', '--from', backups)).toMatch(/base[^]*increment/)
      const verified = await ok('backup', 'verify', '--from', backups, '--scratch', place.folder)
      expect(verified).toMatch(/^ok .*\nread \d+ parts.*\nrestored 2 of 2 backups\ncompared/)
      expect(readdirSync(place.folder).filter((name) => name.includes('scratch'))).toEqual([])

      await ok('restore', '--from', backups, '--dir', other)
      expect(await ok('query', 'pets', '--count', '--json', '--dir', other)).toContain('7')
      const early = place.path('early')
      const at = String(first?.['position'])
      await ok('restore', '--from', backups, '--at', at, '--dir', early)
      expect((await standing(['get', 'pets', '1', '--dir', early])).code).toBe(1)
      // A moment before the end of a backup that is named, and one behind it.
      const named = ['restore', '--from', backups, '--backup', String(listed[0]?.['id'])]
      await ok(...named, '--at', at, '--dir', place.path('named'))
      const behind = [...named, '--at', String(Number(at) + 1), '--dir', place.path('behind')]
      expect((await standing(behind)).code).toBe(4)

      const copy = ['--table', 'people', '--as', 'people2']
      const copied = await ok('restore', '--from', backups, ...copy, '--json', ...dir)
      expect(JSON.parse(copied)).toMatchObject({ as: 'people2', rows: 50 })
      const row = await ok(
        'query',
        'people2',
        '--index',
        'byName',
        '--eq',
        'people 3',
        '--json',
        ...dir,
      )
      expect(jsonLines(row)).toEqual([{ id: 3, name: 'people 3' }])
      expect(await ok('check', ...dir)).toContain('ok')
    })
  })
})

it('a backup goes through a pipe, and back', async () => {
  using place = new Workplace()
  await fill(place, 'people', 50)
  const main = join(import.meta.dirname, '..', '..', 'dist', 'command', 'main.js')
  const archive = execFileSync(process.execPath, [
    ...[main, 'backup', 'create', '--to', '-', '--dir', place.data],
  ])
  const run = (...args: string[]): Buffer =>
    execFileSync(process.execPath, [main, ...args], {
      input: archive,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
  expect(run('backup', 'verify', '--from', '-').toString()).toMatch(/^ok/)
  run('restore', '--from', '-', '--dir', place.path('other'))
  expect(await ok('get', 'people', '49', '--json', '--dir', place.path('other'))).toContain(
    'people 49',
  )
})

it('what cannot be done is said by code, with the next command', async () => {
  using place = new Workplace()
  const [backups, dir] = [place.path('backups'), ['--dir', place.data]]
  const none = await standing(['backup', 'create', '--to', backups, ...dir])
  expect(none).toMatchObject({ code: 3 })
  expect(none.stderr).toContain('FolderNotFound')
  await fill(place, 'people', 5)
  await ok('backup', 'create', '--to', backups, ...dir)
  const over = await holdfast(['restore', '--from', backups, ...dir])
  expect(over).toMatchObject({ code: 4 })
  expect(over.stderr).toContain('AlreadyExists')
  expect(over.stderr).toContain('try: restore into an empty folder')
  const beyond = await standing([
    'restore',
    '--from',
    backups,
    '--at',
    '999',
    '--dir',
    place.path('x'),
  ])
  expect(beyond.code).toBe(4)
  expect(beyond.stderr).toContain('try: holdfast backup list')
  for (const wrong of [
    ['restore', '--at', 'yesterday'],
    ['restore', '--table', 'people'],
    ['backup', 'create', '--to', '-', '--full'],
    ['backup', 'create', '--after', '5'],
  ]) {
    expect(await standing([...wrong, ...dir])).toMatchObject({ code: 2, stdout: '' })
  }
  const part = readdirSync(backups).find((name) => name.startsWith('parts')) as string
  truncateSync(join(backups, part), 20)
  const corrupt = await holdfast(['backup', 'verify', '--from', backups, '--json'])
  expect(corrupt).toMatchObject({ code: 1, stdout: '' })
  expect(JSON.parse(corrupt.stderr)).toMatchObject({ error: { code: 'BackupCorrupt' } })
  const failed = await standing(['restore', '--from', backups, '--dir', place.path('y')])
  expect(failed).toMatchObject({ code: 1 })
  expect(existsSync(place.path('y/data.mdb'))).toBe(false)
  const unfinished = await standing(['stats', '--dir', place.path('y')])
  expect(unfinished).toMatchObject({ code: 3 })
  expect(unfinished.stderr).toContain('RestoreUnfinished')
})
