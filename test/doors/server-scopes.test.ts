// Every route, with every scope and with none: the API's own description says what each needs.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { stringifyWire, type Value } from '../../src/core/wire.ts'
import { open, strong, type Database } from '../../src/index.ts'
import { systemEnv } from '../../src/open.ts'
import { createHandler, type HttpHandler, type Scope } from '../../src/server.ts'
import { tokenCalls } from '../../src/server/token-operations.ts'

interface Item {
  id: string
}
const tables = { items: strong<Item>({ key: 'id', indexes: { byId: 'id' } }) }
type Needed = Scope | 'none'
interface Route {
  readonly method: string
  readonly path: string
  readonly needed: Needed
}
const SCOPES: readonly Scope[] = ['read', 'write', 'operate']
const HIDDEN = '_tokens'
const JSON_BODY = { 'content-type': 'application/json' }

let db: Database<typeof tables>
let handler: HttpHandler
let made: Readonly<Record<Scope, string>>
let problems: Error[]

const tokenFor = async (scope: Scope): Promise<string> =>
  (await tokenCalls(db, systemEnv).tokenCreate({ name: scope, scopes: [scope] })).token

beforeEach(async () => {
  problems = []
  db = await open({ memory: true, tables })
  await db.items.insert({ id: 'a' })
  handler = createHandler(db, { onProblem: (problem) => problems.push(problem) })
  made = {
    read: await tokenFor('read'),
    write: await tokenFor('write'),
    operate: await tokenFor('operate'),
  }
})
afterEach(async () => {
  handler.drain()
  await db.close()
  expect(problems).toEqual([])
})

interface Sent {
  readonly token?: string | undefined
  readonly body?: Value | undefined
  readonly headers?: Readonly<Record<string, string>>
}

async function send(
  method: string,
  path: string,
  { token, body, headers }: Sent = {},
): Promise<{ readonly status: number; readonly text: string }> {
  const gone = new AbortController()
  const request = new Request(`http://db.example${path}`, {
    method,
    signal: gone.signal,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : JSON_BODY),
      ...headers,
    },
    ...(body === undefined ? {} : { body: stringifyWire(body) }),
  })
  const answer = await handler.fetch(request)
  const isStream = !/json|text\/(?:plain|html)/.test(answer.headers.get('content-type') ?? '')
  const text = isStream ? '' : await answer.text()
  if (isStream) await answer.body?.cancel()
  gone.abort()
  return { status: answer.status, text }
}

/** All there are; another test holds that the description has every route of the router. */
async function routes(): Promise<readonly Route[]> {
  const { text } = await send('GET', '/v1/openapi.json', { token: made.read })
  const { paths } = JSON.parse(text) as {
    paths: Record<string, Record<string, { description: string }>>
  }
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { description }]): Route => {
      const needed = /Needs the scope `(\w+)`\.$/.exec(description)?.[1] as Scope | undefined
      if (needed === undefined) expect(description).toContain('Needs no token.')
      return { method: method.toUpperCase(), path, needed: needed ?? 'none' }
    }),
  )
}

const filled = (path: string, table: string): string =>
  path.replace('{table}', table).replaceAll(/\{\w+\}/g, 'nothere')
const takesBody = (method: string): boolean => method !== 'GET' && method !== 'DELETE'
const bodyFor = ({ method, path }: Route, table = 'items'): Value | undefined => {
  if (!takesBody(method)) return undefined
  return path === '/v1/transactions' ? { steps: [{ table, op: 'count' }] } : {}
}

it('lets nobody in without a good token, but to what says that it needs none', async () => {
  const all = await routes()
  expect(all.length).toBeGreaterThan(30)
  const open = all.filter(({ needed }) => needed === 'none').map(({ path }) => path)
  expect(open.sort()).toEqual(['/', '/docs', '/livez', '/readyz', '/startupz'])
  const { operate } = made
  const wrong = [undefined, `${operate.slice(0, -2)}aa`, operate.replace(/^hf_/, 'hf_0'), 'x']
  for (const route of all.filter(({ needed }) => needed !== 'none')) {
    for (const token of wrong) {
      const path = filled(route.path, 'items')
      const sent = { token, body: bodyFor(route) }
      expect([route, (await send(route.method, path, sent)).status]).toEqual([route, 401])
    }
    if (route.method !== 'GET') continue
    expect([route, (await send('HEAD', filled(route.path, 'items'))).status]).toEqual([route, 401])
  }
})

it('holds each route to the scope that its description names', async () => {
  for (const route of await routes()) {
    if (route.needed === 'none') continue
    for (const scope of SCOPES) {
      const path = filled(route.path, 'nothere')
      const sent = { token: made[scope], body: bodyFor(route) }
      const { status } = await send(route.method, path, sent)
      const mayPass = SCOPES.indexOf(scope) >= SCOPES.indexOf(route.needed)
      const isRefused = status === 401 || status === 403
      expect([route, scope, status, isRefused]).toEqual([route, scope, status, !mayPass])
    }
  }
})

