// Who may come to a server on a loopback address: this machine, but not the web pages it shows.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { isHoldfastError, open, strong, type Database } from '../../src/index.ts'
import { createHandler, serve, type HttpServer, type ServeOptions } from '../../src/server.ts'
import { rawRequest } from './raw-http.ts'

interface Item {
  id: string
}
const tables = { items: strong<Item>({ key: 'id' }) }
const ROW = '/v1/tables/items/rows/a'

let db: Database<typeof tables>
const servers: HttpServer[] = []

const start = async (options: ServeOptions = {}): Promise<HttpServer> => {
  const server = await serve(db, { port: 0, ...options })
  servers.push(server)
  return server
}

beforeEach(async () => {
  db = await open({ memory: true, tables })
  await db.items.insert({ id: 'a' })
})
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
  await db.close()
})

it('answers on loopback to the names of this machine alone', async () => {
  const { port } = await start()
  for (const host of [
    'localhost',
    `localhost:${port}`,
    '127.0.0.1',
    '127.0.0.1:1',
    '[::1]:80',
    'LOCALHOST',
  ]) {
    const answer = await rawRequest(port, `GET ${ROW} HTTP/1.1`, [`Host: ${host}`])
    expect([host, answer.status]).toEqual([host, 200])
  }
  for (const host of [
    'rebound.example.com',
    `rebound.example.com:${port}`,
    'localhost.example.com',
    'localhost.',
    '127.0.0.1.example.com',
    '192.168.0.7',
    '[::2]',
  ]) {
    const answer = await rawRequest(port, `GET ${ROW} HTTP/1.1`, [`Host: ${host}`])
    expect([host, answer.status]).toEqual([host, 403])
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'Forbidden', applied: 'no' })
  }
})

it('is not taken in by an absolute target that names another host than the Host header', async () => {
  const { port } = await start()
  for (const [named, sent] of [
    [`localhost:${port}`, 'evil.example.com'],
    ['evil.example.com', `localhost:${port}`],
    ['localhost:1', `localhost:${port}`],
  ]) {
    const line = `GET http://${named}${ROW} HTTP/1.1`
    expect((await rawRequest(port, line, [`Host: ${sent}`])).status).toBe(400)
  }
  const line = `GET http://LOCALHOST:${port}${ROW} HTTP/1.1`
  expect((await rawRequest(port, line, [`Host: localhost:${port}`])).status).toBe(200)
})

it('refuses what has no Host, two of them, or one that is no host', async () => {
  for (const access of ['loopback', 'tokens'] as const) {
    const { port } = await start({ access })
    for (const headers of [
      [],
      ['Host:'],
      ['Host: a b'],
      ['Host: evil@localhost'],
      ['Host: a$(id)"b'],
      ['Host: localhost', 'Host: evil.example.com'],
      ['Host: evil.example.com', 'Host: localhost'],
      ['Host: localhost', 'Host: localhost'],
      ['Host: localhost, localhost'],
    ]) {
      for (const version of ['1.0', '1.1']) {
        const { status } = await rawRequest(port, `GET /docs HTTP/${version}`, headers)
        expect([access, version, headers, status]).toEqual([access, version, headers, 400])
      }
    }
  }
})

it('believes no header but Host about where a request was sent', async () => {
  const { port } = await start()
  const headers = ['X-Forwarded-Host: localhost', 'Forwarded: host=localhost', 'X-Host: localhost']
  const answer = await rawRequest(port, `GET ${ROW} HTTP/1.1`, ['Host: evil.example', ...headers])
  expect(answer.status).toBe(403)
})

it('answers to further hosts where they are allowed, with a port or for every port', async () => {
  const { port } = await start({ allowedHosts: ['db.internal', 'tunnel.example.com:443'] })
  const status = async (host: string): Promise<number> =>
    (await rawRequest(port, `GET ${ROW} HTTP/1.1`, [`Host: ${host}`])).status
  expect(await status('db.internal')).toBe(200)
  expect(await status('db.internal:99')).toBe(200)
  expect(await status('tunnel.example.com:443')).toBe(200)
  expect(await status('tunnel.example.com')).toBe(403)
  expect(await status('localhost')).toBe(200)
})

