/**
 * `fetch` over the simulated network: host names are node names, ports mean nothing, `localhost` is
 * the node itself. Bodies travel whole, as bytes; a body that never ends never arrives. What fails,
 * fails as undici (Node's `fetch`) has it: TypeError `fetch failed` with a coded cause.
 */
import type { Owner } from '../scope.ts'

/**
 * Carries a request to a node and its answer back, which arrives in a step of `from`. Rejects with
 * a `connectionError` when the connection fails.
 */
export type Transport = (from: Owner, host: string, request: Request) => Promise<Response>

/** Answers for a host outside of the cluster. */
export type HostHandler = (request: Request) => Response | Promise<Response>

export type ConnectionCode =
  | 'ECONNREFUSED'
  | 'ECONNRESET'
  | 'ENOTFOUND'
  | 'EHOSTUNREACH'
  | 'UND_ERR_SOCKET'
  | 'UND_ERR_CONNECT_TIMEOUT'
  | 'UND_ERR_HEADERS_TIMEOUT'
  | 'UND_ERR_BODY_TIMEOUT'

export interface FetchParts {
  readonly owner: Owner
  /** The node that asks. */
  readonly self: string
  readonly nodes: readonly string[]
  readonly transport: Transport
  /** Hosts outside of the cluster, by name. */
  readonly hosts: Readonly<Record<string, HostHandler>>
  /** Throws when the owner is dead. */
  readonly alive: (api: string) => void
  /** Resolves later in virtual time: the way to a host outside, and back. */
  readonly turn: () => Promise<void>
}

const REDIRECTS_MAX = 20
const LOCAL = new Set(['localhost', '127.0.0.1', '[::1]', '0.0.0.0'])
const REDIRECTS = new Set([301, 302, 303, 307, 308])
const NO_BODY = new Set([101, 204, 205, 304])

export function virtualFetch(parts: FetchParts): typeof globalThis.fetch {
  return async (input, init) => {
    parts.alive('fetch')
    const signal = init?.signal ?? (input instanceof Request ? input.signal : undefined)
    signal?.throwIfAborted()
    // Without its signal, which a request would follow by weak references.
    return settled(
      parts.owner,
      followed(parts, new Request(input, { ...init, signal: null })),
      signal,
    )
  }
}

/** The error of a failed connection, as Node words it. `host` is where it should have led. */
export function connectionError(code: ConnectionCode, host: string): Error {
  return Object.assign(new Error(CONNECTION_ERRORS[code].replace('HOST', host)), { code })
}

const CONNECTION_ERRORS: Readonly<Record<ConnectionCode, string>> = {
  ECONNREFUSED: 'connect ECONNREFUSED HOST',
  ECONNRESET: 'read ECONNRESET',
  ENOTFOUND: 'getaddrinfo ENOTFOUND HOST',
  EHOSTUNREACH: 'connect EHOSTUNREACH HOST',
  UND_ERR_SOCKET: 'other side closed',
  UND_ERR_CONNECT_TIMEOUT: 'Connect Timeout Error',
  UND_ERR_HEADERS_TIMEOUT: 'Headers Timeout Error',
  UND_ERR_BODY_TIMEOUT: 'Body Timeout Error',
}

/** A request as it goes over the wire. */
interface Message {
  readonly url: URL
  readonly method: string
  readonly headers: Headers
  readonly body: ArrayBuffer | undefined
}

async function followed(parts: FetchParts, first: Request): Promise<Response> {
  const body = first.body === null ? undefined : await first.arrayBuffer()
  const { method, headers } = first
  let message: Message = { url: new URL(first.url), method, headers, body }
  for (let redirects = 0; ; redirects++) {
    const response = await sent(parts, message)
    const location = response.headers.get('location')
    const isRedirect = REDIRECTS.has(response.status) && location !== null
    if (!isRedirect || first.redirect === 'manual') {
      return wholeResponse(response, message.url.href, redirects > 0)
    }
    if (first.redirect === 'error') throw failed(new Error('unexpected redirect'))
    if (redirects === REDIRECTS_MAX) throw failed(new Error('redirect count exceeded'))
    message = redirected(message, response.status, new URL(location, message.url))
  }
}

function sent(parts: FetchParts, { url, method, headers, body }: Message): Promise<Response> {
  const { hostname, protocol } = url
  if (protocol !== 'http:' && protocol !== 'https:') {
    return Promise.reject(failed(new Error('unknown scheme')))
  }
  const request = new Request(url, { method, headers, ...(body === undefined ? {} : { body }) })
  return carried(parts, LOCAL.has(hostname) ? parts.self : hostname, request)
}

async function carried(parts: FetchParts, host: string, request: Request): Promise<Response> {
  const node = parts.nodes.find((name) => name.toLowerCase() === host)
  try {
    if (node !== undefined) return await parts.transport(parts.owner, node, request)
    const handler = Object.hasOwn(parts.hosts, host) ? parts.hosts[host] : undefined
    await parts.turn()
    if (handler === undefined) throw connectionError('ENOTFOUND', host)
    const response = await handler(request)
    await parts.turn()
    return response
  } catch (cause) {
    throw failed(cause)
  }
}

function failed(cause: unknown): TypeError {
  if (cause instanceof TypeError && cause.message === 'fetch failed') return cause
  return new TypeError('fetch failed', { cause })
}

/** The same response with its body read. A body that fails is a connection that breaks. */
export async function wholeResponse(
  response: Response,
  url = '',
  isRedirected = false,
): Promise<Response> {
  const { status, statusText, headers } = response
  const body = NO_BODY.has(status) || response.body === null ? null : await bodyOf(response, url)
  const made = new Response(body, { status, statusText, headers: [...headers] })
  Object.defineProperty(made, 'url', { value: url })
  if (isRedirected) Object.defineProperty(made, 'redirected', { value: true })
  return made
}

async function bodyOf(response: Response, url: string): Promise<ArrayBuffer> {
  try {
    return await response.arrayBuffer()
  } catch (cause) {
    throw failed(Object.assign(connectionError('UND_ERR_SOCKET', url), { cause }))
  }
}

/** WHATWG Fetch, "HTTP-redirect fetch": a POST may become a GET, credentials stay at home. */
function redirected({ url, method, headers, body }: Message, status: number, to: URL): Message {
  const kept = new Headers(headers)
  if (to.origin !== url.origin) kept.delete('authorization')
  const becomesGet =
    (status === 303 && method !== 'GET' && method !== 'HEAD') ||
    ((status === 301 || status === 302) && method === 'POST')
  if (!becomesGet) return { url: to, method, headers: kept, body }
  for (const name of ['content-length', 'content-type', 'content-encoding']) kept.delete(name)
  return { url: to, method: 'GET', headers: kept, body: undefined }
}

/** What `work` gives, unless `signal` is aborted first. For a dead owner it never settles (D1). */
function settled<T>(owner: Owner, work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      if (owner.alive) reject(signal?.reason as Error)
    }
    signal?.addEventListener('abort', abort, { once: true })
    work
      .finally(() => signal?.removeEventListener('abort', abort))
      .then(
        (value) => {
          if (owner.alive) resolve(value)
        },
        (error: unknown) => {
          if (owner.alive) reject(error instanceof Error ? error : failed(error))
        },
      )
  })
}
