// What operators ask for over HTTP: check and upkeep.

import { expect, it } from 'vitest'
import { open, strong } from '../../src/index.ts'
import { createHandler } from '../../src/server.ts'
import { Api, PLACES } from './http-harness.ts'

it.each(PLACES)('checks everything, in %s', async (place) => {
  const api = await Api.over(place)
  await api.db.users.putMany([
    { id: 1, email: 'a' },
    { id: 2, email: 'b' },
  ])
  const { status, body } = await api.post('/v1/check', null)
  expect(status).toBe(200)
  expect(body).toMatchObject({ ok: true, indexEntries: 2, problems: [], problemCount: 0 })
  expect((await api.call('POST', '/v1/check?x=1')).status).toBe(400)
  expect((await api.get('/v1/check')).status).toBe(405)
  await api.close()
})

it('checks once at a time, and stops when its client goes or the server does', async () => {
  const api = await Api.over('memory')
  await api.db.things.putMany(Array.from({ length: 5_000 }, (_, id) => ({ id })))
  const gone = new AbortController()
  const first = api.call('POST', '/v1/check', { signal: gone.signal })
  const second = await api.call('POST', '/v1/check')
  expect([second.status, second.body.code]).toEqual([429, 'Overloaded'])
  gone.abort()
  expect((await first).body.code).toBe('Cancelled')
  const third = api.call('POST', '/v1/check')
  await api.call('POST', '/v1/check')
  api.handler.drain()
  expect((await third).body.code).toBe('ShuttingDown')
  expect(api.problems).toEqual([])
  await api.close()
})

it('does now what is done in the background', async () => {
  const row = strong<{ id: number; until: Date }>({ key: 'id', ttl: 'until' })
  await using db = await open({ memory: true, tables: { row } })
  await db.row.put({ id: 1, until: new Date(0) })
  const handler = createHandler(db, { access: 'trusted' })
  const url = 'http://127.0.0.1:4653/v1/upkeep'
  const answer = await handler.fetch(new Request(url, { method: 'POST' }))
  expect(answer.status).toBe(204)
  expect(await db.row.count()).toBe(0)
})
