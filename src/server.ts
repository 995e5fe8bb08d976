/** `holdfast/server`: the HTTP API over an open database. */
import { systemEnv } from './open.ts'
import type { AnyDatabase } from './server/any-rows.ts'
import { createHandlerOver, type HandlerOptions, type HttpHandler } from './server/http/handler.ts'
import type { Database } from './table/database.ts'
import type { TableDefinitions } from './table/schema.ts'

export type { HandlerOptions, HttpHandler } from './server/http/handler.ts'
export type { HttpLimits } from './server/http/limits.ts'
export type { RequestInfo, Scope } from './server/http/parts.ts'

/** The HTTP API of `db` as a function over the Fetch API: for Node, a fetch runtime or Lambda. */
export function createHandler<T extends TableDefinitions>(
  db: Database<T>,
  options?: HandlerOptions,
): HttpHandler {
  return createHandlerOver(db as unknown as AnyDatabase, systemEnv, options)
}
