/** The JetStream log over three real servers that sync every write: the contract of every log. */
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  natsServerMissing,
  startNatsServers,
  SYSTEM_USER,
  type NatsServers,
} from '../../test/child/nats-servers.ts'
import { delay } from '../core/env.ts'
import { isHoldfastError } from '../core/errors.ts'
import { systemEnv } from '../core/system-env.ts'
import { openJetStreamLog, type JetStreamLog } from './jetstream-log.ts'
import { streamName } from './jetstream-stream.ts'
import { logContract, type OpenedLog } from './log.contract.ts'
import type { Log, LogFollower, Position, Unfollow } from './log.ts'

const missing = natsServerMissing('the log over NATS was not tested')
const MAX_BYTES = 16 * 1024 * 1024
const PATIENCE = { timeout: 30_000, interval: 5 }

let servers: NatsServers
let connection: NatsConnection
let manager: JetStreamManager
let streams = 0

/** How far each follower has got that is not stopped. */
class Arrivals {
  readonly #followers = new Map<object, { log: Log; next: number; done: boolean }>()

  follow(log: Log, from: number, follower: LogFollower): Unfollow {
    const state = { log, next: from, done: false }
    this.#followers.set(follower, state)
    const stop = log.follow(from, {
      entry: (position, frame) => {
        state.next = position + 1
        follower.entry(position, frame)
      },
      failed: (cause) => {
        state.done = true
        follower.failed(cause)
      },
    })
    return () => {
      state.done = true
      stop()
    }
  }

  /** Resolves once all have got what their ports know of; then a little later. */
  async settled(): Promise<void> {
    const isBehind = (): boolean =>
      [...this.#followers.values()].some(({ log, next, done }) => !done && next <= log.last())
    await vi.waitUntil(() => !isBehind(), { timeout: 10_000, interval: 5 })
    await delay(systemEnv, 50)
    await vi.waitUntil(() => !isBehind(), { timeout: 10_000, interval: 5 })
  }
}

async function openLog(name: string, arrivals: Arrivals): Promise<OpenedLog> {
  const options = { servers: servers.urls, name, maxBytes: MAX_BYTES }
  const log = await openJetStreamLog(systemEnv, options)
  return {
    log,
    follow: (from, follower) => arrivals.follow(log, from, follower),
    remembers: true,
    followers: 'many',
    reopen: () => openLog(name, arrivals),
    another: () => openLog(name, arrivals),
  }
}

describe.skipIf(missing !== undefined)('the JetStream log', () => {
  beforeAll(async () => {
    servers = await startNatsServers(3)
    connection = await connect({ servers: [...servers.urls] })
    manager = await jetstreamManager(connection, { checkAPI: false })
  })

  afterAll(async () => {
    await connection.close()
    await servers.stop()
  })

  logContract('JetStream', () => {
    const arrivals = new Arrivals()
    return {
      env: systemEnv,
      open: () => openLog(`t${++streams}`, arrivals),
      settled: () => arrivals.settled(),
    }
  })

  describe('tells what its acks are worth', durability)
  describe('refuses', noRoom)
  describe('whose leader is killed and comes back', killed)
})

function durability(): void {
  let log: JetStreamLog
  // Each has heard nothing yet: what a server said counts for a while.
  beforeEach(async () => {
    log = await openJetStreamLog(systemEnv, {
      servers: servers.urls,
      name: 'd',
      maxBytes: MAX_BYTES,
    })
  })
  afterEach(() => log.close())

  it('as the monitoring endpoints of all that hold it say', async () => {
    expect(await log.readDurability({ monitors: servers.monitors })).toEqual({
      durability: 'quorum-fsynced',
      syncsAlways: new Map(servers.names.map((name) => [name, true])),
      unanswered: [],
      problems: [],
    })
  })

  it('as the system account says', async () => {
    const system = { servers: servers.urls, ...SYSTEM_USER }
    const reading = await log.readDurability({ system })
    expect(reading.durability).toBe('quorum-fsynced')
    expect([...reading.syncsAlways.keys()].toSorted()).toEqual(servers.names)
  })

  it('and no more than is known', async () => {
    const [one = '', two = ''] = servers.monitors
    const closed = 'http://127.0.0.1:1'
    const someSay = await log.readDurability({ monitors: [one, `${two}/`, closed] })
    expect(someSay.durability).toBe('quorum')
    const third = servers.names[2] ?? ''
    expect(someSay.syncsAlways.get(third)).toBeUndefined()
    expect([...someSay.syncsAlways.values()].filter((syncs) => syncs === true)).toHaveLength(2)
    expect(someSay.problems).toEqual([expect.stringContaining(closed)])
    const nobody = await log.readDurability({})
    expect([nobody.durability, nobody.problems]).toEqual(['quorum', []])
    // The users of the database may not ask.
    const users = await log.readDurability({ system: { servers: servers.urls } })
    expect(users).toMatchObject({ durability: 'quorum', problems: [expect.any(String)] })
    const system = { servers: servers.urls, ...SYSTEM_USER, password: 'wrong' }
    const wrong = await log.readDurability({ system })
    expect(wrong).toMatchObject({
      durability: 'quorum',
      problems: [expect.stringMatching(/system account: .*authorization violation/)],
    })
  })

  it('where servers sync in the background', async () => {
    const lazy = await startNatsServers(1, { sync: ['2m'] })
    const other = await openJetStreamLog(systemEnv, { servers: lazy.urls, name: 'd' })
    expect(await other.readDurability({ monitors: lazy.monitors })).toEqual({
      durability: 'quorum',
      syncsAlways: new Map([['nats-1', false]]),
      unanswered: [],
      problems: [],
    })
    await other.close()
    await lazy.stop()
  })
}

/** Appends one frame after the other, each until it is acked, as the carrier does. */
class Appender {
  readonly acks: [Position, string][] = []
  readonly codes = new Set<string>()
  readonly done: Promise<void>
  #stopped = false

