/** `holdfast/server`: the HTTP API over an open database. */
import { systemEnv, watchProcess } from './open.ts'
import { createHandlerOver, type HandlerOptions, type HttpHandler } from './server/http/handler.ts'
import type { ProcessReader } from './server/http/metrics-routes.ts'
import { serveOver, type HttpServer, type ServeOptions } from './server/http/node-server.ts'
import type { Database } from './table/database.ts'
import type { TableDefinitions } from './table/schema.ts'

export type { Access, AccessOptions } from './server/http/access.ts'
export type { HandlerOptions, HttpHandler } from './server/http/handler.ts'
export { lambdaHandler, type LambdaHandler } from './server/http/lambda.ts'
export type { ConnectionLimits, HttpLimits } from './server/http/limits.ts'
export type { CloseOptions, HttpServer, ServeOptions } from './server/http/node-server.ts'
export type { RequestInfo, Scope } from './server/http/parts.ts'
export type { TlsOptions } from './server/http/tls-files.ts'

let processReader: ProcessReader | undefined
/** One for all servers of the process: it measures for as long as the process lives. */
const readProcess = (): ProcessReader => (processReader ??= watchProcess())

/**
 * The HTTP API of `db` as a function over the Fetch API: for Node, a fetch runtime or Lambda. It
 * asks for tokens, unless `access` says that everybody who can call it is trusted.
 */
export function createHandler<T extends TableDefinitions>(
  db: Database<T>,
  options: HandlerOptions = {},
): HttpHandler {
  return createHandlerOver(db, systemEnv, options, {
    process: readProcess(),
  })
}

/**
 * Serves the HTTP API of `db` on a port of this machine, by default http://127.0.0.1:4653, until it
 * is closed. Other addresses than this machine's own need tokens, and one must exist.
 *
 * @throws HoldfastError `InvalidArgument`, `Unauthenticated`
 */
export function serve<T extends TableDefinitions>(
  db: Database<T>,
  options: ServeOptions = {},
): Promise<HttpServer> {
  return serveOver(db, systemEnv, options, readProcess())
}
