// `holdfast start` serves HTTP: what it prints works as printed, and it is safe unless told otherwise.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { beforeAll, expect, it } from 'vitest'
import { buildHoldfast, holdfast, serveHttp, Workplace, type Serving } from './run-holdfast.ts'
import { standing } from './standing.ts'

beforeAll(() => buildHoldfast())

/** The curl line that the server has printed. */
function printedCurl(serving: Serving): string {
  const said = serving.said()
  const line = /^ {2}(curl .*)$/m.exec(said)?.[1]
  if (line === undefined) throw new Error(`no curl line in ${said}`)
  return line
}

function shell(line: string, env: Readonly<Record<string, string>> = {}): string {
  const { stdout, status, stderr } = spawnSync('bash', ['-c', line], {
    encoding: 'utf8',
    timeout: 30_000,
    env: { ...process.env, ...env },
  })
  if (status !== 0) throw new Error(`${line} ended with ${status}: ${stderr}`)
  return stdout
}

it('prints a curl line that stores a first row, and the row is there', async () => {
  using place = new Workplace()
  const serving = await serveHttp(place.data)
  try {
    expect(serving.said()).toContain(`${serving.url}/docs`)
    expect(shell(printedCurl(serving))).toContain('"durability":"fsynced"')
    const row = await standing(['get', 'notes', '1', '--json', '--url', serving.url])
    expect(JSON.parse(row.stdout)).toEqual({ id: 1, text: 'the first row' })
    // The same row through the folder, which that process has open.
    const local = await standing(['get', 'notes', '1', '--json', '--dir', place.data])
    expect(local.stdout).toBe(row.stdout)
    expect(shell(`curl -sf ${serving.url}/livez`)).toBeDefined()
  } finally {
    expect(await serving.kill('SIGTERM')).toBe(0)
  }
  const again = await serveHttp(place.data)
  expect(shell(printedCurl(again))).toContain('"notes"')
  expect(await again.kill('SIGINT')).toBe(0)
  const gone = await holdfast(['stats', '--url', again.url])
  expect(gone).toMatchObject({ code: 3, stdout: '' })
  expect(gone.stderr).toMatch(/^error Unreachable: .*\n.*\napplied: no\ntry: holdfast /)
})

it('says which port is taken and which option helps', async () => {
  using place = new Workplace()
  const serving = await serveHttp(place.data)
  try {
    const port = new URL(serving.url).port
    const other = ['start', '--no-sample', '--dir', place.path('other'), '--port', port]
    const refused = await holdfast(other)
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain(`127.0.0.1:${port}`)
    expect(refused.stderr).toMatch(/\ntry: holdfast start --port \d+ /)
  } finally {
    await serving.kill('SIGTERM')
  }
})

it('serves others than this machine with tokens alone, and commands carry them', async () => {
  using place = new Workplace()
  const start = ['start', '--no-sample', '--dir', place.data, '--host', '0.0.0.0', '--port', '0']
  const refused = await holdfast(start)
  expect(refused).toMatchObject({ code: 1, stdout: '' })
  expect(refused.stderr).toMatch(/\ntry: holdfast token create /)

  const token = async (...line: string[]): Promise<string> => {
    const { stdout, code } = await standing(['token', ...line, '--dir', place.data])
    expect(code).toBe(0)
    return stdout.trim()
  }
  const [reader, writer] = [
    await token('create', 'reader', '--scope', 'read'),
    await token('create', 'ops', '--scope', 'operate', '--expires', '1h'),
  ]
  expect(reader).toMatch(/^hf_[a-z0-9]{8}_[\w-]{43}$/)
  const serving = await serveHttp(place.data, ['--access', 'tokens'])
  try {
    const run = (line: string, token?: string) =>
      standing([...line.split(' '), '--url', serving.url], {
        env: token === undefined ? {} : { HOLDFAST_TOKEN: token },
      })
    const none = await run('tables')
    expect(none).toMatchObject({ code: 1, stdout: '' })
    expect(none.stderr).toContain('error Unauthenticated')
    expect(none.stderr).toContain('try: holdfast token create')
    const forbidden = await run('tables create notes --key id', reader)
    expect(forbidden).toMatchObject({ code: 1, stdout: '' })
    expect(forbidden.stderr).toContain('error Forbidden')
    expect(forbidden.stderr).toContain('try: holdfast token list')
    expect((await run('tables create notes --key id', writer)).code).toBe(0)
    expect((await run('put notes id=1', writer)).code).toBe(0)
    expect((await run('get notes 1', reader)).code).toBe(0)
    const list = await run('token list', writer)
    expect(list.stdout).toMatch(/reader +read /)
    expect(list.stdout).not.toContain(reader)
    const curl = printedCurl(serving)
    expect(shell(curl, { HOLDFAST_TOKEN: writer })).toBeDefined()
    const id = reader.split('_')[1] ?? ''
    const rotated = (await run(`token rotate ${id}`, writer)).stdout.trim()
    expect((await run('get notes 1', reader)).stderr).toContain('error Unauthenticated')
    expect((await run('get notes 1', rotated)).code).toBe(0)
    expect((await run(`token revoke ${id}`, writer)).stdout).toBe(`revoked ${id}\n`)
    expect((await run('get notes 1', rotated)).stderr).toContain('error Unauthenticated')
  } finally {
    await serving.kill('SIGTERM')
  }
})

it('serves HTTPS by files', async () => {
  using place = new Workplace()
  const [cert, key] = [place.path('cert.pem'), place.path('key.pem')]
  shell(
    `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 ` +
      `-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout ${key} -out ${cert} 2>&1`,
  )
  const serving = await serveHttp(place.data, ['--tls-cert', cert, '--tls-key', key])
  try {
    expect(serving.url).toMatch(/^https:/)
    const trusting = { env: { NODE_EXTRA_CA_CERTS: cert } }
    const made = ['tables', 'create', 'notes', '--key', 'id', '--url', serving.url]
    expect((await holdfast(made, trusting)).code).toBe(0)
    const distrusted = await holdfast(['tables', '--url', serving.url])
    expect(distrusted).toMatchObject({ code: 3, stdout: '' })
    expect(distrusted.stderr).toContain('error Unreachable')
  } finally {
    await serving.kill('SIGTERM')
  }
  writeFileSync(cert, 'no certificate')
  const broken = await holdfast([
    ...['start', '--no-sample', '--port', '0', '--dir', place.data],
    ...['--tls-cert', cert, '--tls-key', key],
  ])
  expect(broken.code).toBe(1)
  const half = await holdfast(['start', '--tls-cert', cert, '--dir', place.data])
  expect(half.code).toBe(2)
})

it('says what works on a folder alone', async () => {
  // To a monitor, `check` that could not look is unknown, not a warning.
  for (const [line, code] of [
    ['check', 3],
    ['start', 1],
  ] as const) {
    const refused = await holdfast([line, '--url', 'http://127.0.0.1:1'])
    expect(refused).toMatchObject({ code, stdout: '' })
    expect(refused.stderr).toContain('error Unsupported: this works on a folder')
  }
})
