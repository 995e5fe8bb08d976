/** The HTTP API as one function from a Request to a Response, whatever runtime calls it. */
import { Hono } from 'hono'
import type { Env } from '../../core/env.ts'
import type { AnyDatabase } from '../any-rows.ts'
import { operations } from '../operations.ts'
import { checkAccess, type AccessOptions } from './access.ts'
import { backupRoutes } from './backup-routes.ts'
import { bulkRoutes } from './bulk-routes.ts'
import { Entrance, noteRoutes } from './entrance.ts'
import { feedRoutes } from './feed-routes.ts'
import { Guard } from './guard.ts'
import { healthRoutes } from './health-routes.ts'
import { HttpMetrics } from './http-metrics.ts'
import { importRoutes } from './import-routes.ts'
import { HTTP_LIMITS, type HttpLimits } from './limits.ts'
import { metricsRoutes, type ProcessReader } from './metrics-routes.ts'
import { openapiRoutes } from './openapi-routes.ts'
import type { HttpApp, HttpEnv, HttpParts, RequestInfo } from './parts.ts'
import { asError, problemResponse } from './problem.ts'
import { queryRoutes } from './query-routes.ts'
import { rawPath } from './request.ts'
import { rowRoutes } from './row-routes.ts'
import { statusRoutes } from './status-routes.ts'
import { tableRoutes } from './table-routes.ts'
import { tokenRoutes } from './token-routes.ts'
import { scopeOf, Tokens } from './tokens.ts'
import { transactionRoutes } from './transaction-routes.ts'
import { unknownRoute } from './unknown-route.ts'
import { upkeepRoutes } from './upkeep-routes.ts'

export interface HandlerOptions extends AccessOptions {
  readonly limits?: Partial<HttpLimits> | undefined
  /** Told about errors that are nobody's fault outside: bugs, and what is broken on this machine. */
  readonly onProblem?: ((problem: Error) => void) | undefined
}

/** What the server around a handler knows and shares. */
export interface Surroundings {
  /** The address that is listened on. */
  readonly boundHost?: string | undefined
  readonly metrics?: HttpMetrics | undefined
  readonly process?: ProcessReader | undefined
}

export interface HttpHandler {
  /** Never rejects: what fails is a problem response. */
  fetch(this: void, request: Request, info?: RequestInfo): Response | Promise<Response>
  /** Ends feeds and refuses what comes new, `/livez` excepted. */
  drain(this: void): void
}

export function createHandlerOver(
  db: AnyDatabase,
  env: Env,
  options: HandlerOptions = {},
  around: Surroundings = {},
): HttpHandler {
  const { access = 'tokens' } = options
  checkAccess(options, access)
  const stopping = new AbortController()
  const tokens = new Tokens(db, env, stopping.signal)
  const parts: HttpParts = {
    db,
    env,
    operations: operations(db, env),
    limits: { ...HTTP_LIMITS, ...options.limits },
    metrics: around.metrics ?? new HttpMetrics(),
    scope: scopeOf(access, tokens),
    onProblem: (problem) => options.onProblem?.(problem),
    tokenChanged: (id) => tokens.forget(id),
    stopping: stopping.signal,
  }
  const app: HttpApp = new Hono<HttpEnv>({ getPath: rawPath })
  noteRoutes(app)
  addRoutes(app, parts, around.process)
  app.notFound(unknownRoute(app))
  app.onError((cause) => {
    const error = asError(cause)
    if (error.kind === 'bug' || error.kind === 'corrupt') options.onProblem?.(error)
    return problemResponse(error)
  })
  const entrance = new Entrance(app, parts, new Guard(access, options, around.boundHost))
  return {
    fetch: (request, info) => entrance.fetch(request, info),
    drain: () => stopping.abort(),
  }
}

/** Every route of the API. */
export function addRoutes(app: HttpApp, parts: HttpParts, process?: ProcessReader): void {
  healthRoutes(app, parts)
  metricsRoutes(app, parts, process)
  tokenRoutes(app, parts)
  rowRoutes(app, parts)
  queryRoutes(app, parts)
  bulkRoutes(app, parts)
  backupRoutes(app, parts)
  transactionRoutes(app, parts)
  tableRoutes(app, parts)
  importRoutes(app, parts)
  statusRoutes(app, parts)
  upkeepRoutes(app, parts)
  const feeds = feedRoutes(app, parts)
  parts.metrics.all.onCollect(() => parts.metrics.feeds.set(feeds.open.feeds))
  openapiRoutes(app, parts)
}
