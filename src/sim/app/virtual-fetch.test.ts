import { describe, expect, it } from 'vitest'
import {
  connectionError,
  virtualFetch,
  type FetchParts,
  type HostHandler,
  type Transport,
} from './virtual-fetch.ts'

const owner = { name: 'node-1#1', alive: true, paused: false }

const drained = () => new Promise((resolve) => setImmediate(resolve))

interface Given {
  readonly from?: typeof owner
  readonly transport?: Transport
  readonly hosts?: Readonly<Record<string, HostHandler>>
}

function fetchOver({ from = owner, transport = echo, hosts = {} }: Given = {}) {
  const parts: FetchParts = {
    owner: from,
    self: 'node-1',
    nodes: ['node-1', 'Node-2'],
    transport,
    hosts,
    alive: () => undefined,
    turn: () => Promise.resolve(),
  }
  return virtualFetch(parts)
}

/** Answers with what it was asked. */
const echo: Transport = async (from, host, request) =>
  Response.json({
    from: from.name,
    host,
    method: request.method,
    path: new URL(request.url).pathname,
    type: request.headers.get('content-type'),
    body: await request.text(),
  })

const failing =
  (error: Error): Transport =>
  () =>
    Promise.reject(error)

describe('fetch', () => {
  it.each([
    ['http://node-1/a', 'node-1'],
    ['http://node-2:8080/a', 'Node-2'],
    ['https://localhost/a', 'node-1'],
    ['http://127.0.0.1:3000/a', 'node-1'],
  ])('finds the node of %s', async (url, host) => {
    const response = await fetchOver()(url)
    expect(await response.json()).toMatchObject({ from: 'node-1#1', host, path: '/a' })
    expect(response.url).toBe(new URL(url).href)
  })

  it('carries method, headers and body, from parts or from a Request', async () => {
    const init = { method: 'PUT', body: 'x', headers: { 'content-type': 'text/x' } }
    const expected = { method: 'PUT', type: 'text/x', body: 'x' }
    const fetch = fetchOver()
    expect(await (await fetch('http://node-1/', init)).json()).toMatchObject(expected)
    const request = new Request('http://node-1/', init)
    expect(await (await fetch(request)).json()).toMatchObject(expected)
    const form = await fetch('http://node-1/', { method: 'POST', body: new URLSearchParams('a=1') })
    expect(await form.json()).toMatchObject({
      body: 'a=1',
      type: expect.stringContaining('x-www-form-urlencoded') as string,
    })
  })

  it('fails as Node does when the connection fails, whatever the transport rejects with', async () => {
    for (const cause of [connectionError('ECONNREFUSED', 'node-2'), new Error('odd')]) {
      const error: unknown = await fetchOver({ transport: failing(cause) })('http://node-2/').catch(
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(TypeError)
      expect(error).toMatchObject({ message: 'fetch failed', cause })
    }
  })

  it('knows the hosts that it is given, and no others', async () => {
    const hosts = { 'pay.example': () => new Response('paid') }
    expect(await (await fetchOver({ hosts })('https://pay.example/x')).text()).toBe('paid')
    await expect(fetchOver({ hosts })('https://other.example/')).rejects.toMatchObject({
      message: 'fetch failed',
      cause: { code: 'ENOTFOUND' },
    })
    await expect(fetchOver({ hosts })('http://toString/')).rejects.toThrow('fetch failed')
    await expect(fetchOver()('ftp://node-1/')).rejects.toThrow('fetch failed')
  })

  it('rejects with the reason of its signal, before it is sent and while it is under way', async () => {
    const transport: Transport = () => new Promise(() => undefined)
    const reason = new Error('enough')
    const before = fetchOver({ transport })('http://node-1/', { signal: AbortSignal.abort(reason) })
    await expect(before).rejects.toBe(reason)
    const controller = new AbortController()
    const during = fetchOver({ transport })(
      new Request('http://node-1/', { signal: controller.signal }),
    )
    controller.abort()
    await expect(during).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('never settles for one who died meanwhile', async () => {
    const dying = { ...owner }
    let answer = (_: Response): void => undefined
    const transport: Transport = () =>
      new Promise((resolve) => {
        answer = resolve
      })
    let isSettled = false
    const fetch = fetchOver({ transport, from: dying })
    fetch('http://node-1/').then(
      () => (isSettled = true),
      () => (isSettled = true),
    )
    await drained()
    dying.alive = false
    answer(new Response('late'))
    await drained()
    expect(isSettled).toBe(false)
    dying.alive = true
    const lively = fetch('http://node-1/')
    await drained()
    answer(new Response('in time'))
    expect(await (await lively).text()).toBe('in time')
  })

  it('breaks the connection when a body fails', async () => {
    const body = new ReadableStream({ pull: (to) => to.error(new Error('cut')) })
    const fetch = fetchOver({ transport: () => Promise.resolve(new Response(body)) })
    await expect(fetch('http://node-1/')).rejects.toMatchObject({
      message: 'fetch failed',
      cause: { code: 'UND_ERR_SOCKET' },
    })
  })

  it('takes an empty answer for what it is', async () => {
    const fetch = fetchOver({
      transport: () => Promise.resolve(new Response(null, { status: 204 })),
    })
    expect((await fetch('http://node-1/')).status).toBe(204)
  })
})

describe('a redirect', () => {
  const redirecting =
    (status: number): Transport =>
    async (from, host, request) =>
      new URL(request.url).pathname === '/old'
        ? new Response(null, { status, headers: { location: '//node-2/new' } })
        : echo(from, host, request)

  it.each([
    [302, 'GET', '', null],
    [303, 'GET', '', null],
    [307, 'POST', 'x', 'text/plain;charset=UTF-8'],
  ])('%i is followed with %s', async (status, method, body, type) => {
    const fetch = fetchOver({ transport: redirecting(status) })
    const response = await fetch('http://node-1/old', { method: 'POST', body: 'x' })
    expect(response).toMatchObject({ url: 'http://node-2/new', redirected: true })
    expect(await response.json()).toMatchObject({ host: 'Node-2', method, body, type })
  })

  it('is given, or refused, where that is asked for; a ring of them ends', async () => {
    const fetch = fetchOver({ transport: redirecting(302) })
    expect((await fetch('http://node-1/old', { redirect: 'manual' })).status).toBe(302)
    await expect(fetch('http://node-1/old', { redirect: 'error' })).rejects.toThrow('fetch failed')
    const ring: Transport = () =>
      Promise.resolve(new Response(null, { status: 302, headers: { location: '/' } }))
    await expect(fetchOver({ transport: ring })('http://node-1/')).rejects.toMatchObject({
      cause: { message: 'redirect count exceeded' },
    })
  })
})
