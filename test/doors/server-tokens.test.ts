// Tokens: who has one with the scope may, who has none, a wrong, an old or a revoked one may not.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { SocketSession } from '../../src/cli/socket-session.ts'
import { parseWire, stringifyWire } from '../../src/core/wire.ts'
import { open, strong, type Database } from '../../src/index.ts'
import { folderHolder, systemEnv } from '../../src/open.ts'
import { createHandlerOver, type HttpHandler } from '../../src/server/http/handler.ts'
import { tokenCalls, type NewToken } from '../../src/server/token-operations.ts'
import { serve } from '../../src/server.ts'
import { rawRequest, until } from './raw-http.ts'

interface Item {
  id: string
}
const tables = { items: strong<Item>({ key: 'id' }) }
const DAY_MS = 24 * 3_600_000

let dir: string
let db: Database<typeof tables>
let handler: HttpHandler
/** What the clock of the handler shows more than this machine's. */
let aheadMs: number
let calls: ReturnType<typeof tokenCalls>

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-tokens-'))
  db = await open({ dir, tables })
  await db.items.insert({ id: 'a' })
  aheadMs = 0
  const { clock } = systemEnv
  const env = {
    ...systemEnv,
    clock: { wallMs: () => clock.wallMs() + aheadMs, monotonicMs: () => clock.monotonicMs() },
  }
  handler = createHandlerOver(db, env, { access: 'tokens' })
  calls = tokenCalls(db, env)
})
afterEach(async () => {
  await db.close()
  rmSync(dir, { recursive: true, force: true })
})

const send = async (
  path: string,
  token?: string,
  method = 'GET',
  body?: unknown,
): Promise<Response> =>
  handler.fetch(
    new Request(`http://localhost${path}`, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: stringifyWire(body as never) }),
    }),
  )
const get = async (token?: string): Promise<number> =>
  (await send('/v1/tables/items/rows/a', token)).status
const insert = async (token: string, id: string): Promise<number> =>
  (await send('/v1/tables/items/rows', token, 'POST', { id })).status

it('lets each scope do what it names, and what is below it', async () => {
  const made: Record<string, string> = {}
  for (const scope of ['read', 'write', 'operate'] as const) {
    made[scope] = (await calls.tokenCreate({ name: scope, scopes: [scope] })).token
  }
  const statuses = async (token: string): Promise<readonly number[]> => [
    await get(token),
    await insert(token, token),
    (await send('/v1/tokens', token)).status,
    (await send('/metrics', token)).status,
  ]
  expect(await statuses(made['read'] as string)).toEqual([200, 403, 403, 200])
  expect(await statuses(made['write'] as string)).toEqual([200, 201, 403, 200])
  expect(await statuses(made['operate'] as string)).toEqual([200, 201, 200, 200])
})

it('refuses no token, wrong ones and other schemes alike, and never repeats them', async () => {
  expect(await get()).toBe(401)
  const { token, id } = await calls.tokenCreate({ name: 'a', scopes: ['operate'] })
  const last = token.at(-2) === 'A' ? 'B' : 'A'
  const wrong = [
    'x',
    'hf_',
    `${token}x`,
    `${token.slice(0, -2)}${last}${token.at(-1)}`,
    `hf_00000000_${token.slice(12)}`,
    token.toUpperCase(),
  ]
  const bodies = new Set<string>()
  for (const text of wrong) {
    const answer = await send('/v1/tables/items/rows/a', text)
    expect([text, answer.status]).toEqual([text, 401])
    expect(answer.headers.get('www-authenticate')).toContain('Bearer')
    const body = await answer.text()
    expect(body).not.toContain(text.slice(3, 20) || text)
    bodies.add(body)
  }
  // Whoever guesses learns nothing from the answers.
  expect(bodies.size).toBe(1)
  for (const authorization of [token, `Basic ${token}`, `Bearer ${token}, Bearer ${token}`]) {
    const request = new Request('http://localhost/v1/status', { headers: { authorization } })
    expect((await handler.fetch(request)).status).toBe(401)
  }
  expect((await send(`/v1/tables/items/rows/a?access_token=${token}`)).status).toBe(401)
  expect((await send(`/v1/tables/items/rows/a?token=${id}`)).status).toBe(401)
})

