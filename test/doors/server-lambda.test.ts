// The same handler where there is no server of ours: on Lambda, and where there is fetch alone.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { stringifyWire } from '../../src/core/wire.ts'
import { open, strong, type Database } from '../../src/index.ts'
import { createHandler, lambdaHandler, type LambdaHandler } from '../../src/server.ts'
import type { Answered, Asked as WorkerAsked } from '../child/fetch-worker.ts'

interface Item {
  id: string
  bytes?: Uint8Array
}
const tables = { items: strong<Item>({ key: 'id' }) }

interface LambdaAnswer {
  readonly statusCode: number
  readonly body: string
  readonly isBase64Encoded: boolean
  readonly headers?: Readonly<Record<string, string>>
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[]>>
}

/** For a thread that runs from sources on a machine that has other work. */
const THREAD_LIMIT_MS = 180_000

let db: Database<typeof tables>
let run: LambdaHandler

beforeEach(async () => {
  db = await open({ memory: true, tables })
  run = lambdaHandler(createHandler(db, { access: 'trusted' }))
})
afterEach(() => db.close())

const invoke = async (event: object): Promise<LambdaAnswer> =>
  (await run(event as never)) as LambdaAnswer

interface Asked {
  readonly method: string
  readonly path: string
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly isBase64Encoded?: boolean
}
/** As API Gateway's HTTP APIs and function URLs send it. */
const v2 = ({ method, path, query = '', headers = {}, body, isBase64Encoded = false }: Asked) => ({
  version: '2.0',
  routeKey: '$default',
  rawPath: path,
  rawQueryString: query,
  headers: { host: 'abc.lambda-url.eu-central-1.on.aws', ...headers },
  requestContext: {
    accountId: 'anonymous',
    domainName: 'abc.lambda-url.eu-central-1.on.aws',
    http: { method, path, protocol: 'HTTP/1.1', sourceIp: '203.0.113.7', userAgent: 'curl' },
    stage: '$default',
  },
  ...(body === undefined ? {} : { body }),
  isBase64Encoded,
})
/** As API Gateway's REST APIs send it. */
const v1 = ({ method, path, query = '', headers = {}, body, isBase64Encoded = false }: Asked) => {
  const all = { Host: 'abc.execute-api.eu-central-1.amazonaws.com', ...headers }
  const parameters = new URLSearchParams(query)
  return {
    version: '1.0',
    resource: '/{proxy+}',
    path,
    httpMethod: method,
    headers: all,
    multiValueHeaders: Object.fromEntries(Object.entries(all).map(([k, v]) => [k, [v]])),
    queryStringParameters: query === '' ? null : Object.fromEntries(parameters),
    multiValueQueryStringParameters:
      query === ''
        ? null
        : Object.fromEntries([...parameters.keys()].map((k) => [k, parameters.getAll(k)])),
    requestContext: { httpMethod: method, path, stage: 'prod', domainName: all.Host },
    body: body ?? null,
    isBase64Encoded,
  }
}

const header = (answer: LambdaAnswer, name: string): string | undefined =>
  answer.headers?.[name] ?? answer.multiValueHeaders?.[name]?.[0]

for (const [name, event] of [
  ['an HTTP API or a function URL', v2],
  ['a REST API', v1],
] as const) {
  it(`writes and reads rows behind ${name}`, async () => {
    const headers = { 'content-type': 'application/json' }
    const row = { id: 'a/b é', bytes: Uint8Array.of(0, 255, 128) }
    const path = '/v1/tables/items/rows'
    const inserted = await invoke(
      event({ method: 'POST', path, headers, body: stringifyWire(row) }),
    )
    expect(inserted.statusCode).toBe(201)
    expect(header(inserted, 'holdfast-token')).toBeDefined()
    expect(await db.items.get(row.id)).toEqual(row)
    const got = await invoke(
      event({ method: 'GET', path: `${path}/${encodeURIComponent(row.id)}` }),
    )
    expect(got.statusCode).toBe(200)
    expect(got.isBase64Encoded).toBe(false)
    expect(got.body).toBe(stringifyWire(row))
    expect(header(got, 'etag')).toBeDefined()
    expect(header(got, 'content-type')).toContain('application/json')
  })

  it(`reads bodies that are sent as base64, and queries, behind ${name}`, async () => {
    const body = Buffer.from('{"id":"c"}').toString('base64')
    const inserted = await invoke(
      event({
        method: 'POST',
        path: '/v1/tables/items/rows',
        headers: { 'content-type': 'application/json' },
        body,
        isBase64Encoded: true,
      }),
    )
    expect(inserted.statusCode).toBe(201)
    const page = await invoke(
      event({ method: 'GET', path: '/v1/tables/items/query', query: 'eq=c&limit=1' }),
    )
    expect(JSON.parse(page.body)).toMatchObject({ rows: [{ id: 'c' }] })
  })

  it(`answers problems behind ${name}, and to feeds that there are none`, async () => {
    const missing = await invoke(event({ method: 'GET', path: '/v1/tables/items/rows/none' }))
    expect(missing.statusCode).toBe(404)
    expect(missing.isBase64Encoded).toBe(false)
    expect(JSON.parse(missing.body)).toMatchObject({ code: 'NotFound' })
    const feed = await invoke(event({ method: 'GET', path: '/v1/tables/items/feed' }))
    expect(feed.statusCode).toBe(501)
    expect(JSON.parse(feed.body)).toMatchObject({ code: 'Unsupported' })
    const probe = await invoke(event({ method: 'GET', path: '/livez' }))
    expect([probe.statusCode, probe.isBase64Encoded, probe.body]).toEqual([200, false, 'alive\n'])
  })

  it(`asks for tokens behind ${name} unless told otherwise`, async () => {
    run = lambdaHandler(createHandler(db))
    const refused = await invoke(event({ method: 'GET', path: '/v1/status' }))
    expect(refused.statusCode).toBe(401)
    expect(header(refused, 'www-authenticate')).toContain('Bearer')
  })
}

it('answers plain Requests, with nothing known of who sends them', async () => {
  const { fetch } = createHandler(db, { access: 'trusted' })
  const request = new Request('https://any.example.com/v1/tables/items/rows', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"id":"x"}',
  })
  expect((await fetch(request)).status).toBe(201)
  const head = new Request('https://any.example.com/v1/tables/items/rows/x', { method: 'HEAD' })
  const answer = await fetch(head)
  expect([answer.status, await answer.text()]).toEqual([200, ''])
})

it(
  'serves from a thread that has fetch alone',
  async () => {
    const worker = new Worker(new URL('../child/fetch-worker.mjs', import.meta.url))
    const ask = async (asked: WorkerAsked): Promise<Answered> => {
      worker.postMessage(asked)
      const [answered] = (await once(worker, 'message')) as [Answered]
      return answered
    }
    const rows = 'https://any.example.com/v1/tables/items/rows'
    expect(await ask({ method: 'POST', url: rows, body: '{"id":"x"}' })).toMatchObject({
      status: 201,
    })
    expect(await ask({ method: 'GET', url: `${rows}/x` })).toEqual({
      status: 200,
      body: '{"id":"x"}',
    })
    expect(await ask({ method: 'GET', url: `${rows}/y` })).toMatchObject({ status: 404 })
    await worker.terminate()
  },
  THREAD_LIMIT_MS,
)
