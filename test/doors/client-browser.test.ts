/** The client in a web page of another origin, in Chromium. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { chromium } from 'playwright-core'
import { expect, test } from 'vitest'
import { CHROMIUM_FLAGS, findChromium } from '../../scripts/chromium.mjs'
import { bundleClient } from './bundle-client.ts'
import { cleanUp, closeLater, openMemory, served } from './places.ts'
import { tables } from './tables.ts'

cleanUp()

/** What the page does; `url` is where the database is. */
const PAGE_SCRIPT = `
  import { connect, isHoldfastError } from '/client.js'
  window.run = async (url) => {
    const db = connect({ url })
    const feed = db.plain.watch()
    await db.plain.put({ k: 'a', n: 1, at: new Date(5), bytes: Uint8Array.of(1, 255), big: 3n })
    const row = await db.plain.get('a')
    const sum = await db.transact(async (tx) => {
      const [a, none] = await Promise.all([tx.plain.get('a'), tx.plain.get('none')])
      await tx.plain.insert({ k: 'b', n: a.n + 1 })
      return (await tx.plain.update('b', (b) => ({ ...b, n: b.n + 1 }))).n
    })
    const seen = []
    for await (const change of feed) {
      seen.push(change.kind + ' ' + change.key)
      if (seen.length === 2) break
    }
    let code = ''
    try {
      await db.plain.insert({ k: 'a', n: 1 })
    } catch (error) {
      code = isHoldfastError(error, 'AlreadyExists') ? error.code : String(error)
    }
    const updated = await db.plain.update('a', (before) => ({ ...before, n: before.n + 10 }))
    await db.close()
    const kept = row.at.getTime() === 5 && row.bytes.join() === '1,255' && row.big === 3n
    return { kept, sum, seen, code, n: updated.row.n, token: db.token.slice(0, 4) }
  }
  document.title = 'ready'
`

async function pageServer(): Promise<string> {
  const { text } = await bundleClient()
  const page = `<!doctype html><title>…</title><script type="module">${PAGE_SCRIPT}</script>`
  const server: Server = createServer((request, response) => {
    const isClient = request.url === '/client.js'
    const type = isClient ? 'text/javascript' : 'text/html; charset=utf-8'
    response.setHeader('content-type', type).end(isClient ? text : page)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  closeLater(
    () =>
      new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      }),
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('a web page reads, writes, transacts and watches', { timeout: 120_000 }, async (context) => {
  const executablePath = findChromium()
  if (executablePath === undefined) {
    const reason = 'NOT TESTED: no Chromium here; install one, or name it in CHROMIUM'
    process.stderr.write(`\n*** client-browser.test.ts: ${reason} ***\n`)
    context.skip(reason)
    return
  }
  const origin = await pageServer()
  const db = await openMemory(tables)
  const server = await served(db, { allowedOrigins: [origin] })
  const browser = await chromium.launch({ executablePath, args: CHROMIUM_FLAGS })
  closeLater(() => browser.close())
  const page = await browser.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(String(error)))
  await page.goto(origin)
  await page.waitForFunction(`document.title === 'ready'`)
  const told: unknown = await page.evaluate(`window.run(${JSON.stringify(server.url)})`)
  expect(told).toEqual({
    kept: true,
    sum: 3,
    seen: ['insert a', 'insert b'],
    code: 'AlreadyExists',
    n: 11,
    token: 'hf1.',
  })
  expect(faults).toEqual([])
  expect(await db.plain.get('a')).toMatchObject({ n: 11, big: 3n })
})
