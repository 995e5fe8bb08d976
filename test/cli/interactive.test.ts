// What commands do on a terminal alone: they ask, draw progress, and heed Ctrl-C.

import { readdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KEYS, ptyMissing, type Pty } from '../child/pty.ts'
import { cleanEnvironment, inTerminal } from './in-terminal.ts'
import { buildHoldfast, holdfast, holdOpen, Workplace } from './run-holdfast.ts'
import { standing } from './standing.ts'

const place = new Workplace()
const dir = ['--dir', place.data]
const env = { ...cleanEnvironment(place.folder), XDG_STATE_HOME: place.path('state') }
const rows = 150_000

beforeAll(async () => {
  buildHoldfast()
  for (const name of ['first', 'second', 'third']) {
    expect(await standing(['tables', 'create', name, '--key', 'id', ...dir])).toMatchObject({
      code: 0,
    })
    expect(await standing(['put', name, '{"id":1}', ...dir])).toMatchObject({ code: 0 })
  }
  const lines = Array.from({ length: rows }, (_, id) => `${id},row ${id} of many`)
  writeFileSync(place.path('many.csv'), ['id,text', ...lines].join('\n'))
})
afterAll(() => place[Symbol.dispose]())

const started = (...args: string[]): Pty => inTerminal([...args, ...dir], { env })

async function tables(): Promise<string[]> {
  const { stdout } = await standing(['stats', '--json', ...dir])
  const stats = JSON.parse(stdout) as { tables: { name: string }[] }
  return stats.tables.map(({ name }) => name).filter((name) => !name.startsWith('_'))
}

describe.skipIf(ptyMissing() !== undefined)('tables drop', () => {
  it('drops the table whose name is typed', async () => {
    await using pty = started('tables', 'drop', 'first')
    await pty.shows('Its name:')
    pty.line('first')
    expect(await pty.exit()).toBe(0)
    expect(await tables()).toEqual(['second', 'third'])
  })

  it.each([
    ['another name', `secnd${KEYS.enter}`, 1],
    ['Ctrl-C', KEYS.ctrlC, 130],
    ['Ctrl-D', KEYS.ctrlD, 130],
  ])('drops nothing by %s', async (_what, keys, code) => {
    await using pty = started('tables', 'drop', 'second')
    await pty.shows('Its name:')
    pty.send(keys)
    expect(await pty.exit()).toBe(code)
    expect(await tables()).toContain('second')
  })

  it('asks in the REPL too, which goes on', async () => {
    await using pty = started('repl')
    await pty.shows(/^data>$/m)
    pty.line('tables drop third')
    await pty.replies('Its name:')
    pty.send(KEYS.ctrlC)
    await pty.replies(/\n(?:.*\n)*data>$/)
    pty.line('tables drop third')
    await pty.replies('Its name:')
    pty.line('third')
    await pty.replies('dropped third')
    await pty.replies(/\n(?:.*\n)*data>$/)
    pty.line('tables')
    await pty.replies('second')
    expect(pty.latest).not.toContain('third')
  })
})

describe.skipIf(ptyMissing() !== undefined)('a long import', () => {
  it('shows how far it is, stops by Ctrl-C, and goes on where it was', async () => {
    const args = ['import', 'many', place.path('many.csv'), '--create', '--key', 'id']
    {
      await using pty = started(...args)
      await pty.shows(/many \[[█░]+\] [1-9]\d*% \| [\d,]+ rows \| [\d,]+ rows\/s \| .* left/)
      pty.send(KEYS.ctrlC)
      expect(await pty.exit()).toBe(130)
      // The cursor, which the bar hides, is back.
      expect(pty.raw.lastIndexOf('\u001b[?25h')).toBeGreaterThan(pty.raw.lastIndexOf('\u001b[?25l'))
    }
    await using pty = started(...args)
    expect(await pty.exit()).toBe(0)
    expect(pty.text).toMatch(/rows imported, 0 rejected, [1-9][\d,]* skipped/)
    const { stdout } = await standing(['query', 'many', '--count', ...dir])
    expect(stdout).toBe('150,000\n')
  })

  it('can be given an index, and shows how far the filling of it is', async () => {
    await using pty = started('tables', 'alter', 'many', '--add-index', 'byText=text')
    await pty.shows(/filling many \[[█░]+\] [1-9]\d*% \| [1-9][\d,]* rows \| [\d,]+ rows\/s/)
    expect(await pty.exit()).toBe(0)
    expect(pty.text).toContain('altered many, indexes byText')
    const query = ['query', 'many', '--index', 'byText', '--eq', 'row 7 of many', '--count']
    expect((await standing([...query, ...dir])).stdout).toBe('1\n')
  })

  it('draws nothing where stderr is no terminal', async () => {
    const target = place.path('many.ndjson')
    const { stdout, stderr, code } = await holdfast(['export', 'many', target, ...dir])
    expect({ stdout, code }).toEqual({ stdout: '', code: 0 })
    expect(stderr).toMatch(/^many: 150,000 rows exported.*\n$/)
    expect(readdirSync(place.folder)).toContain('many.ndjson')
  })
})

describe.skipIf(ptyMissing() !== undefined)('watch', () => {
  it.each([
    ['a folder that it opens itself', false],
    ['a folder of another process', true],
  ])('goes on until Ctrl-C, over %s', async (_what, isHeld) => {
    const holder = isHeld ? await holdOpen(place.data) : undefined
    try {
      await using pty = started('watch', 'second', '--from', 'snapshot')
      await pty.shows(/^row +1 /m)
      const id = isHeld ? 11 : 10
      expect(await standing(['put', 'second', `{"id":${id}}`, ...dir])).toMatchObject({ code: 0 })
      await pty.shows(new RegExp(`^insert +${id} `, 'm'))
      pty.send(KEYS.ctrlC)
      expect(await pty.exit()).toBe(130)
      expect(pty.text).toContain('go on with: holdfast watch second --after')
    } finally {
      await holder?.kill('SIGTERM')
    }
  })
})

describe.skipIf(ptyMissing() !== undefined)('status --watch', () => {
  it('redraws what it shows, whoever has the folder, until Ctrl-C', async () => {
    const holder = await holdOpen(place.data)
    await using pty = started('status', '--watch')
    await pty.shows(/^\* this process +alive/m)
    await holder.kill('SIGTERM')
    const timeOf = (): string => pty.text.match(/\d\d:\d\d:\d\d\.\d+Z/g)?.at(-1) ?? ''
    // The holder is gone by now: what comes later, it says of the folder that it opened itself.
    const before = timeOf()
    while (timeOf() === before) await new Promise((resolve) => setTimeout(resolve, 50))
    expect(pty.text).toContain('survives a crash of the process')
    pty.send(KEYS.ctrlC)
    expect(await pty.exit()).toBe(130)
  })
})
