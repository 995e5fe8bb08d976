// Commands about tables: making, changing and dropping them, and what they refuse.

import { beforeAll, expect, it } from 'vitest'
import { buildHoldfast, holdfast, jsonLines, Workplace, type Ended } from './run-holdfast.ts'
import { standing } from './standing.ts'

beforeAll(() => buildHoldfast())

type Run = (line: string) => Promise<Ended>

function runIn(place: Workplace): Run {
  return (line) => standing([...line.split(' '), '--dir', place.data])
}

it('makes, shows, changes and drops a table', async () => {
  using place = new Workplace()
  const run = runIn(place)
  const nothing = await run('tables create notes --key id --dry-run')
  expect(nothing.code).toBe(3)
  await run('tables create other --key id')
  expect((await run('tables create notes --key id --dry-run')).stdout).toContain('would create')
  expect(jsonLines((await run('tables --json')).stdout)).toHaveLength(1)
  const made = await run('tables create notes --key site,at --index byText=text,at --json')
  expect(JSON.parse(made.stdout)).toMatchObject({
    name: 'notes',
    key: ['site', 'at'],
    indexes: [{ name: 'byText', fields: ['text', 'at'], unique: false, state: 'ready' }],
  })
  await run('put notes site=a at=1 text=x')
  await run('put notes site=b at=1 text=x')
  const altered = await run('tables alter notes --add-unique bySite=site --drop-index byText')
  expect(altered.stdout).toMatch(/^altered notes, indexes bySite \(unique\), in /)
  const shown = await run('tables show notes')
  expect(shown.stdout).toMatch(/key +site, at\n/)
  expect(shown.stdout).toMatch(/bySite +site +unique +ready\n/)
  expect((await run('put notes site=a at=2')).stderr).toContain('error UniqueViolation')
  const dropped = await run('tables drop notes --yes --json')
  expect(JSON.parse(dropped.stdout)).toEqual({ table: 'notes', rows: 2, dropped: true })
  expect((await run('scan notes')).stderr).toContain('error UnknownTable')
})

it('drops nothing that was not confirmed', async () => {
  using place = new Workplace()
  const run = runIn(place)
  await run('tables create notes --key id')
  await run('put notes id=1')
  for (const line of ['tables drop notes', 'tables drop notes --no-input']) {
    const refused = await holdfast([...line.split(' '), '--dir', place.data])
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toContain('say --yes')
  }
  const asJson = await run('tables drop notes --json')
  expect(JSON.parse(asJson.stderr)).toMatchObject({ error: { code: 'Usage' } })
  expect((await run('tables drop notes --dry-run')).stdout).toContain('would drop notes')
  expect((await run('query notes --count')).stdout).toBe('1\n')
})

it('refuses what contradicts what is there, and names the next command', async () => {
  using place = new Workplace()
  const run = runIn(place)
  await run('tables create notes --key id --index byText=text')
  const refused = async (line: string, code: number, ...words: string[]): Promise<void> => {
    const ended = await run(line)
    expect(ended).toMatchObject({ code, stdout: '' })
    for (const word of words) expect(ended.stderr).toContain(word)
  }
  await refused('tables create notes --key id', 4, 'AlreadyExists', 'holdfast tables alter notes')
  await refused('tables create _own --key id', 1, 'error ')
  await refused('tables create other', 2, '--key')
  await refused('tables create other --key id --index nonsense', 2, 'name=field')
  await refused('tables create other --key id --index a=b --unique a=c', 2, 'given twice')
  await refused('tables alter notes', 2, '--add-index')
  await refused('tables alter notes --add-index byText=text', 4, 'AlreadyExists')
  await refused('tables alter notes --drop-index byTxt', 1, 'did you mean byText?')
  await refused('tables alter ntes --add-index a=b', 1, 'did you mean notes?')
  await refused('tables drop nots --yes', 1, 'did you mean notes?')
  // Rows that a new unique index cannot hold are listed, and the table stays as it was.
  await run('put notes id=1 text=same')
  await run('put notes id=2 text=same')
  await refused('tables alter notes --add-unique one=text', 1, 'SchemaConflict')
  const table = JSON.parse((await run('tables show notes --json')).stdout) as object
  expect(table).toHaveProperty('indexes', [expect.objectContaining({ name: 'byText' })])
})
