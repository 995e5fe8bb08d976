// A database served on a port of this machine, as `serve` does it.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { open, strong, type Database } from '../../src/index.ts'
import { serve, type HttpServer } from '../../src/server.ts'

interface Item {
  id: string
  text: string
}
const tables = { items: strong<Item>({ key: 'id' }) }

let db: Database<typeof tables>
let server: HttpServer

beforeEach(async () => {
  db = await open({ memory: true, tables })
  server = await serve(db, { port: 0 })
})
afterEach(async () => {
  await server.close()
  await db.close()
})

it('serves rows on a port of its own choice', async () => {
  await db.items.insert({ id: 'a', text: 'one' })
  const answer = await fetch(`${server.url}/v1/tables/items/rows/a`)
  expect(answer.status).toBe(200)
  expect(await answer.json()).toEqual({ id: 'a', text: 'one' })
})
