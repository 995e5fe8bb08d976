// The REPL through a pseudo-terminal, as a person has it, and through a pipe, as a script has it.

import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KEYS, ptyMissing, type Pty } from '../child/pty.ts'
import { cleanEnvironment, inTerminal, main } from './in-terminal.ts'
import { buildHoldfast, holdfast, holdOpen, jsonLines, Workplace } from './run-holdfast.ts'
import { standing } from './standing.ts'

const place = new Workplace()
const historyFile = place.path('state/holdfast/history')
const env = { ...cleanEnvironment(place.folder), XDG_STATE_HOME: place.path('state') }
const dir = ['--dir', place.data]

const people = [
  { id: 1, name: 'Ada', city: 'London' },
  { id: 2, name: 'Grace', city: 'New York' },
]

beforeAll(async () => {
  buildHoldfast()
  writeFileSync(place.path('people.ndjson'), people.map((row) => JSON.stringify(row)).join('\n'))
  const columns = ['--create', '--key', 'id', '--index', 'byCity=city', 'byName=name']
  const file = place.path('people.ndjson')
  const imported = await standing(['import', 'people', file, ...columns, ...dir])
  expect(imported).toMatchObject({ code: 0 })
})
afterAll(() => place[Symbol.dispose]())

/** What a REPL makes of these lines when they come from a pipe. */
function piped(
  lines: readonly string[],
  args: readonly string[] = [],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [main, 'repl', ...dir, ...args], { env })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  child.stdin.end(lines.join('\n'))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
}

describe('a REPL that reads a pipe', () => {
  it('has neither prompt nor history, and gives what the commands give', async () => {
    const { code, stdout, stderr } = await piped(['# the first', '', 'get people 1 --json'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(jsonLines(stdout)).toEqual([people[0]])
    expect(statSync(historyFile, { throwIfNoEntry: false })).toBe(undefined)
  })

  it('goes on after errors, and ends with the code of the last command that failed', async () => {
    const { code, stdout, stderr } = await piped(
      [
        'get nothing 1',
        'insert people {"id": 1, "name": "Eve"}',
        'no-such-command',
        'insert people {"id": 1}',
        'get people 2 --json',
      ],
      ['--no-color'],
    )
    expect(code).toBe(4)
    expect(jsonLines(stdout)).toEqual([people[1]])
    expect(stderr).toMatch(/error UnknownTable.*error AlreadyExists.*unknown command/s)
  })

  it('takes JSON without quotes, over several lines, and words as a shell does', async () => {
    const { code, stdout } = await piped([
      'put people {"id": 7,',
      '  "name": "it\'s \\"quoted\\" # here",',
      '  "tags": ["a b", "]"]} --json',
      `put people '{"id": 8}' --json`,
      'update people 8 --set "name=two  spaces" city=Par\\ is \\',
      '  --json # and a comment',
      "query people --where name='two  spaces' --json",
    ])
    expect(code).toBe(0)
    const [first, second, , found] = jsonLines(stdout)
    const row = { id: 7, name: 'it\'s "quoted" # here', tags: ['a b', ']'] }
    expect(first).toMatchObject({ row })
    expect(second).toMatchObject({ row: { id: 8 } })
    expect(found).toEqual({ id: 8, name: 'two  spaces', city: 'Par is' })
    await piped(['delete people 7', 'delete people 8'])
  })

  it('says what is open at its end, and leaves at .exit', async () => {
    const open = await piped(['put people {"id": 9'])
    expect(open).toMatchObject({ code: 2, stdout: '' })
    expect(open.stderr).toContain('JSON')
    const left = await piped(['.exit', 'no-such-command'])
    expect(left).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(await piped(['repl'])).toMatchObject({ code: 2 })
    expect(await piped(['.nothing'])).toMatchObject({ code: 2 })
  })

  it('inherits the options of its own line, and a line may name another folder', async () => {
    const { stdout, stderr, code } = await piped(
      ['get people 1', `get people 1 --dir ${place.path('nowhere')}`, 'get people 2'],
      ['--json'],
    )
    expect(jsonLines(stdout)).toEqual(people)
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'FolderNotFound' } })
    expect(code).toBe(3)
  })

  it('begins a database with its first table', async () => {
    const fresh = ['--dir', place.path('fresh')]
    const lines = ['tables', 'tables create notes --key id', 'put notes {"id": 1}', 'get notes 1']
    const { stdout, stderr, code } = await piped(lines, [...fresh, '--json'])
    expect(stderr).toContain('FolderNotFound')
    expect(jsonLines(stdout).at(-1)).toEqual({ id: 1 })
    expect(code).toBe(3)
  })
})

