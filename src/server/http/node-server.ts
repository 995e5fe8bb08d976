/** The HTTP API on a port of this machine, by node:http or node:https. */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { Cancel, Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { serveAt } from '../../table/database.ts'
import type { AnyDatabase } from '../any-rows.ts'
import { invalid } from '../members.ts'
import { tokenTable } from '../token-operations.ts'
import { isLoopback, type Access } from './access.ts'
import { Connections } from './connections.ts'
import { createHandlerOver, type HandlerOptions, type HttpHandler } from './handler.ts'
import { HttpMetrics } from './http-metrics.ts'
import { CONNECTION_LIMITS, type ConnectionLimits, type HttpLimits } from './limits.ts'
import type { ProcessReader } from './metrics-routes.ts'
import { problemResponse } from './problem.ts'
import { followTlsFiles, readTlsPair, type TlsOptions, type TlsPair } from './tls-files.ts'

const DEFAULT_HOST = '127.0.0.1'
const DEFAULT_PORT = 4653
/** How long what is under way has to end when the server closes. */
const GRACE_MS = 10_000
/** How often it is looked at what clients have not read yet. */
const UNREAD_CHECK_MS = 250
/** Times out are looked for so often at the least. */
const CHECK_MS_MAX = 1_000

export interface ServeOptions extends Omit<HandlerOptions, 'limits'> {
  /** The address to listen on. Default 127.0.0.1. Others than this machine's own need tokens. */
  readonly host?: string | undefined
  /** The port; 0 takes a free one. Default 4653. */
  readonly port?: number | undefined
  /** Serves HTTPS with this certificate. Default: HTTP. */
  readonly tls?: TlsOptions | undefined
  readonly limits?: Partial<HttpLimits & ConnectionLimits> | undefined
}

export interface CloseOptions {
  /** Milliseconds that what is under way has to end; then it is cut off. Default 10,000. */
  readonly graceMs?: number | undefined
}

export interface HttpServer {
  /** Where it is reached, without a slash at the end: `http://127.0.0.1:4653`. */
  readonly url: string
  readonly host: string
  readonly port: number
  readonly access: Access
  /**
   * Still listens, but `/readyz` says no, feeds end, and every new request is refused: for the time
   * that a balancer takes to look elsewhere.
   */
  drain(): void
  /**
   * Drains, stops listening, and resolves when the last answer is out; called again, it may shorten
   * the time for that. The database stays open.
   */
  close(options?: CloseOptions): Promise<void>
}

/**
 * Serves `db` until it is closed.
 * @throws HoldfastError `InvalidArgument` where it cannot listen, `Unauthenticated` where tokens are
 *   needed and there is none
 */
export async function serveOver(
  db: AnyDatabase,
  env: Env,
  options: ServeOptions = {},
  process?: ProcessReader,
): Promise<HttpServer> {
  const { host = DEFAULT_HOST, port = DEFAULT_PORT, tls } = options
  const access = options.access ?? (isLoopback(host) ? 'loopback' : 'tokens')
  if (!isLoopback(host)) await checkExposed(db, host, access)
  const metrics = new HttpMetrics()
  const handler = createHandlerOver(
    db,
    env,
    { ...options, access },
    { boundHost: host.includes(':') ? `[${host}]` : host, metrics, process },
  )
  const pair = tls === undefined ? undefined : await readTlsPair(tls)
  const { server, connections } = makeServer(handler, pair, options, metrics)
  await listen(server, host, port)
  const problem = (error: HoldfastError): void => options.onProblem?.(error)
  const follow = (): Cancel =>
    followTlsFiles(env, tls as TlsOptions, pair as TlsPair, (next) => use(server, next), problem)
  const unfollow = pair === undefined ? () => undefined : follow()

  const unwatch = watchUnread(env, connections)

  const drain = (): void => {
    handler.drain()
    connections.drain()
  }
  let closed: Promise<void> | undefined
  const stop = (): Promise<void> => {
    serveAt(db, undefined)
    unfollow()
    drain()
    return new Promise((resolve) => server.close(() => resolve()))
  }
  const close = async ({ graceMs = GRACE_MS }: CloseOptions = {}): Promise<void> => {
    const cancel = env.timers.after(graceMs, () => connections.closeAll())
    await (closed ??= stop())
    cancel()
    unwatch()
  }
  const bound = server.address() as AddressInfo
  const name = host.includes(':') ? `[${host}]` : host
  const url = `${pair === undefined ? 'http' : 'https'}://${name}:${bound.port}`
  serveAt(db, url)
  return {
    url,
    host,
    port: bound.port,
    access,
    drain,
    close,
  }
}

/** What others reach is for those with a token alone, and somebody must have one. */
async function checkExposed(db: AnyDatabase, host: string, access: Access): Promise<void> {
  if (access !== 'tokens') {
    throw new HoldfastError(
      'InvalidArgument',
      `${host} is reached from other machines, so it needs access: 'tokens', not '${access}'`,
    )
  }
  const first = await tokenTable(db)?.query().first()
  if (first !== undefined) return
  throw new HoldfastError(
    'Unauthenticated',
    `${host} is reached from other machines, so clients need a token, and there is none yet: ` +
      'make the first one with `holdfast token create`',
  )
}

function makeServer(
  handler: HttpHandler,
  pair: TlsPair | undefined,
  options: ServeOptions,
  metrics: HttpMetrics,
): { readonly server: Server | HttpsServer; readonly connections: Connections } {
  const limits = { ...CONNECTION_LIMITS, ...options.limits }
  const timing = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersMs,
    requestTimeout: Math.max(limits.requestMs, limits.headersMs),
    connectionsCheckingInterval: Math.min(CHECK_MS_MAX, Math.ceil(limits.headersMs / 2)),
  }
  const listener: RequestListener = (incoming, outgoing) => {
    if (connections.begin(incoming, outgoing)) void answer(incoming, outgoing)
  }
  const answer = getRequestListener(
    (request, { incoming }) =>
      namesTwoHosts(incoming)
        ? problemResponse(invalid('the target and the Host header of a request name one host'))
        : handler.fetch(request, connections.infoOf(incoming as IncomingMessage)),
    { errorHandler: notARequest },
  )
  const server =
    pair === undefined
      ? createHttpServer(timing, listener)
      : createHttpsServer({ ...timing, ...pair, handshakeTimeout: limits.headersMs }, listener)
  const connections = new Connections(server, limits, metrics)
  return { server, connections }
}

function watchUnread(env: Env, connections: Connections): Cancel {
  let cancel: Cancel = () => undefined
  const look = (): void => {
    connections.shedUnread()
    cancel = env.timers.after(UNREAD_CHECK_MS, look, 'background')
  }
  look()
  return () => cancel()
}

/** A target may be a whole URL (RFC 9112, 3.2.2). What decides is then its host, not the header. */
function namesTwoHosts({ url = '', headers }: Pick<IncomingMessage, 'url' | 'headers'>): boolean {
  if (url.startsWith('/')) return false
  const named = new URL(url)
  const sent = `${named.protocol}//${headers.host}`
  return !URL.canParse(sent) || new URL(sent).host !== named.host
}

function use(server: Server | HttpsServer, pair: TlsPair): void {
  if ('setSecureContext' in server) server.setSecureContext(pair)
}

/** The path or the Host header of a request is no part of a URL. */
function notARequest(cause: unknown): Response {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return problemResponse(new HoldfastError('InvalidRequest', reason, { cause }))
}

function listen(server: Server | HttpsServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `cannot listen on ${host}:${port}: ${cause.message}`
      reject(new HoldfastError('InvalidArgument', message, { cause }))
    })
    server.listen(port, host, resolve)
  })
}
