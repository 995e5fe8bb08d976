/**
 * How NATS is reached, and as whom. What can be seen to be wrong without asking a server is refused
 * here, by the option's name; no message has a password, a token or a seed in it.
 */
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import {
  jwtAuthenticator,
  nkeyAuthenticator,
  nkeys,
  type ConnectionOptions,
} from '@nats-io/transport-node'
import type { Env } from './env.ts'
import { HoldfastError } from './errors.ts'

export interface NatsTls {
  /** Certificates of who may vouch for the servers (PEM), as text or a file. Default: the system's. */
  readonly ca?: string | undefined
  readonly caFile?: string | undefined
  /** This node's own certificate and private key (PEM), for servers that ask for one. */
  readonly cert?: string | undefined
  readonly certFile?: string | undefined
  readonly key?: string | undefined
  readonly keyFile?: string | undefined
}

export interface NatsOptions {
  /** Addresses, as `nats://host:4222`; several with commas between them, or as a list. */
  readonly servers: string | readonly string[]
  /** Who this is: by `user` and `password`, or one of `token`, `nkeySeed` and `credentials`. */
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly token?: string | undefined
  /** The seed of an NKey, as text. */
  readonly nkeySeed?: string | undefined
  /** A credentials file's content: JWT and seed. */
  readonly credentials?: string | undefined
  /** Or the file itself, which is read again whenever a connection is made. */
  readonly credentialsFile?: string | undefined
  /** Demands TLS; `{}` where the system knows who vouches for the servers. */
  readonly tls?: NatsTls | undefined
  /**
   * What the subjects begin with that answers come back on. Default `holdfast.NAME.inbox`, with the
   * name of the database; a user whose answers no other may hear has a prefix of its own.
   */
  readonly inboxPrefix?: string | undefined
}

/** Milliseconds between pings; two that stay without answer end a connection. */
const PING_MS = 2_000
const PINGS_OUT = 2
const CONNECT_MS = 5_000
/** Milliseconds between attempts to connect again, and how much chance adds. */
const RECONNECT_MS = 100
const RECONNECT_JITTER_MS = 200
/** Servers that refuse the credentials are asked less often. */
const REFUSED_MS = 2_000

/** What a connection's pace depends on. */
export interface Pace {
  refused: boolean
}

/** Throws `InvalidArgument`. */
export function connectionOptions(
  env: Env,
  options: NatsOptions,
  name: string,
  pace: Pace,
): ConnectionOptions {
  const { inboxPrefix } = options
  return {
    servers: serversOf(options),
    name,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () =>
      (pace.refused ? REFUSED_MS : RECONNECT_MS) + env.random.float() * RECONNECT_JITTER_MS,
    pingInterval: PING_MS,
    maxPingOut: PINGS_OUT,
    timeout: CONNECT_MS,
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
    ...(inboxPrefix === undefined ? {} : { inboxPrefix: checkedInbox(inboxPrefix) }),
    ...authentication(options),
    ...(options.tls === undefined ? {} : { tls: checkedTls(options.tls) }),
  }
}

/** With the inbox of a database, unless they name one. */
export function forDatabase<T extends NatsOptions>(options: T, name: string): T {
  return { ...options, inboxPrefix: options.inboxPrefix ?? `holdfast.${name}.inbox` }
}

/** Throws `InvalidArgument`. */
export function serversOf({ servers }: NatsOptions): string[] {
  const given: unknown = typeof servers === 'string' ? servers.split(',') : servers
  // The client would go to this machine's own port 4222.
  if (!Array.isArray(given) || given.length === 0) throw invalid('`servers` names no NATS server')
  const list = given.map((server) => String(server).trim())
  if (list.some((server) => server.includes('@'))) {
    throw invalid('an address in `servers` has a user in it: who this is goes by other options')
  }
  const odd = list.find((server) => !isAddress(server))
  if (odd !== undefined) throw invalid(`'${odd}' in \`servers\` is no address of a NATS server`)
  return list
}

const isAddress = (server: string): boolean =>
  URL.canParse(urlOf(server)) && new URL(urlOf(server)).hostname !== ''

/** An address, with the scheme that may be left out. */
export function urlOf(server: string): string {
  return server.includes('://') ? server : `nats://${server}`
}

/** How this node says who it is, in words for messages. */
export function identityOf(options: NatsOptions): string {
  const { user, token, nkeySeed, credentials, credentialsFile, tls } = options
  if (user !== undefined) return `the user '${user}' with the password given`
  if (token !== undefined) return 'the token given'
  if (nkeySeed !== undefined) return `the NKey ${publicKey(nkeySeed)}`
  if (credentialsFile !== undefined) return `the credentials in ${credentialsFile}`
  if (credentials !== undefined) return 'the credentials given'
  if (tls?.cert !== undefined || tls?.certFile !== undefined) return 'the certificate given'
  return 'a node that gives no credentials'
}

