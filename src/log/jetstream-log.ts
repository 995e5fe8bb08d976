/**
 * The log as a JetStream stream: its sequence is the position. An ack comes after a quorum of the
 * stream's replicas stored the message; whether it is synced by then is for jetstream-durability.ts.
 */
import {
  jetstream,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  type StreamInfo,
} from '@nats-io/jetstream'
import type { Bytes } from '../core/bytes.ts'
import { delay, type Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import {
  checkNatsName,
  connectNats,
  forDatabase,
  hasNoResponder,
  LinkDown,
  type NatsLink,
  type NatsOptions,
  type Violation,
} from '../core/nats-connection.ts'
import { hasFailedToStore, hasNoRoom, openNatsStream, tryStream } from '../core/nats-stream.ts'
import {
  readDurability,
  type Answers,
  type DurabilityOptions,
  type DurabilityReading,
} from './jetstream-durability.ts'
import { DurabilityWatch } from './jetstream-durability-watch.ts'
import { JetStreamFollower } from './jetstream-follower.ts'
import { newestLog } from './jetstream-logs.ts'
import { logStatus } from './jetstream-status.ts'
import {
  assertGoesOn,
  logName,
  logStream,
  noRoom,
  storedBytes,
  streamName,
  streamSubject,
  type StreamOptions,
} from './jetstream-stream.ts'
import type { LogStatus } from './log-status.ts'
import {
  ROOM_SHARE,
  type Appended,
  type EntryUse,
  type Log,
  type LogExtent,
  type LogFollower,
  type LogRoom,
  type Position,
  type Unfollow,
} from './log.ts'

/** Milliseconds until an append without an ack is `OutcomeUnknown`; the carrier sends it again. */
const ACK_MS = 5_000
/** After so long without an ack, while appends fail, another server is tried: elections take less. */
const MOVE_AFTER_MS = 10_000
/** How long opening waits for a leader, and how long between attempts to find it. */
const REACH_MS = 1_000
const REACH_RETRY_MS = 20
/** The same message is being stored: its place is not known yet. */
const IN_FLIGHT = 10_201

export interface JetStreamOptions extends NatsOptions, StreamOptions {
  /** What the servers list the connection as. */
  readonly client?: string | undefined
  /** Which of the database's logs. Default: the newest there is. */
  readonly number?: number | undefined
}

/** A log whose servers can be asked how they keep it. */
export interface JetStreamLog extends Log {
  /** Whether an ack says that a quorum synced, as far as the servers let it be read. */
  readDurability(options: DurabilityOptions): Promise<DurabilityReading>
  /** The same, read again from time to time until the log is closed: gives what it is now. */
  watchDurability(options: DurabilityOptions): Promise<() => DurabilityReading['durability']>
  /** How the servers keep it now, or said last. */
  status(): Promise<LogStatus>
}

/**
 * Connects, and makes the stream when it is missing. Throws `InvalidArgument`, `Unreachable`,
 * `EngineUnauthenticated`, `EngineForbidden`, `EngineUnsupported`, `LogFull` when the servers have no
 * room for the stream, and `LogUnavailable` when it cannot be opened in time.
 */
export async function openJetStreamLog(env: Env, options: JetStreamOptions): Promise<JetStreamLog> {
  checkNatsName(options.name)
  const own = forDatabase(options, options.name)
  const link = await connectNats(env, own, options.client ?? 'holdfast log')
  try {
    // Before anything is asked: who may not hear answers would wait for them.
    await assertMayLog(link, options.name, own.inboxPrefix)
    const number = options.number ?? (await newestLog(env, link, options.name)).number
    const name = logName(options.name, number)
    if (name !== options.name) await assertMayLog(link, name, own.inboxPrefix)
    const { manager, info } = await openNatsStream(env, link, logStream({ ...options, name }))
    if (info.config.sealed) throw sealed(name)
    if (options.goesOn !== undefined) assertGoesOn(info.config, options.goesOn)
    await reached(env, link, name)
    return new StreamLog({ env, link, manager, name, info })
  } catch (cause) {
    await link.close()
    throw cause
  }
}

/** What a node does at its log must be allowed: else it would learn of it too late, or never. */
function assertMayLog(link: NatsLink, name: string, inbox: string | undefined): Promise<void> {
  const stream = streamName(name)
  return link.assertAllowed((connection) => {
    const requests = ['CONSUMER.INFO', 'CONSUMER.MSG.NEXT', 'CONSUMER.DELETE'].map(
      (each) => `${each}.${stream}.none`,
    )
    requests.push('STREAM.NAMES', `STREAM.INFO.${stream}`, `CONSUMER.CREATE.${stream}`)
    tryStream(connection, stream, [streamSubject(name)], requests)
    connection.subscribe(`${inbox}.none.*`, { callback: () => undefined }).unsubscribe()
  })
}

/**
 * Waits a moment until appends from here reach a leader: of a stream that has just been made the
 * other servers may not have heard. What asks is refused by the leader, and stored by nobody.
 */
async function reached(env: Env, link: NatsLink, name: string): Promise<void> {
  const client = jetstream(link.connection, { timeout: REACH_MS })
  const untilMs = env.clock.monotonicMs() + REACH_MS
  const expect = { streamName: `not-${streamName(name)}` }
  do {
    try {
      await link.call(() => client.publish(streamSubject(name), '', { expect }))
    } catch (cause) {
      if (cause instanceof JetStreamApiError) return
    }
    await delay(env, REACH_RETRY_MS)
    // A log without a leader can be opened, too: what was applied can be read.
  } while (env.clock.monotonicMs() < untilMs)
}

function sealed(name: string): HoldfastError {
  const message = `the stream ${streamName(name)} is sealed: the database goes on in another one`
  return new HoldfastError('LogSealed', message, {
    details: { next: 'holdfast refound   (again)' },
  })
}

interface LogParts {
  readonly env: Env
  readonly link: NatsLink
  readonly manager: JetStreamManager
  readonly name: string
  readonly info: StreamInfo
}

class StreamLog implements JetStreamLog {
  readonly durability = 'self'
  readonly room: LogRoom = {
    extent: () => this.#measure(),
    trim: (below) => this.#trim(below),
  }
  readonly #env: Env
  readonly #link: NatsLink
  readonly #client: JetStreamClient
  readonly #manager: JetStreamManager
  readonly #name: string
  readonly #created: string
  #info: StreamInfo
  readonly #subject: string
  readonly #followers = new Set<JetStreamFollower>()
  readonly #answers: Answers = new Map()
  #watch: DurabilityWatch | undefined
  #last: Position
  #maxBytes: number
  /** Of the stream, about, up to the entry at `#counted`. */
  #bytes: number
  #counted: Position
  #measuring: Promise<LogExtent> | undefined
  #failingSinceMs: number | undefined
  #closed = false

  constructor({ env, link, manager, name, info }: LogParts) {
    this.#env = env
    this.#link = link
    this.#client = jetstream(link.connection)
    this.#manager = manager
    this.#name = streamName(name)
    this.#created = info.created
    this.#info = info
    this.#subject = streamSubject(name)
    this.#last = this.#counted = info.state.last_seq
    this.#bytes = info.state.bytes
    this.#maxBytes = maxBytesOf(info)
    link.onForbidden((violation) => this.#forbidden(violation))
    void this.#watchEnd()
  }

  last(): Position {
    return this.#last
  }

  async append(frame: Bytes, messageId: string, use: EntryUse = 'data'): Promise<Appended> {
    if (this.#closed) throw new HoldfastError('Closed', 'the log is closed')
    if (this.#lacksRoom(frame, use)) await this.#makeSure(frame, use)
    const options = {
      msgID: messageId,
      timeout: ACK_MS,
      // A stream of others may have taken the subject since.
      expect: { streamName: this.#name },
    }
    try {
      const { seq } = await this.#link.call(() =>
        this.#client.publish(this.#subject, frame, options),
      )
      this.#failingSinceMs = undefined
      this.#heardOf(seq)
      return { position: seq }
    } catch (cause) {
      const refusal = this.#refusal(cause)
      if (refusal.code !== 'LogFull') this.#failing()
      throw refusal
    }
  }

  follow(from: Position, follower: LogFollower): Unfollow {
    const made = new JetStreamFollower({
      env: this.#env,
      link: this.#link,
      client: this.#client,
      manager: this.#manager,
      stream: this.#name,
      created: this.#created,
      from,
      follower,
      heardOf: (position) => this.#heardOf(position),
      counted: (position, bytes) => {
        if (position <= this.#counted) return
        this.#counted = position
        this.#bytes += bytes
      },
    })
    if (this.#closed) return () => undefined
    this.#followers.add(made)
    made.start()
    return () => {
      made.stop()
      this.#followers.delete(made)
    }
  }

  readDurability(options: DurabilityOptions): Promise<DurabilityReading> {
    const stream = { manager: this.#manager, name: this.#name }
    return readDurability(this.#env, this.#link, stream, options, this.#answers)
  }

  async watchDurability(
    options: DurabilityOptions,
  ): Promise<() => DurabilityReading['durability']> {
    const watch = new DurabilityWatch(this.#env, () => this.readDurability(options))
    await watch.start()
    this.#watch = watch
    this.#link.onReconnect(() => void watch.refresh())
    return () => watch.worth
  }

  async status(): Promise<LogStatus> {
    const lone = this.#link.connection.info?.server_name ?? ''
    try {
      this.#info = await this.#link.call(() => this.#manager.streams.info(this.#name))
      return logStatus(this.#info, lone)
    } catch (cause) {
      return logStatus(this.#info, lone, cause instanceof Error ? cause.message : String(cause))
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const follower of this.#followers) follower.stop()
    this.#followers.clear()
    this.#watch?.stop()
    await this.#link.close()
  }

  #heardOf(position: Position): void {
    this.#last = Math.max(this.#last, position)
  }

  /** The servers know the limit alone, and not how much of it is kept for whom. */
  #lacksRoom(frame: Bytes, use: EntryUse): boolean {
    return this.#bytes + storedBytes(frame) > ROOM_SHARE[use] * this.#maxBytes
  }

  /** What was counted may be more than there is: somebody may have trimmed it. Throws `LogFull`. */
  async #makeSure(frame: Bytes, use: EntryUse): Promise<void> {
    await this.#measure()
    if (!this.#lacksRoom(frame, use)) return
    const share = Math.round(100 * ROOM_SHARE[use])
    const message = `the log has ${this.#bytes} bytes, of ${this.#maxBytes}: beyond ${share} % it takes no ${use}`
    throw new HoldfastError('LogFull', message, {
      details: { bytes: this.#bytes, maxBytes: this.#maxBytes },
    })
  }

  /** Those who ask at once share an answer. */
  #measure(): Promise<LogExtent> {
    this.#measuring ??= this.#askExtent().finally(() => {
      this.#measuring = undefined
    })
    return this.#measuring
  }

  async #askExtent(): Promise<LogExtent> {
    const info = await this.#ask(() => this.#manager.streams.info(this.#name))
    if (info.created !== this.#created) throw notOurs(this.#name)
    const { first_seq: first, last_seq: last, bytes } = info.state
    this.#heardOf(last)
    this.#counted = last
    this.#bytes = bytes
    this.#maxBytes = maxBytesOf(info)
    // An empty stream that never had a message says 0.
    return { first: Math.max(1, first), last, bytes, maxBytes: this.#maxBytes }
  }

  async #trim(below: Position): Promise<void> {
    // What has its name may be another stream, with the same positions.
    await this.#askExtent()
    // Of position 1 servers have made a purge of everything.
    if (below > 1) await this.#ask(() => this.#manager.streams.purge(this.#name, { seq: below }))
  }

  /** Throws `LogUnavailable`. */
  async #ask<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new HoldfastError('Closed', 'the log is closed')
    try {
      return await this.#link.call(call)
    } catch (cause) {
      const message = `the log did not answer: ${cause instanceof Error ? cause.message : String(cause)}`
      throw new HoldfastError('LogUnavailable', message, { cause })
    }
  }

  /** This server may be cut off from the others: after a while another is asked. */
  #failing(): void {
    const nowMs = this.#env.clock.monotonicMs()
    this.#failingSinceMs ??= nowMs
    if (nowMs - this.#failingSinceMs < MOVE_AFTER_MS || !this.#link.connected) return
    this.#failingSinceMs = undefined
    this.#link.move()
  }

  /** Who may not read the log any more is told so; an append fails by itself. */
  #forbidden(violation: Violation): void {
    if (violation.subject === this.#subject) return
    const refusal = this.#link.refuse(violation)
    for (const follower of this.#followers) follower.fail(refusal)
  }

  /** The client gives up on few things, and then for ever. */
  async #watchEnd(): Promise<void> {
    const cause = await this.#link.ended
    if (cause === undefined) return
    this.#closed = true
    const message = `the connection to the log ended: ${cause.message}`
    for (const follower of this.#followers) {
      follower.fail(new HoldfastError('LogUnavailable', message, { cause }))
    }
  }

  #refusal(cause: unknown): HoldfastError {
    if (this.#closed) {
      return new HoldfastError('Closed', 'the log was closed', { cause, applied: 'unknown' })
    }
    const forbidden = this.#link.forbiddenBy(cause)
    if (forbidden !== undefined) return forbidden
    if (cause instanceof LinkDown) {
      if (cause.refusal !== undefined) return cause.refusal
      const code = cause.sent ? 'OutcomeUnknown' : 'LogUnavailable'
      return new HoldfastError(code, cause.message, { cause })
    }
    if (hasNoRoom(cause)) return noRoom(cause)
    if (cause instanceof JetStreamApiError) {
      if (cause.code === IN_FLIGHT || hasFailedToStore(cause)) {
        return new HoldfastError('OutcomeUnknown', `not stored yet: ${cause.message}`, { cause })
      }
      return new HoldfastError('LogUnavailable', `the log refused: ${cause.message}`, { cause })
    }
    if (hasNoResponder(cause)) {
      return new HoldfastError('LogUnavailable', 'the log has no leader', { cause })
    }
    return new HoldfastError('OutcomeUnknown', 'no ack of the log came', { cause })
  }
}

function maxBytesOf({ config }: StreamInfo): number {
  return config.max_bytes > 0 ? config.max_bytes : Number.POSITIVE_INFINITY
}

function notOurs(name: string): HoldfastError {
  return new HoldfastError('LogUnavailable', `the stream ${name} is another than this log`)
}
