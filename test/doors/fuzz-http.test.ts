/**
 * Requests of every kind against a folder: none is a 500, what fails is a problem that says all, and
 * nothing is touched that the request may not touch. HOLDFAST_FUZZ_RUNS and HOLDFAST_SEED turn it up
 * and repeat it.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { ERRORS } from '../../src/core/errors.ts'
import { systemEnv } from '../../src/core/system-env.ts'
import { parseWire, stringifyWire, type Value } from '../../src/core/wire.ts'
import { open, strong, unvalidated, type Database } from '../../src/index.ts'
import { tokenCalls } from '../../src/server/token-operations.ts'
import { createHandler, type HttpHandler } from '../../src/server.ts'
import { anything, fromOperation, type Asked, type Document, type Json } from './fuzz-requests.ts'

const account = z.object({ id: z.string(), n: z.number(), kind: z.enum(['x', 'y']).default('x') })
interface Loose {
  a: string
  b: number
  tag?: string
  n?: number
}
const tables = {
  accounts: strong({ row: account, key: 'id', indexes: { byKind: 'kind' } }),
  loose: strong({ row: unvalidated<Loose>(), key: ['a', 'b'], indexes: { byTag: 'tag' } }),
  ledger: strong({ row: account, key: 'id' }),
}
const RUNS = Number(process.env['HOLDFAST_FUZZ_RUNS'] ?? 600)
const SEED = Number(process.env['HOLDFAST_SEED'] ?? 1)
const HANG_MS = 20_000
const SMALL_CHARS = 20_000
const MEMBERS = ['type', 'title', 'status', 'detail', 'code', 'kind', 'applied', 'advice']

let dir: string
let db: Database<typeof tables>
let handler: HttpHandler
let document: Document
const tokens: Record<string, string> = {}
/** What was there after the last request. */
let stored: Map<string, string> | undefined
const faults: unknown[] = []
/** Operations that were accepted at least once. */
const succeeded = new Set<string>()
const counts = { all: 0, right: 0 }

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-fuzz-'))
  db = await open({ dir, tables })
  const calls = tokenCalls(db, systemEnv)
  for (const scope of ['read', 'write', 'operate'] as const) {
    tokens[scope] = (await calls.tokenCreate({ name: scope, scopes: [scope] })).token
  }
  handler = createHandler(db, {
    access: 'tokens',
    limits: { bodyBytes: 64 * 1024, bulkBodyBytes: 64 * 1024, pageRows: 50 },
    onProblem: (problem) => faults.push(problem),
  })
  const rows = [{ position: 0, row: { id: 'imported', n: 1 } }]
  const batch = { table: 'ledger', start: 0, end: 1, mode: 'put', rows }
  const imported = await send({
    method: 'POST',
    path: '/v1/imports/kept/batches',
    headers: {},
    body: JSON.stringify(batch),
    scope: 'write',
  })
  expect([imported.response.status, imported.text]).toEqual([200, imported.text])
  for (const id of ['a', 'b', 'c']) await db.ledger.put({ id, n: 1, kind: 'x' })
  const { response } = await send({ ...read('/v1/openapi.json'), scope: 'operate' })
  document = (await response.json()) as Document
  console.log(`fuzz: seed ${SEED}`)
})
afterAll(async () => {
  const { right, all } = counts
  console.log(`fuzz: ${right} of ${all} accepted, of ${succeeded.size} operations`)
  await db.close()
  await rm(dir, { recursive: true, force: true })
})

function read(path: string): Asked {
  return { method: 'GET', path, headers: {}, body: undefined, scope: 'read' }
}

async function send(asked: Asked): Promise<{ response: Response; text: string }> {
  const { method, path, headers, body, scope } = asked
  const all = new Headers(headers)
  if (scope !== 'none') all.set('authorization', `Bearer ${tokens[scope]}`)
  if (body !== undefined && !all.has('content-type')) all.set('content-type', 'application/json')
  const bodiless = body === undefined || method === 'GET' || method === 'HEAD'
  const request = new Request(`http://localhost:4653${path}`, {
    method,
    headers: all,
    ...(bodiless ? {} : { body }),
  })
  const response = await handler.fetch(request)
  if (response.headers.get('content-type') !== 'text/event-stream') {
    const copy = response.clone()
    return { response: copy, text: await response.text() }
  }
  const reader = response.body?.getReader()
  await reader?.read()
  await reader?.cancel()
  return { response, text: '' }
}

