/**
 * Connections to NATS, set for a database: the client's own defaults give up after some attempts, and
 * take minutes to notice a peer that is gone. What it is given while it has no connection lies in a
 * buffer that its next attempt clears; a NatsLink fails such calls by name instead.
 */
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node'
import { connect, errors } from '@nats-io/transport-node'
import type { Env } from './env.ts'
import { HoldfastError } from './errors.ts'
import { connectionOptions, type NatsOptions, type Pace } from './nats-options.ts'
import {
  dialRefusal,
  forbidden,
  isCredentialsError,
  unauthenticated,
  type Violation,
} from './nats-refusals.ts'
import { NATS_FLOOR, natsVersionFault } from './nats-version.ts'

export type { Violation } from './nats-refusals.ts'
export { forDatabase, type NatsOptions } from './nats-options.ts'

/** Bytes of the largest message that Holdfast sends: the servers' own default. */
const PAYLOAD_BYTES = 1024 * 1024

/** A call met no connection (`sent` false), or one that broke before the answer came. */
export class LinkDown extends Error {
  override readonly name = 'LinkDown'
  readonly sent: boolean
  /** Why the servers let nobody in, where they said so. */
  readonly refusal: HoldfastError | undefined

  constructor(sent: boolean, message: string, refusal?: HoldfastError) {
    super(message)
    this.sent = sent
    this.refusal = refusal
  }
}

/**
 * Connects; what breaks later is connected again without end. `name`: what the servers list the
 * connection as. Throws `InvalidArgument`, `Unreachable` when no server answers,
 * `EngineUnauthenticated` when one does not let this node in, or cannot be trusted, and
 * `EngineUnsupported` when it is too old, or takes too little at once.
 */
export async function connectNats(env: Env, options: NatsOptions, name: string): Promise<NatsLink> {
  const pace: Pace = { refused: false }
  const all = connectionOptions(env, options, name, pace)
  // Until it has connected once, the client asks servers that refuse it again and again, without a
  // pause, once others have been named to it: so first it asks those that it was given alone.
  const probe = await dial(options, { ...all, ignoreClusterUpdates: true })
  await probe.close()
  const connection = await dial(options, all)
  const fault = serverFault(connection)
  if (fault === undefined) return new NatsLink(connection, options, pace)
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
  readonly #options: NatsOptions
  readonly #pace: Pace
  /** The servers refuse this node since it was connected last. */
  #refusal: HoldfastError | undefined
  readonly #onReconnect = new Set<() => void>()
  readonly #onForbidden = new Set<(violation: Violation) => void>()
  #closed = false

  constructor(connection: NatsConnection, options: NatsOptions, pace: Pace) {
    this.connection = connection
    this.#options = options
    this.#pace = pace
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
      const message = `no NATS server is connected: ${this.#refusal?.message ?? this.#down}`
      return Promise.reject(new LinkDown(false, message, this.#refusal))
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

  /** Calls `told` whenever a connection that broke was made again. */
  onReconnect(told: () => void): void {
    this.#onReconnect.add(told)
  }

  /** Calls `told` with each subject that the servers forbid this node. Gives what ends that. */
  onForbidden(told: (violation: Violation) => void): () => void {
    this.#onForbidden.add(told)
    return () => void this.#onForbidden.delete(told)
  }

  /**
   * Runs what publishes and subscribes, so that servers which forbid it say so. Throws
   * `EngineForbidden` with all that they named.
   */
  async assertAllowed(
    attempt: (connection: NatsConnection) => void | Promise<void>,
  ): Promise<void> {
    const found = new Map<string, Violation>()
    const end = this.onForbidden((violation) => found.set(JSON.stringify(violation), violation))
    try {
      await this.call(async () => {
        await attempt(this.connection)
        // Servers answer in order; the second answer comes once what the first brought was told.
        await this.connection.flush()
        await this.connection.flush()
      })
    } catch (cause) {
      if (!(cause instanceof LinkDown)) throw cause
      throw new HoldfastError('Unreachable', cause.message, { cause })
    } finally {
      end()
    }
    if (found.size > 0) throw forbidden([...found.values()], this.#options)
  }

  /** The error for what the servers forbid; undefined for any other failure of a call. */
  forbiddenBy(cause: unknown): HoldfastError | undefined {
    const found = violationOf(cause)
    return found === undefined ? undefined : this.refuse(found)
  }

  refuse(violation: Violation): HoldfastError {
    return forbidden([violation], this.#options)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.connection.close()
  }

  async #watch(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === 'disconnect') this.#isDown('the connection broke')
      else if (status.type === 'reconnect') this.#isUp()
      else if (status.type === 'error') this.#heard(status.error)
    }
  }

  #heard(error: Error): void {
    const violation = violationOf(error)
    if (violation !== undefined) {
      for (const told of this.#onForbidden) told(violation)
    } else if (isCredentialsError(error)) {
      this.#refusal = unauthenticated(error.message, this.#options)
      this.#pace.refused = true
    }
  }

  #isDown(why: string): void {
    this.#down = why
    for (const fail of this.#underWay) fail(new LinkDown(true, `no answer of NATS came: ${why}`))
    this.#underWay.clear()
  }

  #isUp(): void {
    this.#refusal = undefined
    this.#pace.refused = false
    this.#down = serverFault(this.connection)?.message
    if (this.#down !== undefined) {
      this.move()
      return
    }
    for (const told of this.#onReconnect) told()
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

function violationOf(cause: unknown): Violation | undefined {
  if (cause instanceof errors.PermissionViolationError) {
    const { operation, subject, queue } = cause
    return { operation: operation === 'publish' ? 'publish' : 'subscribe', subject, queue }
  }
  return cause instanceof Error && cause.cause !== undefined ? violationOf(cause.cause) : undefined
}

async function dial(options: NatsOptions, all: ConnectionOptions): Promise<NatsConnection> {
  try {
    return await connect(all)
  } catch (cause) {
    throw await dialRefusal(cause, options)
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
