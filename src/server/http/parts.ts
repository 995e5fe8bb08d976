/** What every route of the HTTP API is made over. */
import type { Context, Hono } from 'hono'
import type { Env } from '../../core/env.ts'
import type { AnyDatabase } from '../any-rows.ts'
import type { Operations } from '../operations.ts'
import type { Scope } from '../scopes.ts'
import type { HttpMetrics } from './http-metrics.ts'
import type { HttpLimits } from './limits.ts'

export type { Scope } from '../scopes.ts'

export interface HttpParts {
  readonly db: AnyDatabase
  readonly env: Env
  readonly operations: Operations
  readonly limits: HttpLimits
  readonly metrics: HttpMetrics
  /** Lets a request pass that has the scope; throws `Unauthenticated` or `Forbidden` otherwise. */
  readonly scope: (scope: Scope) => (c: HttpContext) => Promise<void> | undefined
  /** Called when the token with this id was changed through this handler. */
  readonly tokenChanged: (id: string) => void
  /** Told of what no answer can tell: what breaks once an answer has begun. */
  readonly onProblem: (problem: Error) => void
  /** Aborted when the server drains: feeds end, and what comes new is refused. */
  readonly stopping: AbortSignal
}

/** What the runtime knows of a request beside the request itself. */
export interface RequestInfo {
  /** The address that the connection comes from; undefined where the runtime does not say. */
  readonly remote?: string | undefined
  /** The request's headers, where the runtime has a shorter way to them than the request. */
  readonly headers?: HeaderReader | undefined
  /** The same for a body whose length, in bytes, was announced: that many at the most. */
  readonly readBody?: ((length: number) => Promise<Uint8Array>) | undefined
}

/** What is read of headers: a `Headers` is one. */
export interface HeaderReader {
  /** The values of all fields of this name, in lower case, joined by commas; or null. */
  get(name: string): string | null
}

/** One request's way through the server. */
export interface Visit extends RequestInfo {
  readonly headers: HeaderReader
  /** The pattern of the route that it took; empty when there is none. */
  route: string
  /**
   * Whether its token still has the scope that let it in: throws, or rejects, when it has not. For
   * answers that do not end. Undefined where no token is needed.
   */
  stillMay?: StillMay
}

export type StillMay = () => Promise<void> | undefined

export interface HttpEnv {
  Bindings: Visit
  Variables: Record<never, never>
}

export type HttpApp = Hono<HttpEnv>
export type HttpContext = Context<HttpEnv>
