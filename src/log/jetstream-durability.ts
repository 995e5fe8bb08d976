/**
 * What an ack of the servers is worth: whether each of those that hold the stream syncs before it
 * answers (`sync_interval: always`). Only the servers know; they say it at their monitoring endpoint
 * and to their system account. What cannot be read is not assumed.
 */
import { StorageType, type JetStreamManager, type StreamInfo } from '@nats-io/jetstream'
import type { Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { connectNats, type NatsLink, type NatsOptions } from '../core/nats-connection.ts'
import { NATS_FLOOR, natsVersionFault } from '../core/nats-version.ts'

export interface DurabilityOptions {
  /** Monitoring endpoints, as `http://host:8222`: one of each server that may hold the log. */
  readonly monitors?: readonly string[] | undefined
  /** A connection to the system account, which asks all servers. */
  readonly system?: NatsOptions | undefined
}

export interface DurabilityReading {
  /** `quorum-fsynced`: an ack comes after a quorum synced. `quorum`: that is not so, or unknown. */
  readonly durability: 'quorum-fsynced' | 'quorum'
  /** The servers that hold the stream; `undefined` where it could not be read. */
  readonly syncsAlways: ReadonlyMap<string, boolean | undefined>
  /** Servers that hold the stream and said nothing now. */
  readonly unanswered: readonly string[]
  /** Who could not be asked, and why. */
  readonly problems: readonly string[]
}

/** What servers said before, by their names. */
export type Answers = Map<string, { readonly syncs: boolean; readonly atMs: number }>

interface Stream {
  readonly manager: JetStreamManager
  readonly name: string
}

/** What is used of a server's `varz`. */
interface Varz {
  readonly server_name?: unknown
  readonly version?: unknown
  readonly jetstream?: { readonly config?: { readonly sync_always?: unknown } }
}

/** Milliseconds that a server may take to answer. */
const ANSWER_MS = 2_000
/** Milliseconds without another answer, after which no more are waited for. */
const STALL_MS = 300
/** Milliseconds for which an answer counts while the server does not answer again. */
const HELD_MS = 600_000

/** Throws `EngineUnsupported` when a server that holds the stream is too old. */
export async function readDurability(
  env: Env,
  link: NatsLink,
  { manager, name }: Stream,
  options: DurabilityOptions,
  answers: Answers = new Map(),
): Promise<DurabilityReading> {
  const nowMs = env.clock.monotonicMs()
  const info = await manager.streams.info(name)
  const syncsAlways = new Map<string, boolean | undefined>(
    holders(info, link).map((holder) => [holder, undefined]),
  )
  const problems: string[] = []
  for (const server of await ask(env, options, problems)) {
    const { server_name: holder, version } = server
    if (typeof holder !== 'string' || !syncsAlways.has(holder)) continue
    const fault = natsVersionFault(String(version))
    if (fault !== undefined) {
      throw new HoldfastError('EngineUnsupported', `the NATS server ${holder} ${fault}`, {
        details: { version, floor: NATS_FLOOR },
      })
    }
    const syncs = server.jetstream?.config?.sync_always === true
    syncsAlways.set(holder, syncs)
    answers.set(holder, { syncs, atMs: nowMs })
  }
  const unanswered = [...syncsAlways.keys()].filter((name) => syncsAlways.get(name) === undefined)
  for (const holder of unanswered) {
    const before = answers.get(holder)
    const isGone = info.cluster?.replicas?.find((each) => each.name === holder)?.offline === true
    const counts = before !== undefined && (isGone || nowMs - before.atMs <= HELD_MS)
    if (counts) syncsAlways.set(holder, before.syncs)
  }
  const onDisk = info.config.storage === StorageType.File
  const all = onDisk && [...syncsAlways.values()].every((syncs) => syncs === true)
  return { durability: all ? 'quorum-fsynced' : 'quorum', syncsAlways, unanswered, problems }
}

function holders({ cluster }: StreamInfo, link: NatsLink): string[] {
  const names = [cluster?.leader, ...(cluster?.replicas ?? []).map((replica) => replica.name)]
  const known = names.filter((name) => name !== undefined && name !== '')
  return known.length > 0 ? (known as string[]) : [link.connection.info?.server_name ?? '']
}

/** What the servers say that can be asked; why others cannot goes to `problems`. */
async function ask(
  env: Env,
  { monitors = [], system }: DurabilityOptions,
  problems: string[],
): Promise<Varz[]> {
  const asked = monitors.map((monitor): [string, Promise<Varz[]>] => [
    monitor,
    askMonitor(env, monitor),
  ])
  if (system !== undefined) asked.push(['the system account', askSystem(env, system)])
  const answers = asked.map(async ([who, answer]) => {
    try {
      return await answer
    } catch (cause) {
      if (isHoldfastError(cause, 'EngineUnsupported')) throw cause
      problems.push(`${who}: ${cause instanceof Error ? cause.message : String(cause)}`)
      return []
    }
  })
  return (await Promise.all(answers)).flat()
}

async function askMonitor(env: Env, monitor: string): Promise<Varz[]> {
  const deadline = new AbortController()
  const late = new Error(`no answer within ${ANSWER_MS} ms`)
  const cancel = env.timers.after(ANSWER_MS, () => deadline.abort(late))
  try {
    const url = `${monitor.replace(/\/+$/, '')}/varz`
    const answer = await fetch(url, { signal: deadline.signal })
    if (!answer.ok) throw new Error(`it answers ${answer.status}`)
    return [asVarz(await answer.json())]
  } finally {
    cancel()
  }
}

async function askSystem(env: Env, system: NatsOptions): Promise<Varz[]> {
  const link = await connectNats(env, system, 'holdfast system')
  try {
    const answers = await link.connection.requestMany('$SYS.REQ.SERVER.PING.VARZ', '', {
      strategy: 'stall',
      maxWait: ANSWER_MS,
      stall: STALL_MS,
    })
    const found: Varz[] = []
    for await (const answer of answers) found.push(asVarz(answer.json<{ data?: unknown }>().data))
    return found
  } finally {
    await link.close()
  }
}

function asVarz(value: unknown): Varz {
  return typeof value === 'object' && value !== null ? value : {}
}
