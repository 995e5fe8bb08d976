/** The API document: valid OpenAPI 3.1, true to the routes there are, and to the tables of now. */
import { Validator } from '@seriousme/openapi-schema-validator'
import { type } from 'arktype'
import { Hono } from 'hono'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { systemEnv } from '../../src/core/system-env.ts'
import { open, strong, unvalidated, type Database } from '../../src/index.ts'
import { HttpMetrics } from '../../src/server/http/http-metrics.ts'
import { addRoutes } from '../../src/server/http/handler.ts'
import { HTTP_LIMITS } from '../../src/server/http/limits.ts'
import type { HttpEnv, HttpParts } from '../../src/server/http/parts.ts'
import { operations } from '../../src/server/operations.ts'
import { createHandler, type HttpHandler } from '../../src/server.ts'

interface Node {
  name: string
  kids: Node[]
}
const node: z.ZodType<Node> = z.object({
  name: z.string(),
  get kids() {
    return z.array(node)
  },
})
const tables = {
  accounts: strong({
    row: z.object({
      id: z.string(),
      balance: z.bigint(),
      opened: z.date().optional(),
      kind: z.enum(['a', 'b']).default('a'),
    }),
    key: 'id',
    indexes: { byKind: 'kind' },
  }),
  trees: strong({ row: z.object({ id: z.number(), root: node }), key: 'id' }),
  items: strong({ row: type({ sku: 'string', 'at?': 'Date', n: 'bigint' }), key: 'sku' }),
  loose: strong({
    row: unvalidated<{ a: string; b: number; tag?: string }>(),
    key: ['a', 'b'],
    indexes: { byTag: { unique: 'tag' } },
  }),
}

type Json = Record<string, unknown>
interface Document extends Json {
  paths: Record<string, Record<string, Json>>
  components: { schemas: Record<string, Json> }
}

let db: Database<typeof tables>
let handler: HttpHandler

beforeEach(async () => {
  db = await open({ memory: true, tables })
  handler = createHandler(db, { access: 'trusted' })
})
afterEach(() => db.close())

const get = async (path: string, init?: RequestInit): Promise<Response> =>
  handler.fetch(new Request(`http://127.0.0.1:4653${path}`, init))

async function document(): Promise<Document> {
  return (await (await get('/v1/openapi.json')).json()) as Document
}

async function expectValid(specification: Json): Promise<void> {
  expect(await new Validator().validate(specification)).toEqual({ valid: true })
}

/** `METHOD path` of everything that the handler's router has. */
function routes(): Set<string> {
  const app = new Hono<HttpEnv>()
  const parts: HttpParts = {
    db,
    env: systemEnv,
    operations: operations(db, systemEnv),
    limits: HTTP_LIMITS,
    metrics: new HttpMetrics(),
    scope: () => () => undefined,
    tokenChanged: () => undefined,
    onProblem: () => undefined,
    stopping: new AbortController().signal,
  }
  addRoutes(app, parts)
  return new Set(
    app.routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`),
  )
}

test('is valid OpenAPI 3.1, with tables and without', async () => {
  await expectValid(await document())
  for (const name of Object.keys(tables)) await db.drop(name)
  const empty = await document()
  expect(Object.keys(empty.paths).some((path) => path.includes('accounts'))).toBe(false)
  await expectValid(empty)
})

test('the validator finds what is wrong', async () => {
  const broken = await document()
  delete broken.paths['/v1/tables']?.['get']?.['responses']
  const { valid } = (await new Validator().validate({ ...broken, info: {} })) as { valid: boolean }
  expect(valid).toBe(false)
})

test('documents every route there is, and no other', async () => {
  const { paths } = await document()
  const documented = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const general = documented.filter((route) =>
    Object.keys(tables).every((name) => !route.includes(`/${name}`)),
  )
  expect(new Set(general)).toEqual(routes())
  const perTable = general.filter((route) => route.includes('{table}')).length
  expect(documented).toHaveLength(general.length + perTable * Object.keys(tables).length)
})

test('every reference leads somewhere, and every id is one route', async () => {
  const made = await document()
  const references = [...JSON.stringify(made).matchAll(/"\$ref":"([^"]+)"/g)].map(([, to]) => to)
  for (const to of new Set(references)) {
    let found: unknown = made
    for (const part of (to as string).slice(2).split('/')) found = (found as Json)[part]
    expect([to, typeof found]).toEqual([to, 'object'])
  }
  const ids = Object.values(made.paths).flatMap((item) =>
    Object.values(item).map(({ operationId }) => operationId),
  )
  expect(new Set(ids).size).toBe(ids.length)
})

test('rows are as their schemas say, in wire form', async () => {
  const { schemas } = (await document()).components
  const bigint = { $ref: '#/components/schemas/BigInt' }
  expect(schemas['Row.accounts.written']).toMatchObject({
    properties: {
      id: { type: 'string' },
      balance: bigint,
      opened: { $ref: '#/components/schemas/Date' },
      kind: { enum: ['a', 'b'] },
    },
    required: ['id', 'balance'],
  })
  expect(schemas['Row.accounts.stored']).toMatchObject({ required: ['id', 'balance', 'kind'] })
  expect(schemas['Row.items.written']).toMatchObject({
    properties: { sku: { type: 'string' }, n: bigint, at: { $ref: '#/components/schemas/Date' } },
  })
  const root = (schemas['Row.trees.written'] as { properties: { root: { $ref: string } } })
    .properties.root
  expect(root.$ref).toMatch(/^#\/components\/schemas\/Row\.trees\.written\./)
  expect(schemas['Row.loose.written']).toMatchObject({
    properties: { a: { $ref: '#/components/schemas/KeyPart' }, tag: {} },
    required: ['a', 'b'],
  })
})

test('a table without a schema of this process is described by key and indexes', async () => {
  await db.define('late', strong<{ id: string }>({ key: 'id' }))
  const made = await document()
  expect(made.components.schemas['Row.late.stored']).toMatchObject({ required: ['id'] })
  expect(made.paths['/v1/tables/late/rows/{key}']).toBeDefined()
  await expectValid(made)
})

test('is made again when a definition changes, and not otherwise', async () => {
  const first = await get('/v1/openapi.json')
  const etag = first.headers.get('etag') as string
  await db.loose.put({ a: 'x', b: 1 })
  const same = await get('/v1/openapi.json', { headers: { 'if-none-match': etag } })
  expect([same.status, await same.text()]).toEqual([304, ''])
  await db.dropIndex('loose', 'byTag')
  const other = await get('/v1/openapi.json', { headers: { 'if-none-match': etag } })
  expect(other.status).toBe(200)
})

test("the database's own tables are in neither document nor page", async () => {
  await db.define('_tokens', strong<{ id: string }>({ key: 'id' }))
  expect(JSON.stringify((await document()).paths)).not.toContain('_tokens')
  expect(await (await get('/docs')).text()).not.toContain('_tokens')
})
