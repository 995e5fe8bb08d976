/**
 * The stream that keeps the blobs, as few calls of the servers. Each is tried again while they do not
 * answer: an election takes some seconds.
 */
import {
  DiscardPolicy,
  jetstream,
  JetStreamApiError,
  RetentionPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type StoredMsg,
} from '@nats-io/jetstream'
import type { Bytes } from '../core/bytes.ts'
import { delay, type Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { hasNoResponder, LinkDown, type NatsLink } from '../core/nats-connection.ts'
import { hasNoRoom, NANOS_PER_MS, type WantedStream } from '../core/nats-stream.ts'

export interface BlobStreamOptions {
  /** Names the database among others on the same NATS; letters, digits, `_` and `-`. */
  readonly name: string
  /** Servers that keep the blobs. Default 3 on a cluster, 1 on a lone server. */
  readonly replicas?: number | undefined
  /** Bytes that all blobs may take; what comes beyond them is `StorageFull`. Default 10 GiB. */
  readonly maxBytes?: number | undefined
}

interface BlobStreamParts {
  readonly env: Env
  readonly link: NatsLink
  readonly manager: JetStreamManager
  readonly stream: string
  /** Milliseconds for which a call is tried again. */
  readonly patienceMs: number
}

const GiB = 1024 ** 3
const MAX_BYTES = 10 * GiB
const REMEMBERS_MS = 120_000
const ACK_MS = 5_000
/** Between attempts: doubled from the first to the last. */
const RETRY_MS = [25, 1_000] as const
/** From this status on it is the servers' fault, and may pass. */
const SERVER_FAULT = 500
/** What the servers say when a subject has a message already. */
const WRONG_LAST = [10_071, 10_164]

const SETTINGS = {
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.New,
  max_age: 0,
  max_msgs: -1,
  max_msgs_per_subject: -1,
  allow_rollup_hdrs: false,
} as const

export function blobStream(options: BlobStreamOptions): WantedStream {
  const { name, replicas, maxBytes = MAX_BYTES } = options
  return {
    // No log's stream begins like this.
    name: `HOLDFAST-BLOBS_${name}`,
    settings: { ...SETTINGS, subjects: [`holdfast.${name}.blob.>`] },
    limits: {
      max_bytes: maxBytes,
      duplicate_window: REMEMBERS_MS * NANOS_PER_MS,
      allow_direct: true,
    },
    replicas,
    noRoom,
  }
}

export class BlobStream {
  readonly #parts: BlobStreamParts
  readonly #client: JetStreamClient
  #closed = false

  constructor(parts: BlobStreamParts) {
    this.#parts = parts
    this.#client = jetstream(parts.link.connection)
  }

  /** Stores a message; gives its place. `messageId`: for resends. */
  store(subject: string, bytes: Bytes, messageId: string): Promise<number> {
    return this.#again('a chunk cannot be stored', 'reads', async () => {
      const ack = await this.#client.publish(subject, bytes, {
        msgID: messageId,
        timeout: ACK_MS,
        expect: { streamName: this.#parts.stream },
      })
      return ack.seq
    })
  }

  /** Stores a message if its subject has none; false when it has. */
  async storeFirst(subject: string, bytes: Bytes, messageId: string): Promise<boolean> {
    try {
      await this.#again('a blob cannot be put', 'writes', () =>
        this.#client.publish(subject, bytes, {
          msgID: messageId,
          timeout: ACK_MS,
          expect: { streamName: this.#parts.stream, lastSubjectSequence: 0 },
        }),
      )
      return true
    } catch (cause) {
      if (cause instanceof JetStreamApiError && WRONG_LAST.includes(cause.code)) return false
      throw cause
    }
  }

  /** The last message of a subject, by the stream's leader. */
  last(subject: string): Promise<StoredMsg | undefined> {
    return this.#again('a blob cannot be read', 'reads', async () => {
      const { manager, stream } = this.#parts
      const found = await manager.streams.getMessage(stream, { last_by_subj: subject })
      return found ?? undefined
    })
  }

  /** The message at a place, by any server that has it. */
  at(seq: number): Promise<{ subject: string; data: Bytes } | undefined> {
    return this.#again('a blob cannot be read', 'reads', async () => {
      const { manager, stream } = this.#parts
      const found = await manager.direct.getMessage(stream, { seq })
      // One that lags behind may not have it yet.
      return found ?? (await manager.streams.getMessage(stream, { seq })) ?? undefined
    })
  }

  /** The subjects that have messages and begin with `prefix`, which ends with a dot. */
  subjects(prefix: string): Promise<string[]> {
    return this.#again('blobs cannot be listed', 'reads', async () => {
      const { manager, stream } = this.#parts
      const { state } = await manager.streams.info(stream, { subjects_filter: `${prefix}>` })
      return Object.keys(state.subjects ?? {})
    })
  }

  /** Now, by the clock of a server. */
  nowMs(): Promise<number> {
    return this.#again('the time cannot be read', 'reads', async () => {
      const { ts } = await this.#parts.manager.streams.info(this.#parts.stream)
      if (ts === undefined) throw new HoldfastError('EngineUnsupported', 'the server has no clock')
      return Date.parse(ts)
    })
  }

  /** Removes a subject's messages; of those the ones below a place, when one is given. */
  async purge(subject: string, below?: number): Promise<void> {
    await this.#again('a blob cannot be deleted', 'writes', () => {
      const { manager, stream } = this.#parts
      const of = below === undefined ? {} : { seq: below }
      return manager.streams.purge(stream, { filter: subject, ...of })
    })
  }

  /** Removes a subject's messages if the servers answer now. */
  async tryPurge(subject: string): Promise<void> {
    const { link, manager, stream } = this.#parts
    try {
      await link.call(() => manager.streams.purge(stream, { filter: subject }))
    } catch {
      // They stay, for a sweep.
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#parts.link.close()
  }

  /** Of what only `reads`, nothing can have been done that anybody sees. */
  async #again<T>(what: string, kind: 'reads' | 'writes', call: () => Promise<T>): Promise<T> {
    const { env, link, patienceMs } = this.#parts
    const startMs = env.clock.monotonicMs()
    let retryMs: number = RETRY_MS[0]
    let sent = false
    for (;;) {
      try {
        return await link.call(call)
      } catch (cause) {
        if (cause instanceof HoldfastError) throw cause
        const forbidden = link.forbiddenBy(cause)
        if (forbidden !== undefined) throw forbidden
        sent ||= mayHaveArrived(cause)
        const applied = kind === 'writes' && sent ? 'unknown' : 'no'
        if (this.#closed) throw new HoldfastError('Closed', 'the blobs are closed', { applied })
        if (hasNoRoom(cause)) throw noRoom(cause)
        if (cause instanceof JetStreamApiError && cause.status < SERVER_FAULT) throw cause
        if (cause instanceof LinkDown && cause.refusal !== undefined && !sent) throw cause.refusal
        if (env.clock.monotonicMs() - startMs >= patienceMs) throw silent(what, applied, cause)
        await delay(env, retryMs * (0.5 + env.random.float()))
        retryMs = Math.min(RETRY_MS[1], 2 * retryMs)
      }
    }
  }
}

function mayHaveArrived(cause: unknown): boolean {
  if (cause instanceof LinkDown) return cause.sent
  return !hasNoResponder(cause) && !(cause instanceof JetStreamApiError)
}

function noRoom(cause: JetStreamApiError): HoldfastError {
  const message = `the servers have no room for blobs: ${cause.message}`
  return new HoldfastError('StorageFull', message, { cause })
}

function silent(what: string, applied: 'no' | 'unknown', cause: unknown): HoldfastError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  const code = applied === 'no' ? 'Unreachable' : 'OutcomeUnknown'
  return new HoldfastError(code, `${what}: ${reason}`, { cause })
}
