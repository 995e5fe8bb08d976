/**
 * Connections to NATS, set for a database: the client's own defaults give up after some attempts, and
 * take minutes to notice a peer that is gone. What it is given while it has no connection lies in a
 * buffer that its next attempt clears; a NatsLink fails such calls by name instead.
 */
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node'
import { connect, credsAuthenticator, errors, nkeyAuthenticator } from '@nats-io/transport-node'
import { HoldfastError } from './errors.ts'
import { NATS_FLOOR, natsVersionFault } from './nats-version.ts'

export interface NatsOptions {
  /** Addresses, as `nats://host:4222`; several with commas between them, or as a list. */
  readonly servers: string | readonly string[]
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly token?: string | undefined
  /** The seed of an NKey, as text. */
  readonly nkeySeed?: string | undefined
  /** A credentials file's content: JWT and seed. */
  readonly credentials?: string | undefined
  readonly tls?:
    | {
        readonly caFile?: string | undefined
        readonly certFile?: string | undefined
        readonly keyFile?: string | undefined
      }
    | undefined
}

/** Milliseconds between pings; two that stay without answer end a connection. */
const PING_MS = 2_000
const PINGS_OUT = 2
const CONNECT_MS = 5_000
/** Milliseconds between attempts to connect again, and how much chance adds. */
const RECONNECT_MS = 100
const RECONNECT_JITTER_MS = 200
/** Bytes of the largest message that Holdfast sends: the servers' own default. */
const PAYLOAD_BYTES = 1024 * 1024

/** A call met no connection (`sent` false), or one that broke before the answer came. */
export class LinkDown extends Error {
  override readonly name = 'LinkDown'
  readonly sent: boolean

  constructor(sent: boolean, message: string) {
    super(message)
    this.sent = sent
  }
}

/**
 * Connects; what breaks later is connected again without end. `name`: what the servers list the
 * connection as. Throws `Unreachable` when no server answers, `EngineUnsupported` when the one that
 * does is too old, or takes too little at once.
 */
export async function connectNats(options: NatsOptions, name: string): Promise<NatsLink> {
  const all = connectionOptions(options, name)
  // Until it has connected once, the client asks servers that refuse it again and again, without a
  // pause, once others have been named to it: so first it asks those that it was given alone.
  const probe = await dial({ ...all, ignoreClusterUpdates: true })
  await probe.close()
  const connection = await dial(all)
  const fault = serverFault(connection)
  if (fault === undefined) return new NatsLink(connection)
  await connection.close()
  throw fault
}

/** One connection, which breaks and is made again behind it. */
export class NatsLink {
  readonly connection: NatsConnection
  /** Why nothing can be sent now. */
  #down: string | undefined
  /** Ends each call that is under way. */
  readonly #underWay = new Set<(cause: LinkDown) => void>()
  readonly #ended: Promise<Error | undefined>
  #closed = false

  constructor(connection: NatsConnection) {
    this.connection = connection
    // The client's promise resolves with the cause when it gave up.
    this.#ended = connection.closed().then((cause) => {
      this.#isDown(cause === undefined ? 'closed' : `closed: ${cause.message}`)
      return this.#closed ? undefined : (cause ?? new Error('the connection to NATS ended'))
    })
    void this.#watch()
  }

  get connected(): boolean {
    return this.#down === undefined
  }

  /** Resolves at its end; with the cause when nobody here closed it. */
  get ended(): Promise<Error | undefined> {
    return this.#ended
  }

  /** Runs what sends and awaits an answer. Rejects with `LinkDown` as soon as none can come. */
  call<T>(send: () => Promise<T>): Promise<T> {
    if (this.#down !== undefined) {
      return Promise.reject(new LinkDown(false, `no NATS server is connected: ${this.#down}`))
    }
    return new Promise((resolve, reject) => {
      this.#underWay.add(reject)
      const over = (): void => {
        this.#underWay.delete(reject)
      }
      send().then(
        (value) => {
          over()
          resolve(value)
        },
        (cause: unknown) => {
          over()
          reject(cause instanceof Error ? cause : new Error(String(cause)))
        },
      )
    })
  }

  /** Leaves this server for another: it answers, but does not serve. */
  move(): void {
    void this.connection.reconnect()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.connection.close()
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.connection.status()) {
      if (type === 'disconnect') this.#isDown('the connection broke')
      else if (type === 'reconnect') this.#isUp()
    }
  }

  #isDown(why: string): void {
    this.#down = why
    for (const fail of this.#underWay) fail(new LinkDown(true, `no answer of NATS came: ${why}`))
    this.#underWay.clear()
  }

  #isUp(): void {
    this.#down = serverFault(this.connection)?.message
    if (this.#down !== undefined) this.move()
  }
}

/** The name of a database is part of subjects and streams' names. Throws `InvalidArgument`. */
export function checkNatsName(name: string): void {
  if (/^[A-Za-z0-9_-]+$/.test(name)) return
  throw new HoldfastError('InvalidArgument', `'${name}' is no name of a database on NATS`)
}

/** Whether a call failed since nobody was there who answers it. */
export function hasNoResponder(cause: unknown): boolean {
  if (cause instanceof errors.NoRespondersError) return true
  return cause instanceof Error && cause.cause !== undefined && hasNoResponder(cause.cause)
}

async function dial(options: ConnectionOptions): Promise<NatsConnection> {
  try {
    return await connect(options)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HoldfastError('Unreachable', `no NATS server can be reached: ${reason}`, { cause })
  }
}

function serverFault({ info }: NatsConnection): HoldfastError | undefined {
  if (info === undefined) return undefined
  const { version, server_name: name, max_payload: payload } = info
  const fault = natsVersionFault(version)
  if (fault !== undefined) return unsupported(`the NATS server ${name} ${fault}`, { version })
  if (payload >= PAYLOAD_BYTES) return undefined
  const message = `the NATS server ${name} takes messages of ${payload} bytes at the most, not 1 MiB`
  return unsupported(message, { maxPayload: payload })
}

function unsupported(message: string, details: Readonly<Record<string, unknown>>): HoldfastError {
  return new HoldfastError('EngineUnsupported', message, {
    details: { ...details, floor: NATS_FLOOR },
  })
}

function connectionOptions(options: NatsOptions, name: string): ConnectionOptions {
  const { servers, user, password, token, nkeySeed, credentials, tls } = options
  const list = typeof servers === 'string' ? servers.split(',') : [...servers]
  const text = new TextEncoder()
  return {
    servers: list.map((server) => server.trim()),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_MS,
    reconnectJitter: RECONNECT_JITTER_MS,
    reconnectJitterTLS: RECONNECT_JITTER_MS,
    pingInterval: PING_MS,
    maxPingOut: PINGS_OUT,
    timeout: CONNECT_MS,
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { pass: password }),
    ...(token === undefined ? {} : { token }),
    ...(nkeySeed === undefined ? {} : { authenticator: nkeyAuthenticator(text.encode(nkeySeed)) }),
    ...(credentials === undefined
      ? {}
      : { authenticator: credsAuthenticator(text.encode(credentials)) }),
    ...(tls === undefined ? {} : { tls: present(tls) }),
  }
}

/** Without the members that are undefined. */
function present<T extends object>(value: T): { [K in keyof T]-?: Exclude<T[K], undefined> } {
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  return Object.fromEntries(members) as { [K in keyof T]-?: Exclude<T[K], undefined> }
}
