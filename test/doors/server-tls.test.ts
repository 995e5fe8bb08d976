// HTTPS from files, which are renewed while the server runs.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { open, strong, type Database } from '../../src/index.ts'
import { serve, type HttpServer } from '../../src/server.ts'
import { RawClient, until } from './raw-http.ts'

interface Item {
  id: string
}
const tables = { items: strong<Item>({ key: 'id' }) }
// Made for these tests, and good for nothing else: localhost, until the year 2126.
const fixture = (name: string): string => new URL(`tls/${name}`, import.meta.url).pathname

let dir: string
let db: Database<typeof tables>
let server: HttpServer | undefined
let problems: Error[]
let certFile: string
let keyFile: string

const put = (name: string): void => {
  copyFileSync(fixture(`${name}.cert.pem`), certFile)
  copyFileSync(fixture(`${name}.key.pem`), keyFile)
}
const start = async (): Promise<HttpServer> => {
  server = await serve(db, {
    port: 0,
    tls: { certFile, keyFile, checkMs: 10 },
    limits: { headersMs: 300 },
    onProblem: (problem) => problems.push(problem),
  })
  return server
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-tls-'))
  certFile = join(dir, 'cert.pem')
  keyFile = join(dir, 'key.pem')
  put('first')
  problems = []
  db = await open({ memory: true, tables })
  await db.items.insert({ id: 'a' })
})
afterEach(async () => {
  await server?.close({ graceMs: 0 })
  server = undefined
  await db.close()
  rmSync(dir, { recursive: true, force: true })
})

/** Who the server says it is, to a client that trusts `name` alone; undefined when it does not. */
function organisation(port: number, name: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const ca = readFileSync(fixture(`${name}.cert.pem`))
    const socket: TLSSocket = connect({ port, host: '127.0.0.1', ca }, () => {
      resolve(String(socket.getPeerCertificate().subject.O))
      socket.destroy()
    })
    socket.on('error', () => resolve(undefined))
  })
}
function status(port: number, name: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const ca = readFileSync(fixture(`${name}.cert.pem`))
    const options = { port, host: '127.0.0.1', path, ca, agent: false }
    request(options, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
      .on('error', reject)
      .end()
  })
}

it('serves HTTPS with the certificate in the files', async () => {
  const { url, port } = await start()
  expect(url).toBe(`https://127.0.0.1:${port}`)
  expect(await status(port, 'first', '/v1/tables/items/rows/a')).toBe(200)
  expect(await organisation(port, 'first')).toBe('first')
  expect(await organisation(port, 'second')).toBeUndefined()
})

it('uses a renewed pair without a restart', async () => {
  const { port } = await start()
  expect(await organisation(port, 'first')).toBe('first')
  put('second')
  await until(async () => (await organisation(port, 'second')) === 'second')
  expect(await status(port, 'second', '/v1/tables/items/rows/a')).toBe(200)
  expect(await organisation(port, 'first')).toBeUndefined()
})

it('goes on with the old pair when the new one is broken, says so once, and recovers', async () => {
  const { port } = await start()
  writeFileSync(certFile, 'half a certif')
  await until(() => problems.length > 0)
  expect(await organisation(port, 'first')).toBe('first')
  expect(problems[0]?.message).toContain(certFile)
  // A certificate whose key is not there yet.
  copyFileSync(fixture('second.cert.pem'), certFile)
  await until(() => problems.length > 1)
  expect(await organisation(port, 'first')).toBe('first')
  rmSync(keyFile)
  await until(() => problems.length > 2)
  expect(await organisation(port, 'first')).toBe('first')
  put('second')
  await until(async () => (await organisation(port, 'second')) === 'second')
  expect(new Set(problems.map(({ message }) => message)).size).toBe(problems.length)
})

it('goes on with the old pair while files are being written anew', async () => {
  const { port } = await start()
  for (const [file, name] of [
    [keyFile, 'key'],
    [certFile, 'certificate'],
  ] as const) {
    writeFileSync(file, '')
    await until(() => problems.some(({ message }) => message.includes(`the ${name} is empty`)))
    expect(await organisation(port, 'first')).toBe('first')
  }
  put('second')
  await until(async () => (await organisation(port, 'second')) === 'second')
})

it('does not start without a good pair', async () => {
  for (const key of [readFileSync(fixture('second.key.pem')), '']) {
    writeFileSync(keyFile, key)
    await expect(start()).rejects.toMatchObject({ code: 'InvalidArgument' })
  }
  rmSync(certFile)
  await expect(start()).rejects.toMatchObject({ code: 'InvalidArgument' })
})

it('does not wait for handshakes when it closes', async () => {
  server = await serve(db, { port: 0, tls: { certFile, keyFile } })
  const { port } = server
  const silent = new RawClient(port)
  await until(async () => {
    const ca = readFileSync(fixture('first.cert.pem'))
    const text = await new Promise<string>((resolve, reject) => {
      request({ port, host: '127.0.0.1', path: '/metrics', ca, agent: false }, (answer) => {
        let all = ''
        answer.on('data', (chunk: Buffer) => (all += chunk.toString()))
        answer.on('end', () => resolve(all))
      })
        .on('error', reject)
        .end()
    })
    return text.includes('holdfast_http_connections 2')
  })
  let isClosed = false
  const closing = server.close({ graceMs: 3_600_000 }).then(() => (isClosed = true))
  await silent.closed
  await closing
  expect(isClosed).toBe(true)
})

it('survives clients that speak no TLS, or begin a handshake and stop', async () => {
  const { port } = await start()
  const plain = Array.from({ length: 20 }, () => new RawClient(port))
  for (const [i, client] of plain.entries()) {
    if (i % 2 === 0) client.send('GET / HTTP/1.1', 'Host: localhost', '')
  }
  expect(await status(port, 'first', '/v1/tables/items/rows/a')).toBe(200)
  await Promise.all(plain.map(({ closed }) => closed))
  expect(await status(port, 'first', '/v1/tables/items/rows/a')).toBe(200)
})
