/**
 * Reads a stream in order from a position on, by a consumer that keeps no state: where one stops,
 * another is made at the right place. It gives nothing that does not follow what it gave before.
 *
 *   look ── trimmed, or another history ──▶ told, over
 *    ▲ └──▶ consume ── silent, broken, or a message that does not follow ──┐
 *    └────────────────────────────── a pause ◀─────────────────────────────┘
 *
 * Several servers answer, and one that has just been deposed answers as before: so of a look only
 * what no old answer can say ends the following at once, and the rest when it stays so.
 */
import {
  AckPolicy,
  DeliverPolicy,
  type ConsumerInfo,
  type ConsumerMessages,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type StreamInfo,
  type StreamState,
} from '@nats-io/jetstream'
import { delay, type Cancel, type Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import type { NatsLink } from '../core/nats-connection.ts'
import { isStreamMissing, MISSING_MS, NANOS_PER_MS } from '../core/nats-stream.ts'
import { storedBytes } from './jetstream-stream.ts'
import { logTrimmed, type LogFollower, type Position } from './log.ts'

interface FollowerParts {
  readonly env: Env
  readonly link: NatsLink
  readonly client: JetStreamClient
  readonly manager: JetStreamManager
  readonly stream: string
  /** When the servers say that the stream was made: tells it from another of its name. */
  readonly created: string
  readonly from: Position
  readonly follower: LogFollower
  readonly heardOf: (position: Position) => void
  /** Called for each entry, with the bytes that it takes in the stream, about. */
  readonly counted: (position: Position, bytes: number) => void
}

/** Between attempts to make a consumer: doubled from the first to the last, with jitter. */
const RETRY_MS = [50, 500] as const
/** While there is no leader a look stays without an answer: another follows, for the next leader. */
const LOOK_MS = 250
/** Messages that the servers may send ahead of what was taken; each has up to 1 MiB. */
const AHEAD = 256
/** After two of them missed, another consumer is made: the server that had this one may be gone. */
const HEARTBEAT_MS = 1_000
/**
 * How long a request for messages stands. A server that has just come back does not wake a consumer
 * for what it catches up with: each new request makes it look.
 */
const EXPIRES_MS = 2_000
/** The servers forget a consumer that nobody asks any more after this. */
const FORGET_MS = 30_000
/** For so long the log must end too early: a leader that was deposed notices within 20 s. */
const BEHIND_MS = 30_000
/** Times that the next entry is skipped by consumers although the stream should have it. */
const GAPS = 3

export class JetStreamFollower {
  readonly #parts: FollowerParts
  #next: Position
  #messages: ConsumerMessages | undefined
  #stopped = false
  /** What `follower.entry` threw. */
  #thrown: { readonly cause: unknown } | undefined
  /** What may be wrong with the stream, and since when it is thought so. */
  #doubt: { readonly what: string; readonly sinceMs: number } | undefined
  #gaps = 0

  constructor(parts: FollowerParts) {
    this.#parts = parts
    this.#next = Math.max(1, parts.from)
  }

  start(): void {
    void this.#run()
  }

  stop(): void {
    this.#stopped = true
    this.#messages?.stop()
  }

  /** Tells the follower that nothing more comes. */
  fail(cause: HoldfastError): void {
    if (this.#stopped) return
    this.stop()
    this.#parts.follower.failed(cause)
  }

  async #run(): Promise<void> {
    const { env } = this.#parts
    let retryMs: number = RETRY_MS[0]
    while (!this.#stopped) {
      const before = this.#next
      try {
        await this.#look()
        if (!this.#stopped) await this.#consume()
      } catch {
        // Servers come and go: whatever it was, it is tried again.
      }
      // As with any other port: what its user throws is nobody's to handle.
      if (this.#thrown !== undefined) throw this.#thrown.cause
      if (this.#stopped) return
      retryMs = this.#next > before ? RETRY_MS[0] : Math.min(RETRY_MS[1], 2 * retryMs)
      await delay(env, retryMs * (0.5 + env.random.float()))
    }
  }

  /** Tells the follower, and ends, when its next entry will never come. */
  async #look(): Promise<void> {
    const { stream, created } = this.#parts
    try {
      const info = await this.#info()
      if (this.#stopped) return
      if (info.created !== created) {
        this.fail(reset(`the stream ${stream} was deleted, and another of its name made`))
        return
      }
      this.#compare(info.state)
    } catch (cause) {
      if (!isStreamMissing(cause)) throw cause
      this.#doubts(`the stream ${stream} is gone`, MISSING_MS)
      throw cause
    }
  }

  /** The first answer of any. */
  #info(): Promise<StreamInfo> {
    const { env, link, manager, stream } = this.#parts
    let cancel: Cancel = () => undefined
    const answer = new Promise<StreamInfo>((resolve, reject) => {
      const ask = (): void => {
        cancel = env.timers.after(LOOK_MS, ask)
        link.call(() => manager.streams.info(stream)).then(resolve, reject)
      }
      ask()
    })
    return answer.finally(() => cancel())
  }

  #compare({ first_seq: first, last_seq: last }: StreamState): void {
    const next = this.#next
    if (next < first) {
      this.fail(logTrimmed(next, first))
    } else if (last < next - 1) {
      const what = `the log ends at ${last}, although it had an entry ${next - 1}`
      this.#doubts(what, BEHIND_MS)
    } else {
      this.#doubt = undefined
      this.#parts.heardOf(last)
      if (this.#gaps >= GAPS) this.fail(reset(`log entry ${next} is missing from the stream`))
    }
  }

  /** Fails when the same has been thought for so long. */
  #doubts(what: string, untilMs: number): void {
    const nowMs = this.#parts.env.clock.monotonicMs()
    if (this.#doubt?.what !== what) this.#doubt = { what, sinceMs: nowMs }
    else if (nowMs - this.#doubt.sinceMs >= untilMs) this.fail(reset(what))
  }

  async #consume(): Promise<void> {
    const { link, client, manager, stream } = this.#parts
    const made = await link.call(() => this.#addConsumer())
    try {
      if (this.#stopped) return
      const messages = await client.consumers.getConsumerFromInfo(made).consume({
        max_messages: AHEAD,
        expires: EXPIRES_MS,
        idle_heartbeat: HEARTBEAT_MS,
        abort_on_missing_resource: true,
      })
      this.#messages = messages
      if (this.#stopped) messages.stop()
      void stopWhenSilent(messages)
      // The client would wait for the consumer's server to come back: a broken connection ends it.
      await link.call(() => this.#read(messages))
    } finally {
      this.#messages?.stop()
      this.#messages = undefined
      // Else it is forgotten in a while.
      if (link.connected) manager.consumers.delete(stream, made.name).catch(() => undefined)
    }
  }

  async #read(messages: ConsumerMessages): Promise<void> {
    for await (const message of messages) {
      if (this.#stopped || messages !== this.#messages || !this.#take(message)) break
    }
  }

  #addConsumer(): Promise<ConsumerInfo> {
    const { manager, stream } = this.#parts
    return manager.consumers.add(stream, {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#next,
      ack_policy: AckPolicy.None,
      inactive_threshold: FORGET_MS * NANOS_PER_MS,
      num_replicas: 1,
      mem_storage: true,
    })
  }

  /** False when the message does not follow: another consumer is made at the right place. */
  #take(message: JsMsg): boolean {
    const { seq } = message
    if (seq < this.#next) return true
    if (seq > this.#next) {
      this.#gaps++
      return false
    }
    this.#gaps = 0
    this.#next = seq + 1
    this.#parts.heardOf(seq)
    this.#parts.counted(seq, storedBytes(message.data))
    try {
      this.#parts.follower.entry(seq, message.data)
      return true
    } catch (cause) {
      this.#stopped = true
      this.#thrown = { cause }
      return false
    }
  }
}

/** The client would go on asking a consumer whose server is gone. */
async function stopWhenSilent(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of messages.status()) {
    if (type === 'heartbeats_missed') messages.stop()
  }
}

function reset(message: string): HoldfastError {
  return new HoldfastError('LogReset', message)
}
