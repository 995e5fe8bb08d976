/** What NATS servers refuse: who this node says it is, and what it may not do. */
import { createConnection } from 'node:net'
import { errors } from '@nats-io/transport-node'
import { HoldfastError } from './errors.ts'
import { identityOf, serversOf, urlOf, type NatsOptions } from './nats-options.ts'

/** What the servers do not let this node do. */
export interface Violation {
  readonly operation: 'publish' | 'subscribe'
  readonly subject: string
  readonly queue?: string | undefined
}

/** Codes of Node for a server's certificate that does not hold. */
const UNTRUSTED = [
  ...['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'CERT_UNTRUSTED', 'CERT_REJECTED'],
  ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ...['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT'],
  ...['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'CERT_SIGNATURE_FAILURE', 'INVALID_CA'],
]
/** Milliseconds that a server may take to say what it is. */
const INFO_MS = 1_000
const INFO_BYTES_MAX = 64 * 1024
const PORT_DEFAULT = 4222

/** Whether the servers said that they do not know this node, or do not any more. */
export function isCredentialsError(cause: unknown): cause is Error {
  if (cause instanceof errors.UserAuthenticationExpiredError) return true
  // A server that waits too long for an answer has the same class of error.
  return cause instanceof errors.AuthorizationError && !/timeout/i.test(cause.message)
}

/** The error for servers that do not know this node: `said` is their own word. */
export function unauthenticated(said: string, options: NatsOptions): HoldfastError {
  const who = identityOf(options)
  const message = `the NATS servers refuse ${who}: ${said.toLowerCase()}`
  return new HoldfastError('EngineUnauthenticated', message)
}

/** The error for what this node may not do: it names each subject. */
export function forbidden(violations: readonly Violation[], options: NatsOptions): HoldfastError {
  const list = violations.map(
    ({ operation, subject, queue }) =>
      `${operation === 'publish' ? 'publish' : 'subscribe'} to ${subject}` +
      (queue === undefined ? '' : ` (queue ${queue})`),
  )
  const message = `the NATS servers forbid ${identityOf(options)} to ${list.join(', ')}`
  return new HoldfastError('EngineForbidden', message, {
    details: { violations: violations.map(({ operation, subject }) => ({ operation, subject })) },
  })
}

/** What to tell when no connection could be made. */
export async function dialRefusal(cause: unknown, options: NatsOptions): Promise<HoldfastError> {
  const reason = cause instanceof Error ? cause.message : String(cause)
  if (isCredentialsError(cause)) return unauthenticated(reason, options)
  const { code } = cause as NodeJS.ErrnoException
  if (code !== undefined && UNTRUSTED.includes(code)) {
    const by = options.tls === undefined ? 'this system' : '`tls`'
    return untrusted(`${by} does not trust the NATS server's certificate: ${reason}`, cause)
  }
  if (/does not support 'tls'/.test(reason)) {
    return untrusted('the NATS server offers no TLS, which `tls` demands', cause)
  }
  if (cause instanceof errors.TimeoutError && (await asksForCertificate(options))) {
    const given = options.tls?.cert ?? options.tls?.certFile
    const what = given === undefined ? 'and none was given' : 'and does not accept the one given'
    return untrusted(`the NATS server asks for a node's certificate, ${what}`, cause)
  }
  return new HoldfastError('Unreachable', `no NATS server can be reached: ${reason}`, { cause })
}

function untrusted(message: string, cause: unknown): HoldfastError {
  return new HoldfastError('EngineUnauthenticated', message, { cause })
}

/**
 * Whether the first server that answers wants certificates of its clients. One that does not like
 * ours says so only when all seems done (TLS 1.3), which the client does not hear.
 */
async function asksForCertificate(options: NatsOptions): Promise<boolean> {
  for (const server of serversOf(options)) {
    const info = await infoOf(server)
    if (info !== undefined) return info['tls_verify'] === true
  }
  return false
}

/** The first line that a server sends; undefined when it sends none in time. */
function infoOf(server: string): Promise<Record<string, unknown> | undefined> {
  const { hostname, port } = new URL(urlOf(server))
  return new Promise((resolve) => {
    let text = ''
    const socket = createConnection(port === '' ? PORT_DEFAULT : Number(port), hostname)
    const end = (info?: Record<string, unknown>): void => {
      socket.destroy()
      resolve(info)
    }
    socket.setTimeout(INFO_MS, () => end())
    socket.on('error', () => end())
    socket.on('close', () => end())
    socket.on('data', (data) => {
      text += data.toString()
      const line = /^INFO (\{.*\})\s*\r\n/.exec(text)?.[1]
      if (line !== undefined) end(JSON.parse(line) as Record<string, unknown>)
      else if (text.length > INFO_BYTES_MAX) end()
    })
  })
}
