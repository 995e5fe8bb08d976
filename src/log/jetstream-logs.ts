/**
 * The logs of one database, each a stream: the newest is the log, and those before it are history
 * (S7). A next one is made under a name of its own, by whoever is first: what has the name afterwards
 * is one stream, whoever made it, and its first genesis says whose it is.
 */
import { jetstreamManager, type JetStreamManager, type StreamConfig } from '@nats-io/jetstream'
import { delay, type Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import {
  connectNats,
  forDatabase,
  type NatsLink,
  type NatsOptions,
} from '../core/nats-connection.ts'
import { isStreamMissing } from '../core/nats-stream.ts'
import {
  assertGoesOn,
  logName,
  logNumber,
  parentMark,
  streamName,
  streamSubject,
  type GoesOn,
} from './jetstream-stream.ts'

export interface NewestLog {
  /** 1 when there is none: that of the first. */
  readonly number: number
  readonly exists: boolean
}

/** Milliseconds that the servers may take to say what streams there are: after a start they elect. */
const WITHIN_MS = 30_000
const RETRY_MS = 500
const ANSWER_MS = 4_000

/** Finds the newest log of a database. Throws `LogUnavailable` when the servers do not say. */
export async function newestLog(env: Env, link: NatsLink, database: string): Promise<NewestLog> {
  const found = await answered(env, link, async (manager) => {
    const numbers: number[] = []
    const subject = streamSubject(database)
    for (const filter of [subject, `${subject}.*`]) {
      for await (const stream of manager.streams.names(filter)) {
        const number = logNumber(database, stream)
        if (number !== undefined) numbers.push(number)
      }
    }
    return numbers
  })
  return { number: Math.max(1, ...found), exists: found.length > 0 }
}

/** A log that is to be made. */
export interface NextLog {
  /** What it is made for: see `GoesOn`. */
  readonly mark: string
  /** Its number at the least. */
  readonly least: number
}

/** Throws `LogMismatch` when the database has a log already that was made for something else. */
export async function assertNoOtherLog(
  env: Env,
  options: NatsOptions,
  database: string,
  goesOn: GoesOn,
): Promise<void> {
  await withNewest(env, options, database, async ({ config }) => assertGoesOn(config, goesOn))
}

/**
 * The number of the log that goes on with a database: that of its newest, if that was made for the same
 * mark, else the next, and its newest takes nothing more from now on. Throws `LogUnavailable`,
 * `Unreachable`.
 */
export async function retireNewestLog(
  env: Env,
  options: NatsOptions,
  database: string,
  { mark, least }: NextLog,
): Promise<number> {
  const next = await withNewest(env, options, database, async ({ config, number, manager }) => {
    if (parentMark(config) === mark) return number
    const sealing = { ...config, sealed: true }
    if (!config.sealed) await manager.streams.update(config.name, sealing)
    return Math.max(number + 1, least)
  })
  return next ?? least
}

interface Newest {
  readonly number: number
  readonly config: StreamConfig
  readonly manager: JetStreamManager
}

/** What `use` makes of the newest log of a database; undefined when there is none. */
async function withNewest<T>(
  env: Env,
  options: NatsOptions,
  database: string,
  use: (newest: Newest) => Promise<T>,
): Promise<T | undefined> {
  const link = await connectNats(env, forDatabase(options, database), 'holdfast logs')
  try {
    const { number, exists } = await newestLog(env, link, database)
    if (!exists) return undefined
    return await answered(env, link, async (manager) => {
      const { config } = await manager.streams.info(streamName(logName(database, number)))
      return use({ number, config, manager })
    })
  } finally {
    await link.close()
  }
}

async function answered<T>(
  env: Env,
  link: NatsLink,
  ask: (manager: JetStreamManager) => Promise<T>,
): Promise<T> {
  const untilMs = env.clock.monotonicMs() + WITHIN_MS
  for (;;) {
    try {
      return await ask(
        await jetstreamManager(link.connection, { timeout: ANSWER_MS, checkAPI: false }),
      )
    } catch (cause) {
      const known = cause instanceof HoldfastError ? cause : link.forbiddenBy(cause)
      if (known !== undefined) throw known
      if (isStreamMissing(cause) || env.clock.monotonicMs() >= untilMs) {
        const reason = cause instanceof Error ? cause.message : String(cause)
        const message = `the servers do not say what streams there are: ${reason}`
        throw new HoldfastError('LogUnavailable', message, { cause })
      }
      await delay(env, RETRY_MS)
    }
  }
}
