/** Streams of JetStream: opened, made when they are missing, and checked; what refusals mean. */
import {
  jetstreamManager,
  JetStreamApiError,
  StorageType,
  type JetStreamManager,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import { delay, type Env } from './env.ts'
import { HoldfastError } from './errors.ts'
import type { NatsLink } from './nats-connection.ts'

export interface WantedStream {
  readonly name: string
  /** How it must be: else it is refused. */
  readonly settings: Partial<StreamConfig>
  /** How it is made besides. */
  readonly limits: Partial<StreamConfig>
  /** Servers that keep it. Default 3 on a cluster, 1 on a lone server. */
  readonly replicas?: number | undefined
  /** Whether there must be one already: else its lack is `LogReset`. */
  readonly mustExist?: boolean | undefined
  /** The error for servers that have no room for it. */
  readonly noRoom: (cause: JetStreamApiError) => HoldfastError
}

/** Servers that have just started may not know of a stream yet: for so long it must be missing. */
export const MISSING_MS = 5_000
export const NANOS_PER_MS = 1_000_000
/** Milliseconds that opening may take: servers that have just started elect first. */
const OPEN_WITHIN_MS = 30_000
/** Between attempts: doubled from the first to the last. */
const RETRY_MS = [50, 1_000] as const
/** How long an attempt may take, likewise: servers without a leader do not answer at all. */
const ATTEMPT_MS = [250, 4_000] as const
/** How long the servers may take to answer a question about the stream. */
const ANSWER_MS = 2_000
const STREAM_NOT_FOUND = 10_059
/** What a lone server answers when it is asked for several replicas. */
const REPLICAS_NOT_POSSIBLE = 10_074
const REPLICAS = 3

/**
 * Opens a stream. Throws `LogUnavailable` when that takes too long, `EngineUnsupported` when the
 * stream is set up otherwise, `EngineForbidden` when it must be made and this node may not, and what
 * `noRoom` gives.
 */
export async function openNatsStream(
  env: Env,
  link: NatsLink,
  wanted: WantedStream,
): Promise<{ manager: JetStreamManager; info: StreamInfo }> {
  const { connection } = link
  const startMs = env.clock.monotonicMs()
  let retryMs: number = RETRY_MS[0]
  let attemptMs: number = ATTEMPT_MS[0]
  for (;;) {
    try {
      const info = await infoOrMade(await managerOf(connection, attemptMs), wanted)
      checkSettings(info.config, wanted)
      return { manager: await managerOf(connection, ANSWER_MS), info }
    } catch (cause) {
      if (cause instanceof HoldfastError) throw cause
      const forbidden = link.forbiddenBy(cause)
      if (forbidden !== undefined) throw forbidden
      if (hasNoRoom(cause)) throw wanted.noRoom(cause)
      const waitedMs = env.clock.monotonicMs() - startMs
      if (isStreamMissing(cause) && waitedMs >= MISSING_MS) throw gone(wanted.name, cause)
      if (waitedMs >= OPEN_WITHIN_MS) throw unavailable(wanted.name, cause)
      await delay(env, retryMs)
      retryMs = Math.min(RETRY_MS[1], 2 * retryMs)
      attemptMs = Math.min(ATTEMPT_MS[1], 2 * attemptMs)
    }
  }
}

/**
 * Publishes to subjects of a stream, and to requests of JetStream about it (`STREAM.INFO` and the
 * like), what each of them refuses, or reads: it shows whether this node may. Not for requests that
 * change something: some take what they cannot read for a wish for everything.
 */
export function tryStream(
  connection: NatsConnection,
  stream: string,
  subjects: readonly string[],
  requests: readonly string[],
): void {
  const other = `not-${stream}`
  for (const subject of subjects) {
    const refused = headers()
    refused.set('Nats-Expected-Stream', other)
    connection.publish(subject, '', { headers: refused })
  }
  const asked = JSON.stringify({ stream_name: other })
  for (const request of requests) connection.publish(`$JS.API.${request}`, asked)
}

const managerOf = (connection: NatsConnection, timeout: number): Promise<JetStreamManager> =>
  jetstreamManager(connection, { timeout, checkAPI: false })

async function infoOrMade(manager: JetStreamManager, wanted: WantedStream): Promise<StreamInfo> {
  try {
    return await manager.streams.info(wanted.name)
  } catch (cause) {
    if (!isStreamMissing(cause) || wanted.mustExist === true) throw cause
  }
  const { replicas } = wanted
  try {
    return await make(manager, wanted, replicas ?? REPLICAS)
  } catch (cause) {
    const isLone = cause instanceof JetStreamApiError && cause.code === REPLICAS_NOT_POSSIBLE
    if (replicas !== undefined || !isLone) throw cause
    return make(manager, wanted, 1)
  }
}

function make(
  manager: JetStreamManager,
  { name, settings, limits }: WantedStream,
  replicas: number,
): Promise<StreamInfo> {
  const storage = StorageType.File
  return manager.streams.add({ ...settings, ...limits, name, storage, num_replicas: replicas })
}

function checkSettings(config: StreamConfig, { name, settings }: WantedStream): void {
  for (const [setting, wanted] of Object.entries(settings)) {
    // Servers leave out what is false, or 0.
    const absent = typeof wanted === 'boolean' ? false : 0
    const is: unknown = config[setting as keyof StreamConfig] ?? absent
    if (JSON.stringify(is) === JSON.stringify(wanted)) continue
    const message = `the stream ${name} has ${setting} ${JSON.stringify(is)}, not ${JSON.stringify(wanted)}`
    throw new HoldfastError('EngineUnsupported', message, { details: { setting, is, wanted } })
  }
}

/** Codes of the servers for an account, or a server, that has no room. */
const NO_ROOM = [10_023, 10_028, 10_047]
/** No servers to put a stream on: its description says whether for want of room. */
const NO_PEERS = 10_005
/** The stream did not store a message: its description says whether for want of room. */
const STORE_FAILED = 10_077

export function hasNoRoom(cause: unknown): cause is JetStreamApiError {
  if (!(cause instanceof JetStreamApiError)) return false
  if (cause.code === NO_PEERS) return /insufficient storage/.test(cause.message)
  return NO_ROOM.includes(cause.code) || (hasFailedToStore(cause) && /maximum/.test(cause.message))
}

export function hasFailedToStore(cause: JetStreamApiError): boolean {
  return cause.code === STORE_FAILED
}

export function isStreamMissing(cause: unknown): boolean {
  return cause instanceof JetStreamApiError && cause.code === STREAM_NOT_FOUND
}

function gone(name: string, cause: unknown): HoldfastError {
  return new HoldfastError('LogReset', `the stream ${name} is gone`, { cause })
}

function unavailable(name: string, cause: unknown): HoldfastError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  const message = `the stream ${name} cannot be opened: ${reason}`
  return new HoldfastError('LogUnavailable', message, { cause })
}
