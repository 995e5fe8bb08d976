/** The HTTP API as one function from a Request to a Response, whatever runtime calls it. */
import { Hono } from 'hono'
import type { Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import type { AnyDatabase } from '../any-rows.ts'
import { operations } from '../operations.ts'
import { HTTP_LIMITS, type HttpLimits } from './limits.ts'
import type { HttpApp, HttpEnv, HttpParts, RequestInfo } from './parts.ts'
import { asError, problemResponse } from './problem.ts'
import { rowRoutes } from './row-routes.ts'

export interface HandlerOptions {
  readonly limits?: Partial<HttpLimits> | undefined
}

export interface HttpHandler {
  /** Never rejects: what fails is a problem response. */
  fetch(request: Request, info?: RequestInfo): Response | Promise<Response>
  /** Ends feeds and refuses what comes new, `/livez` excepted. */
  drain(): void
}

export function createHandlerOver(
  db: AnyDatabase,
  env: Env,
  options: HandlerOptions = {},
): HttpHandler {
  const stopping = new AbortController()
  const parts: HttpParts = {
    db,
    env,
    operations: operations(db, env),
    limits: { ...HTTP_LIMITS, ...options.limits },
    scope: () => (_c, next) => next(),
    stopping: stopping.signal,
  }
  const app: HttpApp = new Hono<HttpEnv>()
  rowRoutes(app, parts)
  app.notFound((c) =>
    problemResponse(new HoldfastError('UnknownRoute', `there is no ${c.req.method} ${c.req.path}`)),
  )
  app.onError((cause) => problemResponse(asError(cause)))
  return {
    fetch: (request, info) => app.fetch(request, info),
    drain: () => stopping.abort(),
  }
}
