// The scripts of `holdfast completion`, in the shells that they are for.

import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KEYS, programMissing, Pty, ptyMissing } from '../child/pty.ts'
import { cleanEnvironment, main } from './in-terminal.ts'
import { buildHoldfast, holdfast, holdOpen, whileHeld, Workplace } from './run-holdfast.ts'
import { standing } from './standing.ts'

const place = new Workplace()
const dir = ['--dir', place.data]
const timeout = 60_000
const base = cleanEnvironment(place.folder)
const env = {
  ...base,
  PATH: `${place.path('bin')}:${base['PATH']}`,
  HOLDFAST_DIR: place.data,
  XDG_CONFIG_HOME: place.path('config'),
}

beforeAll(async () => {
  buildHoldfast()
  mkdirSync(place.path('bin'))
  const program = place.path('bin/holdfast')
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`)
  chmodSync(program, 0o755)
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout, stderr, code } = await standing(['completion', shell])
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    writeFileSync(place.path(`script.${shell}`), stdout)
  }
  writeFileSync(place.path('people.ndjson'), '{"id":1,"name":"Ada","city":"London"}\n')
  const columns = ['--create', '--key', 'id', '--index', 'byCity=city', 'byName=name']
  const file = place.path('people.ndjson')
  expect(await standing(['import', 'people', file, ...columns, ...dir])).toMatchObject({ code: 0 })
})
afterAll(() => place[Symbol.dispose]())

function run(program: string, args: readonly string[], cwd = place.folder): string {
  const { stdout, stderr, status } = spawnSync(program, args, {
    encoding: 'utf8',
    env,
    cwd,
    timeout,
  })
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
  return stdout
}

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '')

describe('__complete', () => {
  const answersOf =
    (complete: typeof standing) =>
    async (...words: string[]): Promise<string[]> => {
      const ended = await complete(['__complete', ...words], { env: { HOLDFAST_DIR: place.data } })
      expect(ended).toMatchObject({ code: 0, stderr: '' })
      return linesOf(ended.stdout).map((line) => line.split('\t')[0] ?? '')
    }
  const answers = answersOf(standing)
  /** In a process of its own. */
  const starts = answersOf(holdfast)

  it.each([
    ['held by another process', true],
    ['held by none', false],
  ])('knows the names in a folder %s', (_name, isHeld) =>
    whileHeld(place.data, isHeld, async () => {
      expect(await answers('get', '')).toEqual(['people'])
      expect(await answers('query', 'people', '--index', 'byC')).toEqual(['byCity'])
      expect(await answers('query', 'people', '--index=byN')).toEqual(['--index=byName'])
      expect(await answers('query', 'people', '--where', '')).toEqual(['id=', 'city=', 'name='])
      expect(await answers('query', 'people', '--fields', 'id,')).toEqual(['id,city', 'id,name'])
      expect(await answers('--json', 'tables', 'drop', '--yes', 'p')).toEqual(['people'])
    }),
  )

  it('reads a folder without claiming it: who opens it meanwhile is not refused', async () => {
    const opened = holdOpen(place.data)
    await Promise.all(Array.from({ length: 5 }, () => starts('get', '')))
    const holder = await opened
    expect(await holder.kill('SIGTERM')).toBe(0)
  })

  it('does not wait for a process that does not answer', async () => {
    const holder = await holdOpen(place.data)
    try {
      process.kill(holder.pid, 'SIGSTOP')
      expect(await starts('get', '')).toEqual([])
      expect(await starts('que')).toEqual(['query'])
    } finally {
      process.kill(holder.pid, 'SIGCONT')
      await holder.kill('SIGTERM')
    }
  })

  it('is silent where nothing can be known', async () => {
    expect(await answers('get', '--dir', place.path('nowhere'), '')).toEqual([])
    expect(await answers('get', '--url', 'http://127.0.0.1:1', '')).toEqual([])
    expect(await answers('get', '--context', 'nobody', '')).toEqual([])
    expect(await answers('no', 'such', 'command', '')).toEqual([])
    expect(await answers('query', 'nothing', '--index', '')).toEqual([])
    expect(await answers()).toContain('query')
  })

  it('has the commands, options and choices of the tree, and says where paths go', async () => {
    expect(await answers('que')).toEqual(['query'])
    expect(await answers('tables', 'dr')).toEqual(['drop'])
    expect(await answers('query', 'people', '--rev')).toEqual(['--reverse'])
    expect(await answers('export', 'people', 'x', '--format', 'p')).toEqual(['parquet'])
    expect(await answers('import', 'people', '')).toEqual([':files'])
    expect(await answers('')).not.toContain('__complete')
  })
})

const COMPLETE = `source "$1"; shift
COMP_LINE="$1"; COMP_POINT=\${#COMP_LINE}; shift
COMP_WORDS=("$@"); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`

describe('in bash', () => {
  /** What bash is offered for this line, whose words are as bash cuts them. */
  const offers = (line: string, ...words: string[]): string[] => {
    const script = place.path('script.bash')
    const all = words.length > 0 ? words : line.split(' ')
    return linesOf(run('bash', ['-c', COMPLETE, 'bash', script, line, ...all]))
  }

  it('completes commands, options and choices from the script alone', () => {
    expect(offers('holdfast que')).toEqual(['query'])
    expect(offers('holdfast --dir x tables a')).toEqual(['alter'])
    expect(offers('holdfast query people --rev')).toEqual(['--reverse'])
    expect(offers('holdfast export --format ndjson people out --format p')).toEqual(['parquet'])
    expect(offers('holdfast completion ')).toEqual(['bash', 'zsh', 'fish'])
    expect(offers('holdfast get people -- -')).toEqual([])
  })

  it('completes names in the database, and paths', () => {
    expect(offers('holdfast get pe')).toEqual(['people'])
    expect(offers('holdfast query people --index by')).toEqual(['byCity', 'byName'])
    expect(offers('holdfast query people --where na')).toEqual(['name='])
    expect(offers('holdfast import people peo')).toEqual(['people.ndjson'])
    expect(offers('holdfast stats --dir b')).toEqual(['bin'])
  })

  it('puts together what bash cuts at =', () => {
    const words = ['holdfast', 'query', 'people', '--index', '=', 'byC']
    expect(offers('holdfast query people --index=byC', ...words)).toEqual(['byCity'])
    const value = ['holdfast', 'query', 'people', '--where', 'name', '=', '']
    expect(offers('holdfast query people --where name=', ...value)).toEqual([])
  })
})

describe.skipIf(ptyMissing() !== undefined)('in bash on a terminal', () => {
  it('completes by Tab', async () => {
    const args = ['bash', '--noprofile', '--norc', '-i']
    await using pty = new Pty(args, { env: { ...env, PS1: 'ready> ' }, cwd: place.folder })
    await pty.shows('ready>')
    pty.line('source script.bash; echo sourced')
    await pty.replies(/^sourced$/m)
    pty.send(`holdfast que${KEYS.tab}`)
    await pty.replies('ready> holdfast query')
    pty.send(`peo${KEYS.tab}`)
    await pty.replies('ready> holdfast query people')
    pty.send(`--index=byC${KEYS.tab}`)
    await pty.replies('ready> holdfast query people --index=byCity')
    pty.send(`--where na${KEYS.tab}Ada${KEYS.enter}`)
    expect(await pty.replies(/id +name +city\n +1 +Ada +London/)).toContain('--where name=Ada')
  })
})

describe.skipIf((ptyMissing() ?? programMissing('zsh')) !== undefined)('in zsh', () => {
  it('completes by Tab', async () => {
    const args = ['zsh', '-f', '-i']
    await using pty = new Pty(args, { env: { ...env, PS1: 'ready> ' }, cwd: place.folder })
    await pty.shows('ready>')
    pty.line('autoload -U compinit; compinit -u -D; source script.zsh; echo sourced')
    await pty.replies(/^sourced$/m)
    const completes = async (typed: string, becomes: string): Promise<void> => {
      pty.send(`${typed}${KEYS.tab}`)
      await pty.replies(becomes)
    }
    await completes('holdfast que', 'ready> holdfast query')
    await completes('peo', 'ready> holdfast query people')
    await completes('--index=byC', 'ready> holdfast query people --index=byCity')
    await completes('--rev', 'ready> holdfast query people --index=byCity --reverse')
    await completes('--where na', '--reverse --where name=')
    pty.send(`Ada${KEYS.enter}`)
    await pty.replies(/id +name +city\n +1 +Ada +London/)
    pty.send(`holdfast tables ${KEYS.tab}`)
    expect(await pty.shows(/drop +-- drops a table/)).toContain('create')
  })
})

describe.skipIf(programMissing('fish') !== undefined)('in fish', () => {
  const offers = (line: string): string[] => {
    const script = `source ${place.path('script.fish')}; complete -C '${line}'`
    return linesOf(run('fish', ['--no-config', '-c', script])).map(
      (text) => text.split('\t')[0] ?? '',
    )
  }

  it('completes commands, options, choices, names and paths', () => {
    expect(offers('holdfast que')).toEqual(['query'])
    expect(offers('holdfast tables a')).toEqual(['alter'])
    expect(offers('holdfast --dir x tables a')).toEqual(['alter'])
    expect(offers('holdfast query people --rev')).toEqual(['--reverse'])
    expect(offers('holdfast export people out --format p')).toEqual(['parquet'])
    expect(offers('holdfast get pe')).toEqual(['people'])
    expect(offers('holdfast query people --index by')).toEqual(['byCity', 'byName'])
    expect(offers('holdfast query people --index=byC')).toEqual(['--index=byCity'])
    expect(offers('holdfast query people --where na')).toEqual(['name='])
    expect(offers('holdfast import people peo')).toContain('people.ndjson')
    expect(offers('holdfast stats --dir b')).toContain('bin/')
  })
})