it('keeps no token in the folder, and shows it once', async () => {
  const { token, id } = await calls.tokenCreate({ name: 'once', scopes: ['read'] })
  const secret = token.slice(`hf_${id}_`.length)
  expect(stringifyWire((await calls.tokenList({})) as never)).not.toContain(secret)
  const files = readdirSync(dir).filter((name) => /^(data\.mdb|journal\.\d+)$/.test(name))
  const bytes = Buffer.concat(files.map((name) => readFileSync(join(dir, name))))
  expect(bytes.includes(secret)).toBe(false)
  expect(bytes.includes(Buffer.from(secret, 'base64url'))).toBe(false)
  expect(bytes.includes(id)).toBe(true)
})

it('stops a token that was revoked, in this process and by another handler', async () => {
  const { token, id } = await calls.tokenCreate({ name: 'a', scopes: ['read'] })
  expect(await get(token)).toBe(200)
  await calls.tokenRevoke({ id })
  await until(async () => (await get(token)) === 401)
  expect(await get(token)).toBe(401)
  await expect(calls.tokenRevoke({ id })).rejects.toMatchObject({ code: 'NotFound' })
})

it('stops a token that another process revoked through the socket of the folder', async () => {
  const { token, id } = await calls.tokenCreate({ name: 'a', scopes: ['read'] })
  expect(await get(token)).toBe(200)
  const holder = await folderHolder(dir)
  if (holder === undefined) throw new Error('nobody has the folder open')
  const session = await SocketSession.connect(dir, holder, new AbortController().signal)
  expect(await session?.call('tokenRevoke', { id })).toBeNull()
  await session?.close()
  await until(async () => (await get(token)) === 401)
})

it('takes none of two credentials: who is in front may have checked the other', async () => {
  const { token } = await calls.tokenCreate({ name: 'a', scopes: ['read'] })
  const server = await serve(db, { port: 0, access: 'tokens' })
  const good = `Authorization: Bearer ${token}`
  const ask = (...lines: string[]) =>
    rawRequest(server.port, 'GET /v1/tables/items/rows/a HTTP/1.1', ['Host: localhost', ...lines])
  try {
    expect((await ask(good)).status).toBe(200)
    expect((await ask(good, 'Authorization: Bearer other')).status).toBe(401)
    expect((await ask('authorization: Bearer other', good)).status).toBe(401)
  } finally {
    await server.close()
  }
})

it('gives a rotated token a new secret, and its old one the time that was asked for', async () => {
  const first = await calls.tokenCreate({ name: 'a', scopes: ['write'] })
  expect(await get(first.token)).toBe(200)
  const second = await calls.tokenRotate({ id: first.id, graceMs: DAY_MS })
  expect(second.id).toBe(first.id)
  expect(second.scopes).toEqual(['write'])
  await until(async () => (await get(second.token)) === 200)
  expect(await get(first.token)).toBe(200)
  aheadMs = DAY_MS + 1
  expect(await get(first.token)).toBe(401)
  expect(await get(second.token)).toBe(200)
  const third = await calls.tokenRotate({ id: first.id })
  await until(async () => (await get(second.token)) === 401)
  expect(await get(third.token)).toBe(200)
  await expect(calls.tokenRotate({ id: 'nothere0' })).rejects.toMatchObject({ code: 'NotFound' })
})