const noPty = ptyMissing()

/** Waits for the prompt behind everything so far. */
function prompt(pty: Pty, name = 'data'): Promise<void> {
  const end = `${name}>`
  return pty.until('there is a prompt', () => pty.latest.endsWith(`\n${end}`) || pty.text === end)
}

async function repl(args: readonly string[] = dir): Promise<Pty> {
  const pty = inTerminal(['repl', ...args], { env, cwd: place.folder })
  await pty.shows(/^\S+>$/m)
  return pty
}

describe.skipIf(noPty !== undefined)('a REPL on a terminal', () => {
  it('prompts with where it is, runs lines and leaves at Ctrl-D', async () => {
    await using pty = await repl()
    pty.line('get people 1')
    await pty.replies(/name +Ada\n/)
    await prompt(pty)
    pty.send(KEYS.ctrlD)
    expect(await pty.exit()).toBe(0)
    expect(pty.raw).toContain('\u001b[36mdata')
  })

  it('opens the folder once, and others reach it through its socket', async () => {
    await using pty = await repl()
    pty.line('put people {"id": 3, "name": "Alan"}')
    await prompt(pty)
    const stats = await standing(['stats', '--json', ...dir])
    expect(JSON.parse(stats.stdout)).toMatchObject({ holder: pty.pid })
    pty.line('.exit')
    expect(await pty.exit()).toBe(0)
    const after = await standing(['get', 'people', '3', '--json', ...dir])
    expect(JSON.parse(after.stdout)).toEqual({ id: 3, name: 'Alan' })
  })

  it('goes through the process that has the folder open, and on when that ends', async () => {
    const holder = await holdOpen(place.data)
    await using pty = await repl()
    pty.line('stats --json')
    await pty.replies(`"holder":${holder.pid}`)
    await prompt(pty)
    expect(await holder.kill('SIGTERM')).toBe(0)
    pty.line('get people 2')
    await pty.replies(/name +Grace/)
  })

  it('completes commands, tables, indexes, fields and options by Tab', async () => {
    await using pty = await repl()
    const completes = async (typed: string, becomes: string): Promise<void> => {
      pty.send(`${typed}${KEYS.tab}`)
      await pty.replies(becomes.trimEnd())
      pty.send(KEYS.ctrlC)
      await prompt(pty)
    }
    await completes('que', 'data> query ')
    await completes('get peo', 'data> get people ')
    await completes('query people --index byC', 'data> query people --index byCity ')
    await completes('query people --where na', 'data> query people --where name=')
    await completes('query people --fields id,ci', 'data> query people --fields id,city')
    await completes('query people --rev', 'data> query people --reverse ')
    await completes('.ti', 'data> .timing ')
    await completes('import people peop', 'data> import people people.ndjson ')
    pty.send(`query people --index by${KEYS.tab}${KEYS.tab}`)
    expect(await pty.shows(/byCity +byName/)).toContain('--index by')
  })

  it('keeps its history for the user alone, and leaves out lines with tokens', async () => {
    {
      await using pty = await repl()
      pty.line('get people 1')
      await prompt(pty)
      pty.line('stats --token hf_abcdefgh_secret')
      await prompt(pty)
      pty.line('put people {"id": 4,')
      await pty.replies(/\n\.\.\.$/)
      pty.line('"name": "Dora"}')
      await prompt(pty)
      pty.send(KEYS.ctrlD)
      await pty.exit()
    }
    expect(statSync(historyFile).mode & 0o777).toBe(0o600)
    expect(statSync(dirname(historyFile)).mode & 0o777).toBe(0o700)
    const text = readFileSync(historyFile, 'utf8')
    expect(text).not.toContain('secret')
    expect(text).toMatch(/get people 1\nput people \{"id": 4, "name": "Dora"\}\n$/)
    await using pty = await repl()
    pty.send(KEYS.up)
    await pty.replies('data> put people {"id": 4, "name": "Dora"}')
    pty.send(KEYS.up)
    await pty.replies('data> get people 1')
    pty.send(KEYS.enter)
    await pty.replies(/name +Ada/)
  })

  it('keeps a thousand lines of history', async () => {
    mkdirSync(dirname(historyFile), { recursive: true })
    const lines = Array.from({ length: 1_000 }, (_, i) => `get people ${i}`)
    writeFileSync(historyFile, `${lines.join('\n')}\n`, { mode: 0o600 })
    await using pty = await repl()
    pty.line('.timing off')
    await prompt(pty)
    const kept = readFileSync(historyFile, 'utf8').trimEnd().split('\n')
    expect(kept).toEqual([...lines.slice(1), '.timing off'])
    rmSync(historyFile)
  })

  it('says so when there can be no history, and works without', async () => {
    writeFileSync(place.path('no-folder'), '')
    const broken = { ...env, XDG_STATE_HOME: place.path('no-folder') }
    await using pty = inTerminal(['repl', ...dir], { env: broken })
    await pty.shows(/no history: .*\n(?:.*\n)*data>$/)
    pty.line('get people 1')
    expect(await pty.replies(/name +Ada/)).toContain('get people 1')
  })

  it('cancels what was typed, or what runs, by Ctrl-C, and goes on', async () => {
    await using pty = await repl()
    pty.send(`get people 1${KEYS.ctrlC}`)
    await prompt(pty)
    pty.line('put people {"id": 5,')
    await pty.replies('\n...')
    pty.send(KEYS.ctrlC)
    await prompt(pty)
    pty.line('watch people --json')
    const change = holdfast(['put', 'people', '{"id":6,"name":"Wat"}', ...dir])
    await pty.shows('"Wat"')
    expect(await change).toMatchObject({ code: 0 })
    pty.send(KEYS.ctrlC)
    await prompt(pty)
    pty.line('get people 6')
    await pty.replies(/name +Wat/)
    pty.line('get people 5')
    await pty.replies('has no row with key 5')
  })

  it('says errors as the shell does, with what to try', async () => {
    await using pty = await repl()
    pty.line('get peple 1')
    const said = await pty.replies(/^try: did you mean people\?/m)
    expect(said).toMatch(/error UnknownTable: .*\n(?:.*\n)*try: /)
    await prompt(pty)
    pty.line('.timing on')
    await prompt(pty)
    pty.line('get people 1')
    await pty.replies(/name +Ada\n(?:.*\n)*[\d.]+ m?s\n/)
  })

  it('goes on with another context', async () => {
    const other = join(place.folder, 'other')
    await piped(['tables create notes --key id'], ['--dir', other])
    await using pty = await repl()
    pty.line(`context add elsewhere --dir ${other}`)
    await prompt(pty)
    pty.send(`.context else${KEYS.tab}`)
    await pty.replies('.context elsewhere')
    pty.send(KEYS.enter)
    await prompt(pty, 'elsewhere')
    pty.line('tables')
    await pty.replies(/notes +0/)
    await prompt(pty, 'elsewhere')
    pty.line('.context nothing')
    await pty.replies('there is no context nothing')
    await prompt(pty, 'elsewhere')
    // The first folder is free again.
    const stats = await standing(['stats', '--json', ...dir])
    expect(JSON.parse(stats.stdout)).toMatchObject({ holder: null })
  })

  it('closes the database when it is terminated', async () => {
    await using pty = await repl()
    pty.line('get people 1')
    await prompt(pty)
    pty.kill('SIGTERM')
    expect(await pty.exit()).toBe(0)
    expect(await holdfast(['check', ...dir])).toMatchObject({ code: 0 })
  })
})
