import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsServer } from './nats-servers.ts'

/** Milliseconds that a server may take to answer: one that is paused never does. */
const ANSWER_MS = 1_000
const AGAIN_MS = 100
/** Milliseconds after which no leader is waited for. */
const ELECTION_MS = 60_000

/** The server that leads a database's log, as soon as there is one. Throws when none comes within a minute. */
export async function streamLeader(
  servers: readonly NatsServer[],
  database: string,
): Promise<string> {
  const untilMs = performance.now() + ELECTION_MS
  while (performance.now() < untilMs) {
    const leader = await currentLeader(servers, database)
    if (leader !== undefined) return leader
    await sleep(AGAIN_MS)
  }
  throw new Error(`the log of ${database} has no leader that most servers know`)
}

/**
 * By most of those who answer; undefined when there is none. One that does not run leads nothing,
 * whatever others still believe.
 */
export async function currentLeader(
  servers: readonly NatsServer[],
  database: string,
): Promise<string | undefined> {
  const running = servers.filter(({ state }) => state === 'running')
  const answers = await Promise.all(running.map((server) => leaderBy(server, database)))
  const told = answers.filter((leader) => leader !== undefined)
  const leader = running.find(
    ({ name }) => told.filter((other) => other === name).length > told.length / 2,
  )
  return leader?.name
}

/** Undefined when it does not say. */
async function leaderBy(server: NatsServer, database: string): Promise<string | undefined> {
  let answer: Jsz
  try {
    const signal = AbortSignal.timeout(ANSWER_MS)
    const response = await fetch(`${server.monitor}/jsz?accounts=true&streams=true`, { signal })
    answer = (await response.json()) as Jsz
  } catch {
    // It ended meanwhile, or is about to: the others decide.
    return undefined
  }
  const streams = answer.account_details?.flatMap(({ stream_detail: detail = [] }) => detail)
  const leader = streams?.find(({ name }) => name === `HOLDFAST_${database}`)?.cluster?.leader
  return leader === '' ? undefined : leader
}

/** What is used of a server's answer about its streams. */
interface Jsz {
  readonly account_details?: readonly {
    readonly stream_detail?: readonly {
      readonly name: string
      readonly cluster?: { readonly leader?: string }
    }[]
  }[]
}