it('ends a token when its time is over', async () => {
  const expiresAt = new Date(Date.now() + DAY_MS)
  const { token } = await calls.tokenCreate({ name: 'a', scopes: ['read'], expiresAt })
  expect(await get(token)).toBe(200)
  aheadMs = DAY_MS + 1
  const answer = await send('/v1/tables/items/rows/a', token)
  expect(answer.status).toBe(401)
  expect(await answer.text()).toContain('expired')
})

it('stops a token at once that was revoked or rotated over HTTP', async () => {
  const { token } = await calls.tokenCreate({ name: 'root', scopes: ['operate'] })
  for (let i = 0; i < 20; i++) {
    const made = await calls.tokenCreate({ name: 'app', scopes: ['read'] })
    expect(await get(made.token)).toBe(200)
    if (i % 2 === 0) await send(`/v1/tokens/${made.id}`, token, 'DELETE')
    else await send(`/v1/tokens/${made.id}/rotate`, token, 'POST')
    expect(await get(made.token)).toBe(401)
  }
})

it('ends feeds whose token was revoked, rotated or has expired, and no others', async () => {
  const scopes = ['read'] as const
  const root = await calls.tokenCreate({ name: 'root', scopes: ['operate'] })
  const revoked = await calls.tokenCreate({ name: 'a', scopes })
  const rotated = await calls.tokenCreate({ name: 'b', scopes })
  const expiring = await calls.tokenCreate({
    name: 'c',
    scopes,
    expiresAt: new Date(Date.now() + DAY_MS),
  })
  const feedOf = async ({ token }: NewToken): Promise<string[]> => {
    const answer = await send('/v1/tables/items/feed', token)
    expect(answer.status).toBe(200)
    const chunks: string[] = []
    void (async () => {
      const decoder = new TextDecoder()
      for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
        chunks.push(decoder.decode(chunk))
      }
      chunks.push('THE END')
    })()
    await until(() => chunks.join('').includes('event: live'))
    return chunks
  }
  const all = await Promise.all([revoked, rotated, expiring, root].map(feedOf))
  const [first, second, third, last] = all.map((chunks) => (): string => chunks.join(''))
  await send(`/v1/tokens/${revoked.id}`, root.token, 'DELETE')
  await send(`/v1/tokens/${rotated.id}/rotate`, root.token, 'POST')
  await until(
    () => first?.().endsWith('THE END') === true && second?.().endsWith('THE END') === true,
  )
  expect(third?.()).not.toContain('THE END')
  aheadMs = DAY_MS + 1
  await until(() => third?.().endsWith('THE END') === true)
  for (const text of [first, second, third]) {
    expect(text?.()).toMatch(/event: problem\ndata: \{.*"code":"Unauthenticated"/)
    expect(text?.()).not.toContain('hf_')
  }
  await db.items.insert({ id: 'later' })
  await until(() => last?.().includes('"later"') === true)
  for (const text of [first, second, third]) expect(text?.()).not.toContain('"later"')
  handler.drain()
  await until(() => last?.().endsWith('THE END') === true)
}, 30_000)

it('makes, lists, rotates and revokes tokens over HTTP', async () => {
  const { token } = await calls.tokenCreate({ name: 'root', scopes: ['operate'] })
  const expiresAt = new Date(Date.now() + DAY_MS)
  const body = { name: 'app', scopes: ['read'], expiresAt }
  const created = await send('/v1/tokens', token, 'POST', body)
  expect(created.status).toBe(201)
  expect(created.headers.get('cache-control')).toBe('no-store')
  const made = parseWire(await created.text()) as unknown as NewToken
  expect(created.headers.get('location')).toBe(`/v1/tokens/${made.id}`)
  expect(made).toMatchObject({ name: 'app', scopes: ['read'], expiresAt })
  expect(await get(made.token)).toBe(200)
  const listed = await (await send('/v1/tokens', token)).text()
  expect(listed).not.toContain(made.token)
  const { tokens } = parseWire(listed) as { tokens: readonly { name: string }[] }
  expect(tokens.map(({ name }) => name)).toEqual(['root', 'app'])
  const rotated = await send(`/v1/tokens/${made.id}/rotate`, token, 'POST')
  expect(rotated.status).toBe(200)
  const next = parseWire(await rotated.text()) as unknown as NewToken
  await until(async () => (await get(made.token)) === 401)
  expect(await get(next.token)).toBe(200)
  const graced = await send(`/v1/tokens/${made.id}/rotate`, token, 'POST', { graceMs: 1000 })
  expect(graced.status).toBe(200)
  expect((await send(`/v1/tokens/${made.id}`, token, 'DELETE')).status).toBe(204)
  expect((await send(`/v1/tokens/${made.id}`, token, 'DELETE')).status).toBe(404)
})