it('refuses pages of other origins, and says nothing that lets them read the answer', async () => {
  const { port, url } = await start()
  for (const origin of [
    'https://evil.example.com',
    'http://localhost:1',
    `http://localhost.example.com:${port}`,
    'null',
    'file://',
    'chrome-extension://abc',
  ]) {
    for (const method of ['GET', 'POST', 'OPTIONS']) {
      const answer = await fetch(`${url}${ROW}`, { method, headers: { origin } })
      expect([method, origin, answer.status]).toEqual([method, origin, 403])
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
      await answer.text()
    }
  }
  expect((await fetch(`${url}${ROW}`, { headers: { origin: url } })).status).toBe(200)
})

it('refuses what pages of other sites load without saying their origin, but not who follows a link', async () => {
  const { port } = await start()
  const status = async (...headers: readonly string[]): Promise<number> =>
    (await rawRequest(port, `GET ${ROW} HTTP/1.1`, ['Host: localhost', ...headers])).status
  expect(await status('Sec-Fetch-Site: cross-site')).toBe(403)
  expect(await status('Sec-Fetch-Site: same-site')).toBe(403)
  expect(await status('Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: no-cors')).toBe(403)
  expect(await status('Sec-Fetch-Site: same-origin')).toBe(200)
  expect(await status('Sec-Fetch-Site: none')).toBe(200)
  const navigate = ['Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: navigate']
  expect(await status(...navigate, 'Sec-Fetch-Dest: document')).toBe(200)
  expect(await status(...navigate, 'Sec-Fetch-Dest: iframe')).toBe(403)
})

it('answers pages of allowed origins, and their browsers first', async () => {
  const origin = 'https://app.example.com'
  const { url } = await start({ allowedOrigins: [origin] })
  const answer = await fetch(`${url}${ROW}`, {
    headers: { origin, 'sec-fetch-site': 'cross-site' },
  })
  expect(answer.status).toBe(200)
  expect(answer.headers.get('access-control-allow-origin')).toBe(origin)
  expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
  expect(answer.headers.get('vary')).toContain('Origin')
  expect(answer.headers.get('access-control-expose-headers')).toContain('Holdfast-Token')
  const refused = await fetch(`${url}/v1/tables/none/rows/a`, { headers: { origin } })
  expect(refused.status).toBe(404)
  expect(refused.headers.get('access-control-allow-origin')).toBe(origin)
  const asked = await fetch(`${url}${ROW}`, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'PUT' },
  })
  expect(asked.status).toBe(204)
  expect(asked.headers.get('access-control-allow-origin')).toBe(origin)
  expect(asked.headers.get('access-control-allow-methods')).toContain('PUT')
  expect(asked.headers.get('access-control-allow-headers')).toContain('Idempotency-Key')
  expect((await fetch(`${url}${ROW}`, { headers: { origin: 'https://b.example' } })).status).toBe(
    403,
  )
})

it('listens where others reach it with tokens alone, and only once there is one', async () => {
  for (const host of ['0.0.0.0', '::', '192.168.0.7', 'db.example.com']) {
    for (const access of ['loopback', 'trusted'] as const) {
      await expect(start({ host, access })).rejects.toMatchObject({ code: 'InvalidArgument' })
    }
    const refused = await start({ host }).catch((error: unknown) => error)
    expect([host, isHoldfastError(refused, 'Unauthenticated')]).toEqual([host, true])
    expect((refused as Error).message).toContain('holdfast token create')
  }
})

it('says what is wrong with its options', async () => {
  for (const options of [
    { allowedOrigins: ['*'] },
    { allowedOrigins: ['app.example.com'] },
    { allowedOrigins: ['https://app.example.com/path'] },
    { access: 'nobody' as never },
  ]) {
    await expect(start(options)).rejects.toMatchObject({ code: 'InvalidArgument' })
  }
  const { port } = await start()
  await expect(start({ port })).rejects.toMatchObject({ code: 'InvalidArgument' })
})

it('asks for tokens as a bare handler, unless its callers are trusted by name', async () => {
  const request = (): Request => new Request(`https://db.example.com${ROW}`)
  expect((await createHandler(db).fetch(request())).status).toBe(401)
  expect((await createHandler(db, { access: 'trusted' }).fetch(request())).status).toBe(200)
  expect((await createHandler(db, { access: 'loopback' }).fetch(request())).status).toBe(403)
})
