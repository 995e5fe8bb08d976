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
import type { Position } from './log.ts'

export interface StreamOptions {
  /** Names the database among others on the same NATS; letters, digits, `_` and `-`. */
  readonly name: string
  /** Servers that keep the stream. Default 3 on a cluster, 1 on a lone server. */
  readonly replicas?: number | undefined
  /** Bytes the stream may take; what comes beyond its share of them is `LogFull`. Default 10 GiB. */
  readonly maxBytes?: number | undefined
  /** Whether there must be a stream already: else its lack is `LogReset`. Default false. */
  readonly mustExist?: boolean | undefined
  /** What it goes on with, when it is made. Default: nothing, its first position is 1. */
  readonly goesOn?: GoesOn | undefined
}

/** A log that goes on with another one. */
export interface GoesOn {
  readonly first: Position
  /** Names the place that it goes on from: a log made for another place is not this one. */
  readonly mark: string
}

/** Where a stream says what it was made to go on with. */
const PARENT = 'holdfast.parent'

/** The mark that a stream was made with. */
export const parentMark = ({ metadata }: StreamConfig): string | undefined => metadata?.[PARENT]

/** Throws `LogMismatch` for a stream that was made for something else. */
export function assertGoesOn(config: StreamConfig, { mark }: GoesOn): void {
  const { name } = config
  const parent = parentMark(config)
  if (parent === mark) return
  const what =
    parent === undefined ? 'is of another database' : 'goes on from another place, or copy'
  throw new HoldfastError('LogMismatch', `there is a stream ${name}, and it ${what}`, {
    details: { stream: name, parent, next: 'choose another --database' },
  })
}

const GiB = 1024 ** 3
const MAX_BYTES = 10 * GiB
/** How long the servers remember message ids: resends come within a caller's deadline. */
const REMEMBERS_MS = 120_000
/** An entry with its headers. */
const MESSAGE_BYTES_MAX = 1024 * 1024

/** A log that goes on with another one is a stream of its own: `name@2` is the second (ADR 31). */
const NUMBERED = /^(.+)@(\d{1,9})$/

/** The name of a database's log by its number, from 1 on. A database's own name has no `@`. */
export const logName = (database: string, number: number): string =>
  number === 1 ? database : `${database}@${number}`

export const streamName = (log: string): string => `HOLDFAST_${log}`

export function streamSubject(log: string): string {
  const [, database = log, number] = NUMBERED.exec(log) ?? []
  return number === undefined ? `holdfast.${database}.log` : `holdfast.${database}.log.${number}`
}

/** The number of the log of this database that a stream is; undefined for another stream. */
export function logNumber(database: string, stream: string): number | undefined {
  if (stream === streamName(database)) return 1
  const number = Number(NUMBERED.exec(stream)?.[2])
  return stream === streamName(logName(database, number)) ? number : undefined
}

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
  const { name, replicas, maxBytes = MAX_BYTES, mustExist, goesOn } = options
  return {
    name: streamName(name),
    settings: { ...SETTINGS, subjects: [streamSubject(name)] },
    limits: {
      max_bytes: maxBytes,
      max_msg_size: MESSAGE_BYTES_MAX,
      duplicate_window: REMEMBERS_MS * NANOS_PER_MS,
      allow_direct: true,
      ...(goesOn === undefined
        ? {}
        : { first_seq: goesOn.first, metadata: { [PARENT]: goesOn.mark } }),
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
