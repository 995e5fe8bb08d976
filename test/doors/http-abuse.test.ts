// What a clumsy or a hostile client sends: a coded refusal, never a failure, and nothing is touched.

import { afterEach, beforeEach, expect, it } from 'vitest'
import { ERRORS } from '../../src/core/errors.ts'
import { Api, type Answer } from './http-harness.ts'

let api: Api
beforeEach(async () => {
  api = await Api.over('memory', { bodyBytes: 10_000, bulkBodyBytes: 20_000, pageRows: 50 })
  await api.get('/v1/imports/x')
})
afterEach(async () => {
  expect(api.problems).toEqual([])
  await api.close()
})

/** A problem with a known code, of the client's making. */
function expectRefused(what: unknown, answer: Answer, ...statuses: number[]): void {
  expect([what, answer.status]).toEqual([what, expect.any(Number)])
  if (statuses.length > 0)
    expect([what, statuses]).toEqual([what, expect.arrayContaining([answer.status])])
  expect(answer.status).toBeGreaterThanOrEqual(400)
  expect(answer.status).toBeLessThan(500)
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(ERRORS).toHaveProperty(answer.body.code)
  expect(answer.body).toMatchObject({
    status: answer.status,
    applied: 'no',
    title: answer.body.code,
  })
}

const ROWS = '/v1/tables/things/rows'
const WRITES: [string, string][] = [
  ['PUT', `${ROWS}/a`],
  ['PUT', ROWS],
  ['POST', ROWS],
  ['PATCH', `${ROWS}/a`],
  ['POST', '/v1/tables/things/bulk'],
  ['POST', '/v1/tables/things/get-many'],
  ['POST', '/v1/transactions'],
  ['PUT', '/v1/tables/new'],
  ['POST', '/v1/imports/x/batches'],
  ['POST', '/v1/imports/x/finish'],
]

it('refuses bodies that are no objects, no JSON, or no UTF-8', async () => {
  const deep = '['.repeat(3_000) + ']'.repeat(3_000)
  const bodies: (string | Uint8Array)[] = [
    ...['', ' ', 'null', '1', '"x"', 'true', '[]', '[{}]', '{', '{"id":}', 'undefined', deep],
    ...['{"id":{"$date":"x"}}', '{"id":{"$other":1}}', '{"$bigint":"5"}', '{"$bytes":"AA=="}'],
    ...['{"$date":"2001-01-01T00:00:00.000Z"}', '{"__proto__":{"id":"a"}}'],
    ...['{"id":12345678901234567890}', '{"id":1e999}', '{"id":"\\ud800"}', '{"id":null}'],
    ...[
      '{"id":"a","__proto__":{"x":1}}',
      `{"id":"a","deep":${'{"a":'.repeat(100)}1${'}'.repeat(101)}`,
    ],
    ...['{"constructor":1}', '{"toString":{}}', '{"id":true}', '{"id":[null]}'],
    new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
    new Uint8Array([0xc3, 0x28]),
  ]
  for (const [method, path] of WRITES) {
    for (const raw of bodies) {
      const what = [method, path, String(raw).slice(0, 60)]
      const sent = typeof raw === 'string' ? raw : new Blob([raw])
      const headers = { 'content-type': 'application/json' }
      expectRefused(what, await api.call(method, path, { raw: sent, headers }), 400, 404, 413, 422)
    }
    const text = await api.call(method, path, {
      raw: '{}',
      headers: { 'content-type': 'text/xml' },
    })
    expectRefused([method, path, 'type'], text, 415)
  }
  expect(await api.db.things.count()).toBe(0)
})

it('takes no body that is coded, and never for what it would be uncoded', async () => {
  for (const [method, path] of WRITES) {
    for (const coding of ['gzip', 'br', 'deflate', 'GZIP', 'identity, gzip', 'x']) {
      const raw = '{"id":"coded"}'
      const answer = await api.call(method, path, { raw, headers: { 'content-encoding': coding } })
      expectRefused([method, path, coding], answer, 415)
    }
  }
  expect(await api.db.things.count()).toBe(0)
  const headers = { 'content-encoding': 'Identity' }
  expect((await api.call('PUT', ROWS, { raw: '{"id":"plain"}', headers })).status).toBe(200)
})

it('makes no number of digits without end', async () => {
  const long = '9'.repeat(5_000)
  const escaped = '\\u0039'.repeat(600) + long
  for (const digits of [long, escaped]) {
    const raw = `{"id":"a","n":{"$bigint":"${digits.slice(0, 9_000)}"}}`
    expectRefused('bigint', await api.call('PUT', ROWS, { raw }), 400)
    const form = raw.replace('$bigint', '\\u0024bigint')
    expectRefused('escaped form', await api.call('PUT', ROWS, { raw: form }), 400)
  }
  expect((await api.put(ROWS, { id: 'a', text: long })).status).toBe(200)
  expect((await api.put(ROWS, { id: 'b', big: 10n ** 4_000n })).status).toBe(200)
})