it('passes over nothing that a request for a token says', async () => {
  const { token, id } = await calls.tokenCreate({ name: 'root', scopes: ['operate'] })
  const body = { name: 'a', scopes: ['read'] }
  for (const [method, path, sent] of [
    ['POST', '/v1/tokens?expiresAt=2030', body],
    ['GET', '/v1/tokens?scope=read', undefined],
    ['POST', `/v1/tokens/${id}/rotate?graceMs=1000`, undefined],
    ['DELETE', `/v1/tokens/${id}?dryRun=true`, undefined],
    ['DELETE', '/v1/tokens/%ff', undefined],
  ] as const) {
    expect([path, (await send(path, token, method, sent)).status]).toEqual([path, 400])
  }
  expect((await calls.tokenList({})).map((each) => each.id)).toEqual([id])
  expect(await get(token)).toBe(200)
})

it('refuses tokens without name, scopes or future', async () => {
  const { token } = await calls.tokenCreate({ name: 'root', scopes: ['operate'] })
  for (const body of [
    {},
    { name: 'a' },
    { name: 'a', scopes: [] },
    { name: 'a', scopes: ['admin'] },
    { name: 'a', scopes: 'read' },
    { name: '', scopes: ['read'] },
    { name: 'a'.repeat(129), scopes: ['read'] },
    { name: 'a', scopes: ['read'], expiresAt: new Date(0) },
    { name: 'a', scopes: ['read'], expiresAt: 'tomorrow' },
    { name: 'a', scopes: ['read'], more: 1 },
  ]) {
    const answer = await send('/v1/tokens', token, 'POST', body)
    expect([body, answer.status]).toEqual([body, 400])
  }
  const { tokens } = parseWire(await (await send('/v1/tokens', token)).text()) as { tokens: [] }
  expect(tokens.length).toBe(1)
})

it('shows the table of tokens to nobody', async () => {
  const { token } = await calls.tokenCreate({ name: 'root', scopes: ['operate'] })
  expect((await send('/v1/tables/_tokens/rows/a', token)).status).toBe(404)
  expect(await (await send('/metrics', token)).text()).not.toContain('_tokens')
})

it('says that it is alive and ready without a token', async () => {
  for (const path of ['/livez', '/readyz', '/startupz']) {
    expect([path, (await send(path)).status]).toEqual([path, 200])
  }
  expect((await send('/metrics')).status).toBe(401)
})

it('stops listening to tokens when the database is closed', async () => {
  const { token } = await calls.tokenCreate({ name: 'a', scopes: ['read'] })
  expect(await get(token)).toBe(200)
  await db.close()
  await until(async () => (await get(token)) === 503)
})

it('serves other machines where there is a token', async () => {
  const { token } = await calls.tokenCreate({ name: 'a', scopes: ['read'] })
  const server = await serve(db, { host: '0.0.0.0', port: 0 })
  expect(server.access).toBe('tokens')
  const url = `http://127.0.0.1:${server.port}/v1/tables/items/rows/a`
  expect((await fetch(url)).status).toBe(401)
  const headers = { authorization: `Bearer ${token}` }
  expect((await fetch(url, { headers })).status).toBe(200)
  await server.close()
})
