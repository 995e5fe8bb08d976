/** What fuzzing found, each in its smallest form. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { open, strong, unvalidated, type Database } from '../../src/index.ts'
import { createHandler, type HttpHandler } from '../../src/server.ts'

const tables = {
  pairs: strong({ row: unvalidated<{ a: string; b: number }>(), key: ['a', 'b'] }),
}
let db: Database<typeof tables>
let handler: HttpHandler

beforeEach(async () => {
  db = await open({ memory: true, tables })
  handler = createHandler(db, { access: 'trusted' })
})
afterEach(() => db.close())

async function ask(method: string, path: string, body?: string): Promise<[number, unknown]> {
  const init = body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }
  const answer = await handler.fetch(new Request(`http://localhost${path}`, { method, ...init }))
  const { code } = (await answer.json()) as { code?: string }
  return [answer.status, code]
}

test.each(['a', '~["a"]', '~["a",1,2]', '~7'])(
  'the key %s of a table whose keys are pairs is refused',
  async (key) => {
    const row = `/v1/tables/pairs/rows/${key}`
    expect(await ask('DELETE', row)).toEqual([400, 'InvalidKey'])
    expect(await ask('PATCH', row, '{"set":{"c":1}}')).toEqual([400, 'InvalidKey'])
    const bulk = await handler.fetch(
      new Request('http://localhost/v1/tables/pairs/bulk', {
        method: 'POST',
        body: '{"delete":["a"]}',
        headers: { 'content-type': 'application/json' },
      }),
    )
    expect(await bulk.json()).toMatchObject({ results: [{ problem: { code: 'InvalidKey' } }] })
  },
)

test('asking for an import that is not there makes no table for it', async () => {
  const { position } = db.stats()
  expect(await ask('GET', '/v1/imports/none')).toEqual([200, undefined])
  expect(db.stats().tables.map(({ name }) => name)).toEqual(['pairs'])
  expect(db.stats().position).toBe(position)
})
