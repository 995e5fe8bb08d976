/** The client where there is nothing but the Fetch API: as in workers, Bun and edge runtimes. */
import { createContext, runInContext } from 'node:vm'
import { expect, test } from 'vitest'
import { createHandler } from '../../src/server.ts'
import { bundleClient } from './bundle-client.ts'
import { cleanUp, openMemory } from './places.ts'
import { tables } from './tables.ts'

cleanUp()

/** All that the runtime has beside the language. */
const GLOBALS = {
  fetch,
  Request,
  Response,
  Headers,
  URL,
  AbortController,
  TextEncoder,
  TextDecoder,
  atob,
  btoa,
  crypto: { getRandomValues: crypto.getRandomValues.bind(crypto) },
  setTimeout,
  clearTimeout,
}

const SCRIPT = `
  const db = holdfast.connect({ url: 'http://holdfast.test', fetch: send })
  const feed = db.plain.watch()
  const bytes = Uint8Array.of(1, 2, 255)
  await db.plain.insert({ k: 'a', n: 1, bytes, at: new Date(5), big: 2n ** 70n })
  const total = await db.transact(async (tx) => {
    const row = await tx.plain.get('a')
    await tx.plain.put({ k: 'b', n: row.n + 1 })
    return (await tx.plain.query().toArray()).length
  })
  const seen = []
  for await (const { kind, key } of feed) {
    seen.push(kind + ' ' + key)
    if (seen.length === 2) break
  }
  const row = await db.plain.get('a')
  const same = row.bytes.join() === '1,2,255' && row.big === 2n ** 70n && row.at.getTime() === 5
  const code = await db.plain.insert({ k: 'a', n: 1 }).catch((error) => error.code)
  await db.close()
  report(JSON.stringify({ total, seen, same, code, buffer: typeof Buffer, node: typeof process }))
`

test('it needs nothing but the Fetch API', async () => {
  const db = await openMemory(tables)
  const handler = createHandler(db, { access: 'trusted' })
  let told = ''
  const context = createContext({
    ...GLOBALS,
    send: (request: Request) => handler.fetch(request),
    report: (text: string) => (told = text),
  })
  const { text } = await bundleClient('iife')
  runInContext(text, context)
  await runInContext(`(async () => {${SCRIPT}})()`, context)
  expect(JSON.parse(told)).toEqual({
    total: 2,
    seen: ['insert a', 'insert b'],
    same: true,
    code: 'AlreadyExists',
    buffer: 'undefined',
    node: 'undefined',
  })
})