it('stops reading a body at the limit, announced or not', async () => {
  const announced = await api.call('PUT', ROWS, {
    raw: `{"id":"a","x":"${'x'.repeat(10_000)}"}`,
    headers: { 'content-length': '10016' },
  })
  expectRefused('announced', announced, 413)
  let pulled = 0
  let cancelled = false
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++
      controller.enqueue(new Uint8Array(1_000).fill(0x20))
    },
    cancel() {
      cancelled = true
    },
  })
  const streamed = await api.call('PUT', ROWS, { raw: endless })
  expectRefused('endless', streamed, 413)
  expect(streamed.body.details).toEqual({ limitBytes: 10_000 })
  expect(pulled).toBeLessThan(20)
  expect(cancelled).toBe(true)
  const lied = await api.call('PUT', ROWS, {
    raw: `{"id":"a","x":"${'x'.repeat(20_000)}"}`,
    headers: { 'content-length': '5' },
  })
  expectRefused('lied', lied, 413)
  const broken = new ReadableStream({
    pull: (controller) => controller.error(new Error('gone')),
  })
  expect((await api.call('PUT', ROWS, { raw: broken })).body).toMatchObject({
    ...{ code: 'Cancelled', applied: 'no' },
  })
  expect(await api.db.things.count()).toBe(0)
})

it('takes a path for one key alone, or refuses it', async () => {
  const odd = [
    'a/b',
    '',
    '.',
    '..',
    '~x',
    '%',
    'a%2Fb',
    '%2e%2e',
    ' +&?#=',
    'ü€😀',
    '\0',
    '"',
    '\\',
    '-0',
  ]
  for (const id of odd) await api.db.things.put({ id, is: id })
  const { keySegment } = await import('../../src/core/key-segment.ts')
  for (const id of odd) {
    const answer = await api.get(`${ROWS}/${keySegment(id)}`)
    expect([id, answer.status, answer.body.is]).toEqual([id, 200, id])
  }
  for (const segment of [
    '%',
    '%zz',
    '%ff',
    '%c3%28',
    '%ed%a0%80',
    'a%2',
    '~',
    '~x',
    '~{',
    '~null',
  ]) {
    expectRefused(segment, await api.get(`${ROWS}/${segment}`), 400)
    expectRefused(segment, await api.delete(`${ROWS}/${segment}`), 400)
  }
  for (const segment of [
    '~true',
    '~{}',
    '~[null]',
    '~{"$date":1}',
    '~1e999',
    '~12345678901234567890',
  ]) {
    expectRefused(segment, await api.get(`${ROWS}/${encodeURIComponent(segment)}`), 400)
  }
  expectRefused('long', await api.get(`${ROWS}/${'x'.repeat(5_000)}`), 413)
  expectRefused('part', await api.get('/v1/tables/%ff/rows/a'), 400)
  expectRefused('dots', await api.get(`${ROWS}/..`), 404, 405)
  expectRefused('slash', await api.get(`${ROWS}/a/b`), 404)
  expect(await api.db.things.count()).toBe(odd.length)
})

it('knows no table that is hidden, or an object of the language', async () => {
  for (const table of [
    '_imports',
    '_tokens',
    'constructor',
    '__proto__',
    'toString',
    'then',
    '%5Fimports',
  ]) {
    const at = `/v1/tables/${table}`
    const answers = [
      await api.get(at),
      await api.delete(at),
      await api.delete(`${at}/indexes/x`),
      await api.get(`${at}/rows/a`),
      await api.put(`${at}/rows/a`, { id: 'a', import: 'a', start: 1 }),
      await api.put(`${at}/rows`, { id: 'a', import: 'a', start: 1 }),
      await api.post(`${at}/rows`, { id: 'a', import: 'a', start: 1 }),
      await api.patch(`${at}/rows/a`, { set: { x: 1 } }),
      await api.patch(`${at}/rows/a`, { set: { x: 1 }, increment: { y: 1 } }),
      await api.delete(`${at}/rows/a`),
      await api.get(`${at}/query`),
      await api.get(`${at}/count`),
      await api.get(`${at}/groups?by=x`),
      await api.post(`${at}/get-many`, { keys: [] }),
      await api.post(`${at}/bulk`, { put: [{ id: 1 }] }),
      await api.get(`/v1/tables/things/groups?by=x&join=${table}`),
    ]
    for (const [i, answer] of answers.entries()) {
      expectRefused([table, i], answer, 404)
      expect([table, i, answer.body.code]).toEqual([table, i, 'UnknownTable'])
      expect(answer.body.details.tables).toEqual(['accounts', 'places', 'things', 'users'])
    }
  }
})

