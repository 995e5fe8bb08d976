/** The stream behind a log: its name, and how it is set up. */
import {
  DiscardPolicy,
  RetentionPolicy,
  type JetStreamApiError,
  type StreamConfig,
} from '@nats-io/jetstream'
import type { Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { NANOS_PER_MS, type WantedStream } from '../core/nats-stream.ts'

export interface StreamOptions {
  /** Names the database among others on the same NATS; letters, digits, `_` and `-`. */
  readonly name: string
  /** Servers that keep the stream. Default 3 on a cluster, 1 on a lone server. */
  readonly replicas?: number | undefined
  /** Bytes the stream may take; what comes beyond its share of them is `LogFull`. Default 10 GiB. */
  readonly maxBytes?: number | undefined
  /** Whether there must be a stream already: else its lack is `LogReset`. Default false. */
  readonly mustExist?: boolean | undefined
}

const GiB = 1024 ** 3
const MAX_BYTES = 10 * GiB
/** How long the servers remember message ids: resends come within a caller's deadline. */
const REMEMBERS_MS = 120_000
/** An entry with its headers. */
const MESSAGE_BYTES_MAX = 1024 * 1024

export const streamName = (name: string): string => `HOLDFAST_${name}`
export const streamSubject = (name: string): string => `holdfast.${name}.log`

/** So that nothing but a trim takes entries from it. */
const SETTINGS = {
  retention: RetentionPolicy.Limits,
  // The oldest entries are dropped by a decision in the log, never by the servers (S8).
  discard: DiscardPolicy.New,
  max_age: 0,
  max_msgs: -1,
  max_msgs_per_subject: -1,
  deny_delete: true,
  allow_rollup_hdrs: false,
} as const satisfies Partial<StreamConfig>

/** Subject, message id and the servers' own bytes of an entry. */
const STORED_BESIDE = 256

/** Bytes that an entry takes in the stream, about. */
export const storedBytes = (frame: Bytes): number => frame.length + STORED_BESIDE

export function logStream(options: StreamOptions): WantedStream {
  const { name, replicas, maxBytes = MAX_BYTES, mustExist } = options
  return {
    name: streamName(name),
    settings: { ...SETTINGS, subjects: [streamSubject(name)] },
    limits: {
      max_bytes: maxBytes,
      max_msg_size: MESSAGE_BYTES_MAX,
      duplicate_window: REMEMBERS_MS * NANOS_PER_MS,
      allow_direct: true,
    },
    replicas,
    mustExist,
    noRoom,
  }
}

export function noRoom(cause: JetStreamApiError): HoldfastError {
  const message = `the servers have no room for the log: ${cause.message}`
  return new HoldfastError('LogFull', message, { cause })
}
