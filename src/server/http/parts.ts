/** What every route of the HTTP API is made over. */
import type { Context, Hono, MiddlewareHandler } from 'hono'
import type { Env } from '../../core/env.ts'
import type { AnyDatabase } from '../any-rows.ts'
import type { Operations } from '../operations.ts'
import type { HttpLimits } from './limits.ts'

/** What a token may do: see rows, change rows, or change tables, tokens and the server. */
export type Scope = 'read' | 'write' | 'operate'

export interface HttpParts {
  readonly db: AnyDatabase
  readonly env: Env
  readonly operations: Operations
  readonly limits: HttpLimits
  /** Lets a request pass that has the scope; throws `Unauthenticated` or `Forbidden` otherwise. */
  readonly scope: (scope: Scope) => MiddlewareHandler<HttpEnv>
  /** Aborted when the server drains: feeds end, and what comes new is refused. */
  readonly stopping: AbortSignal
}

/** What the runtime knows of a request beside the request itself. */
export interface RequestInfo {
  /** The address that the connection comes from; undefined where the runtime does not say. */
  readonly remote?: string | undefined
}

export interface HttpEnv {
  Bindings: RequestInfo
  Variables: Record<never, never>
}

export type HttpApp = Hono<HttpEnv>
export type HttpContext = Context<HttpEnv>
