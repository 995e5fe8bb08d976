/**
 * Web pages reach a loopback address through the browser of whoever sits there. So the Host header
 * must name this machine (else a name that was rebound to 127.0.0.1 would pass for it), and a page
 * of another origin is answered only where it is allowed.
 */
import { HoldfastError } from '../../core/errors.ts'
import { invalid } from '../members.ts'
import type { Access, AccessOptions } from './access.ts'
import { originOf } from './access.ts'
import type { HeaderReader } from './parts.ts'

/** A name or an address, with a port or without. Several Host headers arrive as one with a comma. */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i
const OWN_HOSTS = ['localhost', '127.0.0.1', '[::1]']
/** Seconds that browsers keep the answer to a preflight. */
const PREFLIGHT_MAX_AGE_S = '600'
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE'
const REQUEST_HEADERS =
  'Authorization, Content-Type, If-Match, If-None-Match, Prefer, Idempotency-Key, Last-Event-ID, ' +
  'Holdfast-After, Holdfast-Deadline-Ms, Holdfast-Read-Level'
const RESPONSE_HEADERS = 'ETag, Location, Retry-After, Preference-Applied, Allow, Holdfast-Token'

export class Guard {
  /** Undefined: every host passes. */
  readonly #hosts: ReadonlySet<string> | undefined
  readonly #origins: ReadonlySet<string>
  readonly #anyOrigin: boolean
  /** The last Host that passed: mostly the next one too. */
  #passed: string | undefined

  constructor(access: Access, options: AccessOptions, boundHost?: string) {
    const hosts = [...(options.allowedHosts ?? [])]
    if (access === 'loopback') {
      hosts.push(...OWN_HOSTS)
      if (boundHost !== undefined) hosts.push(boundHost)
    }
    this.#hosts = hosts.length === 0 ? undefined : new Set(hosts.map((host) => host.toLowerCase()))
    this.#origins = new Set(options.allowedOrigins ?? [])
    this.#anyOrigin = this.#origins.has('*')
  }

  /** Why the request is refused, if it is. */
  refusal(request: Request, headers: HeaderReader): HoldfastError | undefined {
    const host = headers.get('host') ?? new URL(request.url).host
    if (host !== this.#passed) {
      if (!HOST.test(host)) return invalid(`the Host header is no host: ${shown(host)}`)
      if (!this.#knowsHost(host)) {
        return forbidden(`this server does not answer to the host ${shown(host)}`, 'host')
      }
    }
    this.#passed = host
    const origin = headers.get('origin')
    if (origin !== null) {
      if (this.#isAllowed(origin) || hostOf(origin) === host.toLowerCase()) return undefined
      return forbidden(`web pages of ${shown(origin)} may not use this server`, 'origin')
    }
    const site = headers.get('sec-fetch-site')
    if (site === null || site === 'same-origin' || site === 'none' || isVisit(request, headers)) {
      return undefined
    }
    return forbidden('web pages of other origins may not use this server', 'origin')
  }

  /** The answer to a browser that asks first, on behalf of a page of an allowed origin. */
  preflight(request: Request): Response | undefined {
    if (request.method !== 'OPTIONS') return undefined
    if (!request.headers.has('access-control-request-method')) return undefined
    return new Response(null, {
      status: 204,
      headers: {
        'access-control-allow-methods': METHODS,
        'access-control-allow-headers': REQUEST_HEADERS,
        'access-control-max-age': PREFLIGHT_MAX_AGE_S,
      },
    })
  }

  /** Lets the page that asked see the answer, where its origin is allowed. */
  share(request: Request, answer: Response): void {
    if (this.#origins.size === 0) return
    answer.headers.append('vary', 'Origin')
    const origin = request.headers.get('origin')
    if (origin === null || !this.#isAllowed(origin)) return
    answer.headers.set('access-control-allow-origin', origin)
    answer.headers.set('access-control-expose-headers', RESPONSE_HEADERS)
  }

  #isAllowed(origin: string): boolean {
    return this.#anyOrigin || this.#origins.has(origin)
  }

  #knowsHost(host: string): boolean {
    if (this.#hosts === undefined) return true
    const name = host.toLowerCase()
    return this.#hosts.has(name) || this.#hosts.has(name.replace(/:\d{1,5}$/, ''))
  }
}

/** Somebody follows a link to a page here: the page with the link sees nothing of the answer. */
function isVisit({ method }: Request, headers: HeaderReader): boolean {
  return (
    method === 'GET' &&
    headers.get('sec-fetch-mode') === 'navigate' &&
    headers.get('sec-fetch-dest') === 'document'
  )
}

function hostOf(origin: string): string | undefined {
  return originOf(origin)?.replace(/^https?:\/\//, '')
}

/** Characters of a refused header that an error shows. */
const SHOWN_CHARS = 200

function shown(text: string): string {
  return JSON.stringify(text.slice(0, SHOWN_CHARS))
}

function forbidden(message: string, by: string): HoldfastError {
  return new HoldfastError('Forbidden', message, { details: { by } })
}