it('lets who may read make transactions of reads, and no other', async () => {
  const transact = async (steps: Value, scope: Scope, more: object = {}, headers = {}) =>
    (
      await send('POST', '/v1/transactions', {
        token: made[scope],
        body: { steps, ...more },
        headers,
      })
    ).status
  const reads = [
    { table: 'items', op: 'get', key: 'a' },
    { table: 'items', op: 'getMany', keys: ['a'] },
    { table: 'items', op: 'has', key: 'a' },
    { table: 'items', op: 'query' },
    { table: 'items', op: 'count' },
  ]
  expect(await transact(reads, 'read')).toBe(200)
  expect(await transact(reads, 'read', { mode: 'try' })).toBe(200)
  expect(await transact(reads, 'read', {}, { 'idempotency-key': 'k' })).toBe(403)
  const writes = [
    { table: 'items', op: 'insert', row: { id: 'b' } },
    { table: 'items', op: 'put', row: { id: 'a' } },
    { table: 'items', op: 'delete', key: 'a' },
    ...['increment', 'decrement', 'min', 'max', 'append', 'patch'].map((op) => ({
      table: 'items',
      op,
      key: 'a',
      fields: {},
    })),
  ]
  for (const write of writes) {
    for (const mode of ['try', 'commit']) {
      expect([write, await transact([...reads, write], 'read', { mode })]).toEqual([write, 403])
    }
  }
  expect(await transact([...reads, ...writes.slice(0, 1)], 'write')).toBe(200)
  expect(await db.items.count()).toBe(2)
})

it('reaches no hidden table by any route, whatever it is spelled as', async () => {
  const before = stringifyWire((await tokenCalls(db, systemEnv).tokenList({})) as never)
  const token = made.operate
  for (const route of (await routes()).filter(({ path }) => path.includes('{table}'))) {
    for (const name of [HIDDEN, '%5Ftokens', '_%74okens', '_imports']) {
      const body = bodyFor(route, HIDDEN)
      const { status, text } = await send(route.method, filled(route.path, name), { token, body })
      expect([route, name, status === 400 || status === 404]).toEqual([route, name, true])
      expect(text).not.toMatch(/createdAt|"hash"/)
    }
  }
  const row = { id: 'x', hash: new Uint8Array(32) }
  for (const [method, path, body] of [
    ['POST', '/v1/transactions', { steps: [{ table: HIDDEN, op: 'query' }] }],
    ['POST', '/v1/transactions', { steps: [{ table: HIDDEN, op: 'put', row }] }],
    ['POST', '/v1/transactions', { steps: [{ table: HIDDEN, op: 'query' }], mode: 'try' }],
    ['GET', `/v1/tables/items/groups?by=id&join=${HIDDEN}`, undefined],
    [
      'POST',
      '/v1/imports/i/batches',
      { table: HIDDEN, start: 0, end: 1, mode: 'put', rows: [{ position: 0, row }] },
    ],
    ['POST', '/v1/imports/i/finish', { file: 'f', table: HIDDEN }],
  ] as const) {
    const { text } = await send(method, path, { token, body })
    expect([path, body, text.includes('UnknownTable')]).toEqual([path, body, true])
    expect(text).not.toMatch(/createdAt|"hash"/)
  }
  for (const path of ['/v1/tables', '/v1/status', '/v1/openapi.json', '/metrics', '/docs']) {
    expect([path, (await send('GET', path, { token })).text.includes(HIDDEN)]).toEqual([
      path,
      false,
    ])
  }
  expect(stringifyWire((await tokenCalls(db, systemEnv).tokenList({})) as never)).toBe(before)
})

it('makes the first token over HTTP for nobody', async () => {
  const empty = await open({ memory: true })
  const bare = createHandler(empty)
  const body = stringifyWire({ name: 'mine', scopes: ['operate'] })
  const invented = `hf_00000000_${'a'.repeat(43)}`
  for (const authorization of [undefined, `Bearer ${invented}`]) {
    const answer = await bare.fetch(
      new Request('http://localhost/v1/tokens', {
        method: 'POST',
        headers: { ...JSON_BODY, ...(authorization === undefined ? {} : { authorization }) },
        body,
      }),
    )
    expect(answer.status).toBe(401)
  }
  expect(await tokenCalls(empty, systemEnv).tokenList({})).toEqual([])
  await empty.close()
})

it('shows tables on its page to who may read them alone, whoever asked before', async () => {
  const other = createHandler(db)
  for (let i = 0; i < 3; i++) {
    for (const token of [undefined, made.read, 'x']) {
      for (const host of ['db.example', 'other.example']) {
        const headers = {
          host,
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        }
        const answer = await other.fetch(new Request(`http://${host}/docs`, { headers }))
        const text = await answer.text()
        expect([token, host, text.includes('Table items')]).toEqual([
          token,
          host,
          token === made.read,
        ])
        expect(text).toContain(`http://${host}/`)
        expect(text).not.toContain(made.read)
      }
    }
  }
})
