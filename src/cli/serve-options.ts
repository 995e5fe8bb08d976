/** What `holdfast start` says of its HTTP server, as options of `serve`. */
import { HoldfastError } from '../core/errors.ts'
import type { ServeOptions } from '../server.ts'
import { UsageError } from './exit-codes.ts'

export interface HttpOptions {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly access?: 'loopback' | 'tokens' | undefined
  readonly tlsCert?: string | undefined
  readonly tlsKey?: string | undefined
  readonly allowOrigin?: readonly string[] | undefined
  readonly allowHost?: readonly string[] | undefined
  /** False: no HTTP. Default true. */
  readonly http?: boolean | undefined
}

const DEFAULT_PORT = 4653
const PORT_MAX = 65_535

/** Throws UsageError. */
export function serveOptionsOf(options: HttpOptions): ServeOptions {
  const { host, port = DEFAULT_PORT, access, tlsCert, tlsKey, allowOrigin, allowHost } = options
  if (port > PORT_MAX) throw new UsageError(`--port is at most ${PORT_MAX}; 0 takes a free one`)
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new UsageError('--tls-cert and --tls-key go together')
  }
  return {
    host,
    port,
    access,
    allowedOrigins: allowOrigin,
    allowedHosts: allowHost,
    tls:
      tlsCert === undefined || tlsKey === undefined
        ? undefined
        : { certFile: tlsCert, keyFile: tlsKey },
  }
}

/** The error of a server that could not start, with the command that helps. */
export function serveError(
  error: unknown,
  { port = DEFAULT_PORT, host = '' }: ServeOptions,
): unknown {
  if (!(error instanceof HoldfastError)) return error
  const { code, message, cause, applied, details } = error
  const next = nextOf(error, port, host)
  if (next === undefined) return error
  return new HoldfastError(code, message, { cause, applied, details: { ...details, next } })
}

function nextOf({ code, cause }: HoldfastError, port: number, host: string): string | undefined {
  if (code === 'Unauthenticated') {
    return `holdfast token create NAME --scope write, then holdfast start --host ${host}`
  }
  switch ((cause as NodeJS.ErrnoException | undefined)?.code) {
    case 'EADDRINUSE':
      return `holdfast start --port ${port + 1}   (another process has port ${port}), or --no-http`
    case 'EACCES':
      return `holdfast start --port ${DEFAULT_PORT}   (port ${port} needs more rights)`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return 'holdfast start --host 127.0.0.1   (this machine has no such address)'
    default:
      return undefined
  }
}