/** Everything that is stored, table by table, hidden ones too. */
async function contents(): Promise<Map<string, string>> {
  const all = new Map<string, string>()
  for (const { name, key, indexes } of db.stats().tables) {
    const rows = await db.table(name).query().toArray()
    all.set(name, stringifyWire([[...key], indexes, rows]))
  }
  return all
}

/** Makes good what a request may have done to tables and tokens as a whole. */
async function restore(before: Map<string, string>): Promise<void> {
  const names = db.stats().tables.map(({ name }) => name)
  for (const name of names) if (!before.has(name)) await db.drop(name)
  for (const [name, table] of Object.entries(tables)) await db.define(name, table as never)
}

const routes = (): { pattern: RegExp; item: Readonly<Record<string, Json>>; path: string }[] =>
  Object.entries(document.paths)
    .sort(([a], [b]) => a.split('{').length - b.split('{').length)
    .map(([path, item]) => ({
      pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
      item,
      path,
    }))

/** The operation that a request meets, by the document. */
function operationOf({ method, path }: Asked): Json | 'method' | undefined {
  const { pathname } = new URL(`http://localhost${path}`)
  const met = routes().filter(({ pattern }) => pattern.test(pathname))
  const wanted = method === 'HEAD' ? 'get' : method.toLowerCase()
  const operations = met.flatMap(({ item }) => item[wanted] ?? [])
  return (operations as Json[])[0] ?? (met.length > 0 ? 'method' : undefined)
}

function checkAnswer(asked: Asked, response: Response, text: string): void {
  const { status } = response
  expect({ status, text }).not.toMatchObject({ status: 500 })
  const operation = operationOf(asked)
  if (operation === undefined || operation === 'method') {
    // Hosts, tokens and preflights are looked at before routes are.
    expect([401, 403, 404, 405, 204]).toContain(status)
  } else {
    const declared = Object.keys(operation['responses'] as Json)
    expect({ status, text, isDeclared: declared.includes(String(status)) }).toMatchObject({
      isDeclared: true,
    })
    counts.all++
    if (status < 300) {
      counts.right++
      succeeded.add(String(operation['operationId']).split('.')[0] as string)
    }
  }
  if (status < 400 || asked.method === 'HEAD') return
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  const problem = parseWire(text) as Record<string, Value>
  for (const member of MEMBERS) expect(problem).toHaveProperty(member)
  expect(problem['status']).toBe(status)
  expect(Object.keys(ERRORS)).toContain(problem['code'])
  if (status === 405) expect(response.headers.get('allow')).toBeTruthy()
}

/** What is compared at every request stays small. */
async function keepSmall(after: Map<string, string>): Promise<void> {
  for (const [name, text] of after) {
    if (text.length < SMALL_CHARS || name.startsWith('_')) continue
    const table = db.table(name)
    const key = db.stats().tables.find((known) => known.name === name)?.key ?? []
    const keys = (await table.query().toArray()).map((row) =>
      key.length === 1 ? row[key[0] as string] : key.map((field) => row[field]),
    )
    await table.deleteMany(keys as string[])
    stored = undefined
  }
}

/** Tables that a request may change, by what it is; undefined for any that is not hidden. */
function mayChange({ method, path, scope }: Asked): RegExp | undefined {
  const { pathname } = new URL(`http://localhost${path}`)
  if (['GET', 'HEAD', 'OPTIONS', 'PROPFIND'].includes(method)) return /^$/
  if (scope === 'none' || scope === 'read') return /^$/
  if (pathname.startsWith('/v1/tokens')) return scope === 'operate' ? /^_tokens$/ : /^$/
  if (pathname.startsWith('/v1/imports/')) return /^(?:_imports|[^_].*)$/
  const table = /^\/v1\/tables\/([^/]+)/.exec(pathname)?.[1]
  if (table === undefined) return /^[^_]/
  const name = decodedOrNone(table)
  return name?.startsWith('_') === false && /^[\w-]+$/.test(name) ? new RegExp(`^${name}$`) : /^$/
}

function decodedOrNone(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function checkTouched(
  asked: Asked,
  refused: boolean,
  before: Map<string, string>,
  after: Map<string, string>,
): void {
  const allowed = refused ? /^$/ : mayChange(asked)
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    if (allowed?.test(name) === true) continue
    expect([name, after.get(name)]).toEqual([name, before.get(name)])
  }
}

