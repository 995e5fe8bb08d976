// Every command that reads, both while another process has the folder open and while none has.

import { spawnSync } from 'node:child_process'
import { readFileSync, statSync, readdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  buildHoldfast,
  holdfast,
  holdOpen,
  jsonLines,
  whileHeld,
  Workplace,
  type Holding,
} from './run-holdfast.ts'
import { standing } from './standing.ts'

const place = new Workplace()
const dir = ['--dir', place.data]

const people = [
  { id: 1, name: 'Ada', born: { $date: '1815-12-10T00:00:00.000Z' }, city: 'London', zip: '00501' },
  { id: 2, name: 'Grace', born: { $date: '1906-12-09T00:00:00.000Z' }, city: 'New York', zip: '7' },
  { id: 3, name: 'Alan', born: { $date: '1912-06-23T00:00:00.000Z' }, city: 'London', zip: '7' },
]

beforeAll(async () => {
  buildHoldfast()
  writeFileSync(place.path('people.ndjson'), people.map((row) => JSON.stringify(row)).join('\n'))
  const columns = ['--create', '--key', 'id', '--index', 'byCity=city', 'byBorn=born', 'byZip=zip']
  const imported = await holdfast([
    ...['import', 'people', place.path('people.ndjson'), ...columns, ...dir],
  ])
  expect(imported.stderr).toContain('3 rows imported, 0 rejected')
  expect(imported.code).toBe(0)
})
afterAll(() => place[Symbol.dispose]())

describe.each([
  ['held by another process', true],
  ['held by none', false],
])('a folder %s', (_name, isHeld) => {
  let holder: Holding | undefined
  beforeAll(async () => {
    holder = isHeld ? await holdOpen(place.data) : undefined
  })
  afterAll(() => holder?.kill('SIGTERM'))

  it('answers get', async () => {
    const row = await standing(['get', 'people', '2', '--json', ...dir])
    expect(row).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(row.stdout)).toEqual(people[1])
    const text = await standing(['get', 'people', '2', ...dir])
    expect(text.stdout).toMatch(/^id +2\nname +Grace\nborn +1906-12-09T00:00:00.000Z\n/)
    const missing = await holdfast(['get', 'people', '9', ...dir])
    expect(missing).toMatchObject({ code: 1, stdout: '' })
    expect(missing.stderr).toContain('has no row with key 9')
    const unknown = await standing(['get', 'nobody', '9', '--json', ...dir])
    expect(unknown).toMatchObject({ code: 1, stdout: '' })
    expect(JSON.parse(unknown.stderr)).toMatchObject({
      error: { code: 'UnknownTable', applied: 'no', details: { table: 'nobody' } },
    })
  })

  it('answers query', async () => {
    const ids = async (...args: string[]) => {
      const { stdout, code, stderr } = await standing([
        ...['query', 'people', '--json', ...args, ...dir],
      ])
      expect([code, stderr]).toEqual([0, ''])
      return jsonLines(stdout).map(({ id }) => id)
    }
    expect(await ids('--reverse', '--limit', '2')).toEqual([3, 2])
    expect(await ids('--index', 'byCity', '--eq', 'London')).toEqual([1, 3])
    expect(await ids('--index', 'byBorn', '--gte', '1906-12-09')).toEqual([2, 3])
    expect(await ids('--index', 'byZip', '--eq', '7', '--where', 'name!=Alan')).toEqual([2])
    const text = await standing(['query', 'people', '--fields', 'id,zip', '--limit', '2', ...dir])
    expect(text.stdout).toBe('id  zip\n 1  00501\n 2  7\n')
    expect(text.stderr).toMatch(/^2 rows in .*\nthere are more/)
    const groups = await standing(['query', 'people', '--group', 'city', '--avg', 'id', ...dir])
    expect(groups.stdout).toMatch(/city +rows +avg_id\nLondon +2 +2\nNew York +1 +2\n/)
    const count = await holdfast(['query', 'people', '--count', ...dir])
    expect(count.stdout).toBe('3\n')
  })

  it('answers stats and check', async () => {
    const stats = JSON.parse((await holdfast(['--json', 'stats', ...dir])).stdout) as object
    expect(stats).toMatchObject({ dir: place.data, durability: 'fsynced' })
    expect(stats).toHaveProperty('holder', isHeld ? expect.any(Number) : null)
    expect(stats).toHaveProperty(
      'tables',
      expect.arrayContaining([expect.objectContaining({ name: 'people', rows: 3 })]),
    )
    const status = await standing(['status', ...dir])
    expect(status.code).toBe(0)
    expect(status.stdout).toMatch(/^embedded \w{32} +one process, acks: fsynced\n/)
    expect(status.stdout).toMatch(/\n\* this process +alive /)
    expect(status.stdout).toMatch(/\nsurvives a crash .* a backup alone\n$/)
    expect(JSON.parse((await standing(['status', '--json', ...dir])).stdout)).toMatchObject({
      kind: 'embedded',
      survives: { nodes: 0 },
      problems: [],
    })
    const check = await holdfast(['check', '--json', ...dir])
    expect(check.code).toBe(0)
    expect(JSON.parse(check.stdout)).toMatchObject({ ok: true, problems: [], indexEntries: 9 })
  })
})

