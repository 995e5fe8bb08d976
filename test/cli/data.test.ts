// Commands that read and write rows: the same over an own folder, over the socket of the process that
// has it open, and over HTTP.

import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  buildHoldfast,
  holdfast,
  holdOpen,
  jsonLines,
  serveHttp,
  Workplace,
  type Ended,
  type Holding,
} from './run-holdfast.ts'
import { standing } from './standing.ts'

beforeAll(() => buildHoldfast())

interface Door {
  readonly name: string
  /** The options that lead there, and what is open meanwhile. */
  readonly open: (dir: string) => Promise<{ target: string[]; holding?: Holding }>
}

const doors: readonly Door[] = [
  { name: 'a folder', open: (dir) => Promise.resolve({ target: ['--dir', dir] }) },
  {
    name: 'a folder that another process has open',
    open: async (dir) => ({ target: ['--dir', dir], holding: await holdOpen(dir) }),
  },
  {
    name: 'a URL',
    open: async (dir) => {
      const serving = await serveHttp(dir)
      return { target: ['--url', serving.url], holding: serving }
    },
  },
]

describe.each(doors)('over $name', ({ open }) => {
  const place = new Workplace()
  let target: string[]
  let holding: Holding | undefined
  const run = (...line: string[]): Promise<Ended> => standing([...line, ...target])
  /** In a process of its own. */
  const start = (...line: string[]): Promise<Ended> => holdfast([...line, ...target])
  const row = async (...key: string[]): Promise<unknown> => {
    const { stdout } = await run('get', 'accounts', ...key, '--json')
    return JSON.parse(stdout) as unknown
  }

  beforeAll(async () => {
    const opened = await open(place.data)
    ;({ target, holding } = opened)
    const indexes = ['--index', 'byOwner=owner', '--unique', 'byMail=mail']
    const made = await start('tables', 'create', 'accounts', '--key', 'id', ...indexes)
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).toBe('created accounts, key id, indexes byOwner, byMail (unique)\n')
  })
  afterAll(async () => {
    await holding?.kill('SIGTERM')
    place[Symbol.dispose]()
  })

  it('stores rows as they are typed, as JSON, from a file and from stdin', async () => {
    const typed = await run(
      ...['put', 'accounts', 'id=a1', 'owner=ada', 'age=36', 'zip=00501', 'on=true', 'at=null'],
      ...['tags=["x"]', 'balance:={"$bigint":"5"}', 'seven:="7"', 'note=[draft'],
    )
    expect(typed).toMatchObject({ code: 0, stderr: '' })
    expect(typed.stdout).toMatch(/^stored at position \d+, fsynced\n$/)
    expect(await row('a1')).toEqual({
      ...{ id: 'a1', owner: 'ada', age: 36, zip: '00501', on: true, at: null, tags: ['x'] },
      ...{ balance: { $bigint: '5' }, seven: '7', note: '[draft' },
    })
    const json = await run('insert', 'accounts', '{"id":"a2","owner":"bob"}', '--json')
    const ack = JSON.parse(json.stdout) as Record<string, unknown>
    expect(Object.keys(ack)).toEqual(['position', 'durability', 'token', 'row'])
    expect(ack).toMatchObject({ durability: 'fsynced', row: { id: 'a2', owner: 'bob' } })
    expect(ack['token']).toMatch(/^hf1\./)
    writeFileSync(place.path('row.json'), '{"id":"a3","owner":"eve"}')
    expect((await run('put', 'accounts', `@${place.path('row.json')}`)).code).toBe(0)
    const piped = { input: '{"id":"a4","owner":"eve"}\n' }
    expect((await holdfast(['put', 'accounts', '-', ...target], piped)).code).toBe(0)
    expect(await row('a4')).toEqual({ id: 'a4', owner: 'eve' })
  })

  it('refuses a row that is there, ambiguous values, and what is no row', async () => {
    const there = await run('insert', 'accounts', 'id=a1')
    expect(there).toMatchObject({ code: 4, stdout: '' })
    expect(there.stderr).toMatch(/^error AlreadyExists: .*\napplied: no\ntry: holdfast put/)
    const large = await run('put', 'accounts', 'id=a9', 'n=12345678901234567890')
    expect(large.code).toBe(2)
    expect(large.stderr).toContain(`:='{"$bigint":"12345678901234567890"}'`)
    expect((await run('put', 'accounts', 'nonsense')).code).toBe(2)
    expect((await run('put', 'accounts', 'id=a', 'id=b')).code).toBe(2)
    const taken = await run('put', 'accounts', 'id=m1', 'mail=a@x', '--json')
    expect(taken.code).toBe(0)
    const unique = await run('put', 'accounts', 'id=m2', 'mail=a@x', '--json')
    expect(unique.code).toBe(4)
    const { error } = JSON.parse(unique.stderr) as { error: object }
    expect(error).toMatchObject({ code: 'UniqueViolation', applied: 'no' })
    expect(error).toHaveProperty('next', expect.stringMatching(/^holdfast query /))
  })

  it('changes fields of a row all at once, and starts from a row when there is none', async () => {
    await run('put', 'accounts', 'id=u1', 'owner=ada', 'n=1', 'low=5', 'high=5', 'old=1', 'list=[]')
    const updated = await run(
      ...['update', 'accounts', 'u1', '--set', 'owner=eve', 'a=b', '--unset', 'old'],
      ...['--increment', 'n=2', '--min', 'low=3', '--max', 'high=9', '--append', 'list=x'],
    )
    expect(updated.stdout).toMatch(/^updated at position \d+, fsynced\n$/)
    expect(await row('u1')).toEqual({
      ...{ id: 'u1', owner: 'eve', a: 'b', n: 3, low: 3, high: 9, list: ['x'] },
    })
    expect((await run('update', 'accounts', 'u1', '--decrement', 'n=1')).code).toBe(0)
    expect(await row('u1')).toMatchObject({ n: 2 })
    const missing = await run('update', 'accounts', 'u2', '--increment', 'n=1')
    expect(missing).toMatchObject({ code: 1, stdout: '' })
    const create = ['--create', '{"id":"u2","n":10}']
    expect((await run('update', 'accounts', 'u2', '--increment', 'n=1', ...create)).code).toBe(0)
    expect(await row('u2')).toEqual({ id: 'u2', n: 11 })
    expect((await run('update', 'accounts', 'u1')).code).toBe(2)
  })

  it('deletes, and says when there was nothing to delete', async () => {
    await run('put', 'accounts', 'id=d1')
    expect((await run('delete', 'accounts', 'd1')).stdout).toMatch(/^deleted at position \d+/)
    const gone = await run('delete', 'accounts', 'd1', '--json')
    expect(gone).toMatchObject({ code: 1, stdout: '' })
    expect(JSON.parse(gone.stderr)).toMatchObject({ error: { code: 'NoRow' } })
  })

  it('does a command with an idempotency key once', async () => {
    const line = ['--idempotency-key', 'k1']
    expect((await run('insert', 'accounts', 'id=i1', ...line)).code).toBe(0)
    expect((await run('insert', 'accounts', 'id=i1', ...line)).code).toBe(0)
    const other = await run('insert', 'accounts', 'id=i2', ...line)
    expect(other.stderr).toContain('error IdempotencyMismatch')
  })

  it('scans in the order of the key, and queries with the same readings', async () => {
    await run('tables', 'create', 'log', '--key', 'at')
    for (const at of ['1', '2', '10']) await run('put', 'log', `at=${at}`, `text=t${at}`)
    const all = await run('scan', 'log')
    expect(all.stdout).toBe('at  text\n 1  t1\n 2  t2\n10  t10\n')
    const some = await run('scan', 'log', '--reverse', '--limit', '2', '--json', '--fields', 'at')
    expect(some).toMatchObject({ stdout: '{"at":10}\n{"at":2}\n', stderr: '' })
    const where = await run('query', 'log', '--where', 'at>=2', 'text!=t10', '--json')
    expect(jsonLines(where.stdout)).toEqual([{ at: 2, text: 't2' }])
    const text = await run('query', 'log', '--where', 'text="t1"', '--json')
    expect(jsonLines(text.stdout)).toEqual([{ at: 1, text: 't1' }])
    expect((await run('query', 'log', '--count')).stdout).toBe('3\n')
    expect((await run('query', 'log', '--gte', '2', '--count')).stdout).toBe('2\n')
    const groups = await run('query', 'log', '--group', 'text', '--limit', '1', '--json')
    expect(jsonLines(groups.stdout)).toEqual([{ text: 't1', rows: 1 }])
  })

  it('does what commands ask that run at once, each exactly once', async () => {
    await run('tables', 'create', 'crowd', '--key', 'id')
    const ids = Array.from({ length: 8 }, (_, id) => `${id}`)
    const done = await Promise.all(ids.map((id) => start('insert', 'crowd', `id=${id}`)))
    expect(done.map(({ code, signal, stderr }) => ({ code, signal, stderr }))).toEqual(
      ids.map(() => ({ code: 0, signal: null, stderr: '' })),
    )
    const seen = await Promise.all([1, 2, 3, 4].map(() => start('scan', 'crowd', '--json')))
    for (const { stdout } of seen) expect(jsonLines(stdout)).toHaveLength(ids.length)
  })

  it('watches from the start, from the rows there are, and after a token', async () => {
    await run('tables', 'create', 'seen', '--key', 'id')
    await run('put', 'seen', 'id=1', 'n=1')
    await run('put', 'seen', 'id=1', 'n=2')
    await run('delete', 'seen', '1')
    await run('put', 'seen', 'id=2')
    const all = await start('watch', 'seen', '--from', 'start', '--limit', '4')
    expect(all.stdout).toBe(
      'insert  1  {"id":1,"n":1}\nupdate  1  {"id":1,"n":2}\ndelete  1\ninsert  2  {"id":2}\n',
    )
    const lines = await run('watch', 'seen', '--from', 'start', '--limit', '3', '--json')
    const [first, , third] = jsonLines(lines.stdout)
    expect(first).toMatchObject({ kind: 'insert', key: 1, row: { id: 1, n: 1 } })
    expect(third).not.toHaveProperty('row')
    const after = ['--after', String(third?.['token']), '--limit', '1', '--json']
    expect(jsonLines((await run('watch', 'seen', ...after)).stdout)).toMatchObject([{ key: 2 }])
    const rows = await run('watch', 'seen', '--from', 'snapshot', '--limit', '1')
    expect(rows.stdout).toBe('row     2  {"id":2}\n')
  })

  it('imports exactly once and exports the same rows', async () => {
    const csv = 'id:number,v\n1,a\n2,b\n'
    writeFileSync(place.path('items.csv'), csv)
    const line = ['import', 'items', place.path('items.csv'), '--create', '--key', 'id']
    expect((await run(...line)).stderr).toContain('2 rows imported, 0 rejected')
    expect((await run(...line)).stderr).toContain('was imported into items before')
    expect((await run('export', 'items', '-', '--format', 'csv')).stdout).toBe(csv)
  })

  it('says which name was meant', async () => {
    const table = await run('scan', 'acounts', '--json')
    expect(table.code).toBe(1)
    const { error } = JSON.parse(table.stderr) as { error: object }
    expect(error).toHaveProperty('code', 'UnknownTable')
    expect(error).toHaveProperty('next', expect.stringContaining('did you mean accounts?'))
    const index = await run('query', 'accounts', '--index', 'byOwnr', '--eq', 'x')
    expect(index.stderr).toContain('did you mean byOwner?')
    const command = await run('quary', 'accounts')
    expect(command).toMatchObject({ code: 2, stdout: '' })
    expect(command.stderr).toContain('Did you mean query?')
  })
})

it('ends a watch at Ctrl-C with 130, and says how to go on', async () => {
  using place = new Workplace()
  const serving = await serveHttp(place.data)
  try {
    for (const target of [
      ['--dir', place.data],
      ['--url', serving.url],
    ]) {
      const table = `t${target.length}${target[0]?.length}`
      await standing(['tables', 'create', table, '--key', 'id', ...target])
      await standing(['put', table, 'id=1', ...target])
      const watching = holdfast(['watch', table, '--from', 'snapshot', ...target], {
        killOnOutput: { text: '{"id":1}', signal: 'SIGINT' },
      })
      const ended = await watching
      expect(ended.code).toBe(130)
      expect(ended.stderr).toMatch(/^interrupted\ngo on with: holdfast watch t\d+ --after hf1\./)
      const status = await holdfast(['status', '--watch', ...target], {
        killOnOutput: { text: 'nodes: 1 alive; lag 0; survives a crash', signal: 'SIGINT' },
      })
      expect(status).toMatchObject({ code: 130, stderr: 'interrupted\n' })
    }
  } finally {
    await serving.kill('SIGTERM')
  }
})
