/** The page of the API: its commands work against the server that shows it. */
import { execFile } from 'node:child_process'
import { hash } from 'node:crypto'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { open, strong, unvalidated, type Database } from '../../src/index.ts'
import { createHandler, serve, type HttpServer } from '../../src/server.ts'

const tables = {
  accounts: strong({
    row: z.object({ id: z.string(), owner: z.email(), at: z.date(), n: z.int().min(5) }),
    key: 'id',
    indexes: { byOwner: 'owner' },
  }),
  'odd-name_1': strong({ row: unvalidated<{ a: string; b: bigint }>(), key: ['a', 'b'] }),
}
const run = promisify(execFile)

let db: Database<typeof tables>
let server: HttpServer

beforeEach(async () => {
  db = await open({ memory: true, tables })
  server = await serve(db, { port: 0, access: 'trusted' })
})
afterEach(async () => {
  await server.close()
  await db.close()
})

const page = async (): Promise<string> => (await fetch(`${server.url}/docs`)).text()
const unescaped = (html: string): string =>
  html
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')

test('every command of a table can be pasted, and is answered as it should', async () => {
  const html = await page()
  const commands = [...html.matchAll(/<code>(curl [^<]*)<\/code>/g)]
    .map(([, command]) => unescaped(command as string))
    .filter((command) => /tables\/(?:accounts|odd-name_1)(?:\/|$|\s)/.test(command))
    .filter((command) => !command.endsWith('-N') && !command.includes('/indexes/'))
  expect(commands.length).toBeGreaterThan(30)
  expect(commands.some((command) => /DELETE \S+tables\/[\w-]+$/.test(command))).toBe(false)
  for (const command of commands) {
    const { stdout } = await run('sh', ['-c', `${command} -s -o /dev/null -w '%{http_code}'`])
    // A row may be there already, or be gone already: the same commands are shown twice.
    expect(`${command} → ${stdout}`).toMatch(/ → (?:20\d|404|409)$/)
  }
  const puts = commands.filter((command) => command.includes('-X PUT'))
  for (const command of puts) {
    const { stdout } = await run('sh', ['-c', `${command} -s -o /dev/null -w '%{http_code}'`])
    expect([command, stdout]).toEqual([command, '200'])
  }
  expect(await db.accounts.count()).toBe(1)
  expect(await db['odd-name_1'].count()).toBe(1)
})

test('lets nothing in from elsewhere, and needs nothing from there', async () => {
  const answer = await fetch(`${server.url}/docs`)
  const html = await answer.text()
  const policy = answer.headers.get('content-security-policy') as string
  expect(policy).toContain("default-src 'none'")
  const style = /<style>([^]*)<\/style>/.exec(html)?.[1] as string
  expect(policy).toContain(`'sha256-${hash('sha256', style, 'base64')}'`)
  expect(html).not.toMatch(/<script|<link|<img|style="|https?:\/\/(?!127\.0\.0\.1)[^"&<]*"/)
})

test('its links lead to what is on it', async () => {
  const html = await page()
  const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const [, target] of html.matchAll(/href="#([^"]+)"/g)) expect(ids).toContain(target)
})

test('the way there is from /', async () => {
  const answer = await fetch(server.url, { redirect: 'manual' })
  expect([answer.status, answer.headers.get('location')]).toEqual([302, '/docs'])
})

test('names no table to those who may not read them', async () => {
  const handler = createHandler(db, { access: 'tokens' })
  const ask = (path: string) => handler.fetch(new Request(`http://localhost${path}`))
  const html = await ask('/docs')
  expect(html.status).toBe(200)
  expect(await html.text()).not.toContain('accounts')
  expect((await ask('/v1/openapi.json')).status).toBe(401)
})