it('pages over one snapshot of the process that holds the folder', async () => {
  await whileHeld(place.data, true, async () => {
    const args = ['query', 'people', '--limit', '2', '--json', ...dir]
    const first = await standing([...args, '--cursor', 'start'])
    expect(jsonLines(first.stdout).map(({ id }) => id)).toEqual([1, 2])
    const { cursor } = JSON.parse(first.stderr) as { cursor: string }
    const second = await standing([...args, '--cursor', cursor])
    expect(jsonLines(second.stdout).map(({ id }) => id)).toEqual([3])
    expect(second.stderr).toBe('')
  })
  const alone = await standing(['query', 'people', '--cursor', 'start', ...dir])
  expect(alone).toMatchObject({ code: 1, stdout: '' })
})

it('lets nobody else connect, and refuses a second start with the holder', async () => {
  const holder = await holdOpen(place.data)
  const socket = readdirSync(place.data).find((name) => name.endsWith('.sock')) ?? ''
  expect(statSync(`${place.data}/${socket}`).mode & 0o777).toBe(0o600)
  const second = await holdfast(['start', '--no-sample', ...dir])
  expect(second.code).toBe(3)
  expect(second.stderr).toContain(
    `error FolderInUse: ${place.data} is open in process ${holder.pid}`,
  )
  expect(second.stderr).toMatch(/\napplied: no\ntry: /)
  expect(await holder.kill('SIGINT')).toBe(0)
})

it('says what is wrong with the command line, and where there is no folder', async () => {
  const [usage, condition, nowhere, nothing, bench] = await Promise.all([
    holdfast(['query', 'people', '--bogus', ...dir]),
    holdfast(['query', 'people', '--where', 'nonsense', ...dir]),
    holdfast(['stats', '--dir', place.path('nowhere')]),
    holdfast(['check', '--dir', place.path('nowhere')]),
    holdfast(['get', '--help']),
  ])
  expect(usage).toMatchObject({ code: 2, stdout: '' })
  expect(condition.code).toBe(2)
  expect(nowhere.code).toBe(3)
  expect(nowhere.stderr).toContain('error FolderNotFound: there is no database in')
  expect(nothing.code).toBe(3)
  expect(bench).toMatchObject({ code: 0, stderr: '' })
  expect(readdirSync(place.folder)).not.toContain('nowhere')
})

it('has colors on a terminal alone, and obeys NO_COLOR', async () => {
  const run = (env: Record<string, string>, ...args: string[]) =>
    standing(['query', 'people', ...args, ...dir], { env })
  const escape = '\u001b['
  expect((await run({})).stdout).not.toContain(escape)
  expect((await run({ FORCE_COLOR: '1' })).stdout).toContain(escape)
  expect((await run({ FORCE_COLOR: '1', NO_COLOR: '1' })).stdout).not.toContain(escape)
  expect((await run({ FORCE_COLOR: '1' }, '--no-color')).stdout).not.toContain(escape)
})

it('ends quietly when nobody reads on, and goes through bin/holdfast', () => {
  const command = `bin/holdfast query people --json --dir ${place.data} | true; echo "\${PIPESTATUS[0]}"`
  const { stdout, stderr } = spawnSync('bash', ['-c', command], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  // Not the build's own lines: whoever edits the source while tests run makes it build.
  expect(stderr.replaceAll(/^holdfast: .*\n/gm, '')).toBe('')
  expect(stdout).toBe('0\n')
})

it('documents every command and exit code', async () => {
  const page = readFileSync('docs/CLI.md', 'utf8')
  const { stdout } = await standing(['--help'])
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) (?:\[|<| )/gm)].map(([, name]) => name)
  expect(commands.length).toBeGreaterThanOrEqual(8)
  for (const name of commands.filter((name) => name !== 'help')) {
    expect(page).toContain(`holdfast ${name}`)
  }
  expect(stdout).toContain('Exit codes')
})