/** After a row was accepted it is there as it was sent. */
async function checkModel(asked: Asked, status: number): Promise<void> {
  const { method, path, body, headers } = asked
  const place = /^\/v1\/tables\/(accounts|ledger|loose)\/rows(?:\/|\?|$)/.exec(path)
  const isWrite = method === 'PUT' || method === 'POST'
  if (place === null || !isWrite || status >= 300 || 'Idempotency-Key' in headers) return
  const sent = parseWire(body as string) as unknown as Loose
  const isLoose = place[1] === 'loose'
  const row = isLoose ? sent : account.parse(sent)
  const key = isLoose ? [sent.a, sent.b] : (row as { id: string }).id
  const found = await db.table(place[1] as string).get(key)
  expect(stringifyWire(found ?? null)).toBe(stringifyWire(row as unknown as Value))
}

async function check(asked: Asked): Promise<void> {
  const before = (stored ??= await contents())
  let hung: NodeJS.Timeout | undefined
  const hang = new Promise<never>((_resolve, reject) => {
    hung = setTimeout(() => reject(new Error('no answer')), HANG_MS)
  })
  faults.length = 0
  const { response, text } = await Promise.race([send(asked), hang])
  clearTimeout(hung)
  checkAnswer(asked, response, text)
  expect(faults).toEqual([])
  const refused = response.status >= 400 && response.status !== 504
  const after = await contents()
  stored = after
  checkTouched(asked, refused, before, after)
  await checkModel(asked, response.status)
  expect(Object.prototype).not.toHaveProperty('a')
  const tablesNow = db.stats().tables.map(({ name, indexes }) => [name, indexes.length])
  await keepSmall(after)
  if (JSON.stringify(tablesNow) === shapeOf(before)) return
  await restore(before)
  stored = undefined
}

function shapeOf(before: Map<string, string>): string {
  const parsed = [...before].map(([name, text]) => {
    const [, indexes] = parseWire(text) as [Value, Value[]]
    return [name, indexes.length]
  })
  return JSON.stringify(parsed)
}

/** Each operation as often as any other, of the paths of tables and of any table. */
function fromDocument(): fc.Arbitrary<Asked> {
  const all = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
  )
  const made = all.map(({ path, method, operation }) =>
    fromOperation(document, path, method, operation),
  )
  return fc.oneof(...made)
}

test('requests as the document says, and somewhat wrong ones', async () => {
  await fc.assert(fc.asyncProperty(fromDocument(), check), { seed: SEED, numRuns: RUNS })
}, 600_000)

test('writes to rows meet each other, and each is there as it was sent', async () => {
  const rows = Object.entries(document.paths).flatMap(([path, item]) =>
    /\/(?:accounts|loose)\/(?:rows|bulk|query|get-many)/.test(path)
      ? Object.entries(item).map(([method, each]) => fromOperation(document, path, method, each))
      : [],
  )
  // Changes made by chance name a field twice, or one that a row cannot do without: some are plain.
  const plain = Object.entries(document.paths).flatMap(([path, { patch }]) =>
    patch !== undefined && /\/(?:accounts|loose)\/rows/.test(path)
      ? [fromOperation(document, path, 'patch', patch)]
      : [],
  )
  const changes = plain.map((each) => each.map((asked) => ({ ...asked, body: '{"set":{"n":1}}' })))
  const numRuns = 2 * RUNS
  await fc.assert(fc.asyncProperty(fc.oneof(...rows, ...changes), check), { seed: SEED, numRuns })
}, 600_000)

test('any method on any path', async () => {
  await fc.assert(fc.asyncProperty(anything, check), { seed: SEED, numRuns: RUNS })
}, 600_000)

/** Requests of one operation that are tried until one of them is accepted. */
const TRIES = 300

test('what was asked was often right: only what is accepted sometimes proves anything', async () => {
  const core = [
    'putRow',
    'insertRow',
    'patchRow',
    'deleteRow',
    'getRow',
    'query',
    'bulk',
    'getMany',
  ]
  const all = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
  )
  for (const id of core) {
    const own = all
      .filter(({ operation }) => String(operation['operationId']).split('.')[0] === id)
      .map(({ path, method, operation }) => fromOperation(document, path, method, operation))
    for (const asked of fc.sample(fc.oneof(...own), { seed: SEED, numRuns: TRIES })) {
      if (succeeded.has(id)) break
      await check(asked)
    }
  }
  expect([...succeeded]).toEqual(expect.arrayContaining(core))
  expect(counts.right / counts.all).toBeGreaterThan(0.2)
}, 600_000)

test('with a token that may only read, nothing changes at all', async () => {
  const asReader = fromDocument().map((asked) => ({ ...asked, scope: 'read' as const }))
  await fc.assert(fc.asyncProperty(asReader, check), { seed: SEED, numRuns: RUNS / 2 })
}, 600_000)