  constructor(log: Log, who: string) {
    this.done = this.#run(log, who)
  }

  stop(): void {
    this.#stopped = true
  }

  async #run(log: Log, who: string): Promise<void> {
    for (let i = 0; !this.#stopped;) {
      const text = `${who} ${i}`
      try {
        const { position } = await log.append(Buffer.from(text), text)
        this.acks.push([position, text])
        i++
      } catch (error) {
        if (!isHoldfastError(error)) throw error
        this.codes.add(error.code)
        await delay(systemEnv, 20)
      }
    }
  }
}

function noRoom(): void {
  it('is LogFull for a stream that is too large for all of them', async () => {
    const options = { servers: servers.urls, name: 'large', maxBytes: 2 ** 50 }
    const opening = openJetStreamLog(systemEnv, options)
    await expect(opening).rejects.toMatchObject({ code: 'LogFull', applied: 'no' })
  })
}

function killed(): void {
  it('loses nothing, doubles nothing, and goes on for all its ports', async () => {
    const ports = await Promise.all(
      // Each port begins at a server of its own.
      servers.urls.map((url, i) => {
        const urls = [url, ...servers.urls.filter((other) => other !== url)]
        return openLogAt(urls, `k${i}`)
      }),
    )
    const { cluster } = await manager.streams.info(streamName('killed'))
    const leader = servers.names.indexOf(cluster?.leader ?? '')
    const goOn = async (): Promise<void> => {
      const before = ports.map(({ appender }) => appender.acks.length)
      const haveGoneOn = (): boolean =>
        ports.every(({ appender }, i) => appender.acks.length >= (before[i] ?? 0) + 20)
      await vi.waitUntil(haveGoneOn, PATIENCE)
    }
    await goOn()
    await servers.kill(leader)
    await goOn()
    await servers.restart(leader)
    await goOn()
    for (const { appender } of ports) appender.stop()
    await Promise.all(ports.map(({ appender }) => appender.done))
    const acks = ports.flatMap(({ appender }) => appender.acks).sort(([a], [b]) => a - b)
    await vi.waitUntil(() => ports.every(({ entries }) => entries.length >= acks.length), PATIENCE)
    for (const { entries, failures } of ports) {
      expect(entries).toEqual(acks)
      expect(failures).toEqual([])
    }
    expect(acks.map(([position]) => position)).toEqual(acks.map((_, i) => i + 1))
    const codes = new Set(ports.flatMap(({ appender }) => [...appender.codes]))
    expect([...codes].filter((code) => !/^(LogUnavailable|OutcomeUnknown)$/.test(code))).toEqual([])
    expect(codes.size).toBeGreaterThan(0)
    await Promise.all(ports.map(({ log }) => log.close()))
  })

  it('is read on by who was connected to a server that stays away', async () => {
    const { port, at } = await openBesideConsumer()
    const other = await openLogAt([servers.urls[(at + 1) % 3] as string], 'other', 'away')
    await vi.waitUntil(() => other.appender.acks.length > 5, PATIENCE)
    await servers.kill(at)
    const before = other.appender.acks.length
    await vi.waitUntil(() => other.appender.acks.length > before + 5, PATIENCE)
    const [last] = other.appender.acks.at(-1) as [Position, string]
    await vi.waitUntil(() => (port.entries.at(-1)?.[0] ?? 0) >= last, PATIENCE)
    expect(port.entries.map(([position]) => position)).toEqual(port.entries.map((_, i) => i + 1))
    expect(port.failures).toEqual([])
    await servers.restart(at)
    for (const { appender, log } of [port, other]) {
      appender.stop()
      await appender.done
      await log.close()
    }
  })
}

/** Opens the log at the server that has its consumer, which the servers choose by chance. */
async function openBesideConsumer() {
  const known = new Set<string>()
  for (let at = 0; ; at = (at + 1) % servers.urls.length) {
    const port = await openLogAt([servers.urls[at] as string], `port ${known.size}`, 'away')
    await vi.waitUntil(() => port.entries.length > 0, PATIENCE)
    const consumers = await manager.consumers.list(streamName('away')).next()
    const own = consumers.find(({ name }) => !known.has(name))
    if (own?.cluster?.leader === servers.names[at]) return { port, at }
    for (const { name } of consumers) known.add(name)
    port.appender.stop()
    await port.appender.done
    await port.log.close()
  }
}

async function openLogAt(urls: readonly string[], who: string, name = 'killed') {
  const log = await openJetStreamLog(systemEnv, {
    servers: urls,
    name,
    maxBytes: MAX_BYTES,
  })
  const entries: [Position, string][] = []
  const failures: unknown[] = []
  log.follow(1, {
    entry: (position, frame) => entries.push([position, Buffer.from(frame).toString()]),
    failed: (cause) => failures.push(cause),
  })
  return { log, entries, failures, appender: new Appender(log, who) }
}