function authentication(options: NatsOptions): Partial<ConnectionOptions> {
  const { user, password, token, nkeySeed, credentials, credentialsFile } = options
  const ways = { user, token, nkeySeed, credentials, credentialsFile }
  const given = Object.entries(ways).filter(([, value]) => value !== undefined)
  if (given.length > 1) {
    throw invalid(`of ${given.map(([way]) => `\`${way}\``).join(' and ')} give one`)
  }
  if (password !== undefined && user === undefined) throw invalid('`password` goes with `user`')
  if (user !== undefined) return { user, ...(password === undefined ? {} : { pass: password }) }
  if (token !== undefined) return { token }
  if (nkeySeed !== undefined) {
    publicKey(nkeySeed)
    return { authenticator: nkeyAuthenticator(bytesOf(nkeySeed.trim())) }
  }
  if (credentials !== undefined) return ofCredentials(() => credentials, '`credentials`')
  if (credentialsFile === undefined) return {}
  return ofCredentials(() => textOf('credentialsFile', credentialsFile), credentialsFile)
}

interface Credentials {
  readonly jwt: string
  readonly seed: string
}

function ofCredentials(read: () => string, what: string): Partial<ConnectionOptions> {
  let last = parseCredentials(read(), what)
  const jwt = (): string => {
    try {
      last = parseCredentials(read(), what)
    } catch {
      // A file that is being replaced: those before it may still do, and a server says if they do not.
    }
    return last.jwt
  }
  return { authenticator: jwtAuthenticator(jwt, () => bytesOf(last.seed)) }
}

const CREDENTIALS =
  /-{3,}BEGIN NATS USER JWT-{3,}\s+(\S+)\s+-{3,}END NATS USER JWT-{3,}[^]*?-{3,}BEGIN USER NKEY SEED-{3,}\s+(\S+)\s/

function parseCredentials(text: string, what: string): Credentials {
  const [, jwt, seed] = CREDENTIALS.exec(text) ?? []
  if (jwt === undefined || seed === undefined) {
    throw invalid(`${what}: it has no user's JWT with an NKey seed behind it`)
  }
  publicKey(seed)
  return { jwt, seed }
}

/** Throws `InvalidArgument`, without what was given. */
function publicKey(seed: string): string {
  try {
    return nkeys.fromSeed(bytesOf(seed.trim())).getPublicKey()
  } catch {
    throw invalid('the seed of the NKey is damaged: it begins with SU and has 58 characters')
  }
}

/** Files are read by the client, at each connection anew; here it is only seen that they will do. */
function checkedTls(tls: NatsTls): NonNullable<ConnectionOptions['tls']> {
  const given = Object.entries(tls).filter((entry) => entry[1] !== undefined)
  const present = Object.fromEntries(given) as { [K in keyof NatsTls]: string }
  const { ca, cert, key } = contents(present)
  if ((cert === undefined) !== (key === undefined)) {
    throw invalid('tls: a certificate and its private key go together')
  }
  if (ca !== undefined && !ca.includes('-----BEGIN CERTIFICATE-----')) {
    throw invalid(`tls.ca: ${present.caFile ?? 'the text'} has no certificate in PEM`)
  }
  try {
    createSecureContext({
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
    })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw invalid(`tls: certificate and private key cannot be used: ${reason}`)
  }
  return present
}

function contents(tls: { [K in keyof NatsTls]: string }): Pick<NatsTls, 'ca' | 'cert' | 'key'> {
  const { ca, caFile, cert, certFile, key, keyFile } = tls
  const content = (text: string | undefined, name: string, path: string | undefined) =>
    text ?? (path === undefined ? undefined : textOf(name, path))
  return {
    ca: content(ca, 'tls.caFile', caFile),
    cert: content(cert, 'tls.certFile', certFile),
    key: content(key, 'tls.keyFile', keyFile),
  }
}

function textOf(option: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HoldfastError('InvalidArgument', `${option} cannot be read: ${reason}`, { cause })
  }
}

function checkedInbox(prefix: string): string {
  if (/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(prefix)) return prefix
  throw invalid(`inboxPrefix '${prefix}' is no subject: tokens of A-Z, a-z, 0-9, _ and -`)
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

const invalid = (message: string): HoldfastError => new HoldfastError('InvalidArgument', message)