it('names parameters that it does not know, and those given twice', async () => {
  const bad = [
    ...['query?limt=1', 'query?limit=0', 'query?limit=-1', 'query?limit=51', 'query?limit=1e1'],
    ...['query?limit=1&limit=2', 'query?eq=1&eq=2', 'query?eq=~', 'query?eq=~{}', 'query?eq=%ff'],
    ...[
      'query?reverse=yes',
      'query?where=x',
      'query?where==1',
      'query?where=a={"',
      'query?cursor=x',
    ],
    ...['query?cursor=hfc1.0.0.0.00', 'query?cursor=', 'query?index=nope', 'query?index=__proto__'],
    ...['query?eq=1&gt=1', 'query?prefix=~1', 'query?__proto__=1', 'query?%00=1', 'query?=1'],
    ...['count?limit=1', 'count?reverse=true', 'groups', 'groups?by=', 'groups?by=x&limit=0'],
    ...['rows/a?x=1', 'rows/a?', 'groups?by=x&minRows=-1', 'count?eq=~null'],
  ]
  for (const path of bad) {
    const answer = await api.get(`/v1/tables/things/${path}`)
    if (path === 'rows/a?') expect(answer.body.code).toBe('NotFound')
    else if (path === 'groups?by=') expect(answer.status).toBe(200)
    else expectRefused(path, answer, 400, 404, 503, 410)
  }
  expect((await api.get('/v1/tables/things/query?limt=1')).body.detail).toContain('limt')
  expect((await api.get('/v1/tables?x=1')).status).toBe(400)
  expect((await api.get('/v1/status?x=1')).status).toBe(400)
})

it('says which methods a path has', async () => {
  const wrong: [string, string, string][] = [
    ['POST', `${ROWS}/a`, 'DELETE, GET, HEAD, PATCH, PUT'],
    ['GET', '/v1/transactions', 'POST'],
    ['PATCH', '/v1/tables', 'GET, HEAD'],
    ['DELETE', '/v1/tables/things/query', 'GET, HEAD'],
    ['GET', ROWS, 'POST, PUT'],
  ]
  for (const [method, path, allow] of wrong) {
    const answer = await api.call(method, path)
    expectRefused([method, path], answer, 405)
    expect([path, answer.headers.get('allow')]).toEqual([path, allow])
    expect(answer.body.code).toBe('UnknownRoute')
  }
  for (const path of [
    '/',
    '/v1',
    '/v1/',
    '/v2/tables',
    '/v1/tables/',
    '/v1/tables/things/',
    '//v1/tables',
  ]) {
    const answer = await api.call('PUT', path, { body: {} })
    expect([path, answer.status, answer.body.code]).toEqual([
      path,
      expect.any(Number),
      'UnknownRoute',
    ])
  }
})

it('refuses keys, tokens and levels in headers that are none', async () => {
  const headers: Record<string, string>[] = [
    { 'idempotency-key': '' },
    { 'idempotency-key': 'x'.repeat(300) },
    { 'holdfast-deadline-ms': '-1' },
    { 'if-match': 'x' },
  ]
  for (const each of headers) {
    expectRefused(each, await api.put(ROWS, { id: 'a' }, each), 400)
    expectRefused(each, await api.patch(`${ROWS}/a`, { set: { x: 1 } }, each), 400)
  }
  expect(await api.db.things.count()).toBe(0)
})

it('averages what has no average', async () => {
  await api.db.things.putMany([
    { id: 1, g: 'x', n: Number.MAX_VALUE },
    { id: 2, g: 'x', n: Number.MAX_VALUE },
    { id: 3, g: true, n: 1 },
  ])
  const answer = await api.get('/v1/tables/things/groups?by=g&avg=n')
  expect(answer.body.groups).toContainEqual({ value: 'x', rows: 2, average: null })
  expectRefused('join', await api.get('/v1/tables/things/groups?by=g&join=users'), 400)
})

it('ends the work of a client that went away, and at the deadline', async () => {
  await api.db.things.putMany(Array.from({ length: 5_000 }, (_, id) => ({ id, g: id })))
  const client = new AbortController()
  const slow = api.call('GET', '/v1/tables/things/groups?by=g', { signal: client.signal })
  client.abort()
  expect((await slow).body.code).toBe('Cancelled')
  const steps = Array.from({ length: 300 }, () => ({ table: 'things', op: 'count' }))
  const late = await api.post(
    '/v1/transactions',
    { steps, mode: 'try' },
    { 'holdfast-deadline-ms': '1' },
  )
  expect(late.body).toMatchObject({ code: 'DeadlineExceeded', applied: 'no' })
})
