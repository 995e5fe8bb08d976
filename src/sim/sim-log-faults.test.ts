/** What a client of the simulated log can see of each fault. */
import { describe, expect, it } from 'vitest'
import type { Bytes } from '../core/bytes.ts'
import { delay, type Env } from '../core/env.ts'
import { isHoldfastError, type HoldfastError } from '../core/errors.ts'
import type { EntryUse, Position } from '../log/log.ts'
import { Kernel, type Owner } from './kernel.ts'
import { machineClock, simEnv } from './sim-env.ts'
import type { SimLog } from './sim-log-port.ts'
import { SimLogCluster, type SimLogOptions } from './sim-log.ts'

const SETTLE_MS = 1_000
/** Longer than any election. */
const ELECTION_MS = 7_000
/** Longer than a broken connection goes unnoticed. */
const SILENCE_MS = 5_000
const MINUTE_MS = 60_000

interface Client {
  readonly owner: Owner
  readonly log: SimLog
  readonly frames: Bytes[]
  readonly entries: [Position, string][]
  readonly failures: unknown[]
}

interface World {
  readonly kernel: Kernel
  readonly cluster: SimLogCluster
  readonly env: Env
  /** `from>to`: what does not get through. */
  readonly cut: Set<string>
  /** A connected client that follows from 1, on one server if so asked. */
  readonly client: (name: string, server?: number) => Promise<Client>
  readonly wait: (ms?: number) => Promise<void>
}

const bytes = (text: string): Bytes => new Uint8Array(Buffer.from(text))

/** The position of the append, or the code of its rejection. */
async function outcome(log: SimLog, text: string, id = text): Promise<Position | string> {
  try {
    return (await log.append(bytes(text), id)).position
  } catch (error) {
    if (!isHoldfastError(error)) throw error
    return error.code
  }
}

function follow(log: SimLog, from: Position, client: Omit<Client, 'log' | 'owner'>): void {
  log.follow(from, {
    entry: (position, frame) => {
      client.frames.push(frame)
      client.entries.push([position, Buffer.from(frame).toString()])
    },
    failed: (cause) => client.failures.push(cause),
  })
}

async function inWorld(
  options: SimLogOptions,
  test: (world: World) => Promise<void>,
  seed = 1,
): Promise<string> {
  const kernel = new Kernel(seed)
  const env = simEnv(kernel, kernel.owner('test#1'), machineClock(), kernel.random('test'))
  const cut = new Set<string>()
  const cluster = new SimLogCluster(kernel, {
    reaches: (from, to) => !cut.has(`${from}>${to}`),
    ...options,
  })
  const client = async (name: string, server?: number): Promise<Client> => {
    for (let other = 0; other < cluster.servers; other++) {
      if (server !== undefined && other !== server) cut.add(`${name}>log-${other + 1}`)
    }
    const owner = kernel.owner(`${name}#1`)
    const log = cluster.connect(
      owner,
      simEnv(kernel, owner, machineClock(), kernel.random(name)),
      name,
    )
    await log.ready
    const made: Client = { owner, log, frames: [], entries: [], failures: [] }
    follow(log, 1, made)
    return made
  }
  const wait = (ms = SETTLE_MS): Promise<void> => delay(env, ms)
  await kernel.run(test({ kernel, cluster, env, cut, client, wait }))
  return kernel.hash
}

const other = (cluster: SimLogCluster): number => ((cluster.leader ?? 0) + 1) % cluster.servers

describe('an append', () => {
  it('whose ack is lost fails by its timeout, and is in the log', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const { log, entries } = await client('a')
      cluster.setRates({ lostAck: 1 })
      expect(await outcome(log, 'x')).toBe('OutcomeUnknown')
      expect(entries).toEqual([[1, 'x']])
      cluster.setRates({ lostAck: 0 })
      expect(await outcome(log, 'x')).toBe(1)
      await wait()
      expect(entries).toEqual([[1, 'x']])
    }))

  it('has one place for its message id within the window, and another after it', () =>
    inWorld({ dedupWindowMs: 2 * MINUTE_MS }, async ({ client, wait }) => {
      const { log, entries } = await client('a')
      expect(await outcome(log, 'x')).toBe(1)
      await wait(MINUTE_MS)
      expect(await outcome(log, 'x')).toBe(1)
      await wait(MINUTE_MS)
      expect(await outcome(log, 'x')).toBe(2)
      await wait()
      expect(entries).toEqual([
        [1, 'x'],
        [2, 'x'],
      ])
    }))

  it('has another place once its message id is forgotten, or trimmed before an election', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const { log } = await client('a')
      expect(await outcome(log, 'x')).toBe(1)
      cluster.forgetIds()
      expect(await outcome(log, 'x')).toBe(2)
      cluster.trim(3)
      expect(await outcome(log, 'x')).toBe(2)
      cluster.stepDown()
      await wait(ELECTION_MS)
      expect(await outcome(log, 'x')).toBe(3)
    }))

  it('may show up twice, and is acked once', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const { log, entries } = await client('a')
      cluster.setRates({ doubled: 1 })
      expect(await outcome(log, 'x')).toBe(1)
      await wait(MINUTE_MS)
      expect(entries).toEqual([
        [1, 'x'],
        [2, 'x'],
      ])
    }))

  it('is refused while nobody leads, and nothing of it is taken', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const { log, entries } = await client('a')
      cluster.stepDown()
      expect(cluster.leader).toBeUndefined()
      expect(await outcome(log, 'x')).toBe('LogUnavailable')
      await wait(ELECTION_MS)
      expect(cluster.leader).toBeDefined()
      expect(await outcome(log, 'y')).toBe(1)
      await wait()
      expect(entries).toEqual([[1, 'y']])
    }))

  it('is refused by name when the log is full, until it is trimmed', () =>
    inWorld({}, async ({ cluster, client }) => {
      const { log } = await client('a')
      cluster.setRates({ maxBytes: 10 })
      expect(await outcome(log, 'four')).toBe(1)
      expect(await outcome(log, 'fives')).toBe(2)
      expect(await outcome(log, 'x')).toBe('LogFull')
      await log.room?.trim(2)
      expect(await outcome(log, 'x')).toBe(3)
    }))

  it('finds the room that is kept for upkeep where data finds none', () =>
    inWorld({}, async ({ cluster, client }) => {
      const { log } = await client('a')
      cluster.setRates({ maxBytes: 100 })
      const taken = async (bytes: number, use: EntryUse): Promise<unknown> =>
        log.append(new Uint8Array(bytes), `${use} ${bytes}`, use).then(
          ({ position }) => position,
          (error: unknown) => (error as HoldfastError).code,
        )
      expect(await taken(90, 'data')).toBe(1)
      expect(await taken(1, 'data')).toBe('LogFull')
      expect(await taken(5, 'reading')).toBe(2)
      expect(await taken(1, 'reading')).toBe('LogFull')
      expect(await taken(5, 'upkeep')).toBe(3)
      expect(await taken(1, 'upkeep')).toBe('LogFull')
    }))

  it('waits for a connection, and fails as not sent without one', () =>
    inWorld({}, async ({ cluster, client, cut, wait }) => {
      const { log, entries } = await client('a')
      for (const server of ['log-1', 'log-2', 'log-3']) cut.add(`a>${server}`)
      expect(await outcome(log, 'sent')).toBe('OutcomeUnknown')
      expect(await outcome(log, 'kept')).toBe('LogUnavailable')
      const late = outcome(log, 'late')
      cut.clear()
      expect(await late).toBe(1)
      await wait()
      expect([entries, cluster.last]).toEqual([[[1, 'late']], 1])
    }))

  it('is in the log when only its answer was cut', () =>
    inWorld({}, async ({ cluster, client, cut, wait }) => {
      const { log, entries } = await client('a')
      for (const server of ['log-1', 'log-2', 'log-3']) cut.add(`${server}>a`)
      expect(await outcome(log, 'x')).toBe('OutcomeUnknown')
      expect([cluster.last, entries]).toEqual([1, []])
      cut.clear()
      await wait(SILENCE_MS)
      expect(entries).toEqual([[1, 'x']])
    }))

  it('takes longer with a slow leader', () =>
    inWorld({}, async ({ kernel, cluster, client }) => {
      const { log } = await client('a', 0)
      const timed = async (texts: string): Promise<number> => {
        const start = kernel.nowMs
        for (const text of texts) await outcome(log, text)
        return kernel.nowMs - start
      }
      const quick = await timed('abcdefgh')
      cluster.slow(cluster.leader ?? 0, 20)
      expect(await timed('ijklmnop')).toBeGreaterThan(quick)
    }))

  it('under way when its leader goes, or its client dies, is taken or not', async () => {
    const seen = {
      leader: new Set<boolean>(),
      client: new Set<boolean>(),
      broken: new Set<boolean>(),
    }
    for (let seed = 1; seed <= 30; seed++) {
      for (const [how, taken] of Object.entries(seen)) {
        const test = async ({ kernel, cluster, client, wait }: World): Promise<void> => {
          const { log, owner } = await client('a')
          const under = outcome(log, 'x')
          if (how === 'leader') {
            await wait(1)
            cluster.stepDown()
          } else if (how === 'client') kernel.kill(owner)
          else cluster.disconnect('a')
          if (how === 'broken') expect(await under).toBe('OutcomeUnknown')
          await wait(2 * ELECTION_MS)
          taken.add(cluster.last === 1)
        }
        await inWorld({}, test, seed)
      }
    }
    expect(Object.values(seen).map(({ size }) => size)).toEqual([2, 2, 2])
  })
})

describe('servers', () => {
  it('without a quorum ack nothing, and go on when they have one', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const { log } = await client('a')
      const leader = cluster.leader ?? 0
      const { log: stays } = await client('b', leader)
      for (let i = 1; i < 3; i++) cluster.crash((leader + i) % 3)
      expect(cluster.hasQuorum).toBe(false)
      // The leader that is left takes it, and cannot commit it.
      expect(await outcome(stays, 'x')).toBe('OutcomeUnknown')
      await wait(MINUTE_MS)
      expect(cluster.leader).toBeUndefined()
      expect(await outcome(stays, 'y')).toBe('LogUnavailable')
      expect(cluster.last).toBe(0)
      cluster.heal()
      await wait(ELECTION_MS)
      expect(await outcome(log, 'z')).toBe(cluster.last)
    }))

  it('that lag show their readers less, and later', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const writer = await client('a', cluster.leader)
      const stale = other(cluster)
      const reader = await client('b', stale)
      cluster.lag(stale, MINUTE_MS)
      expect(await outcome(writer.log, 'x')).toBe(1)
      await wait(MINUTE_MS / 2)
      expect([writer.entries.length, reader.entries.length]).toEqual([1, 0])
      expect([writer.log.last(), reader.log.last(), cluster.appliedBy(stale)]).toEqual([1, 0, 0])
      await wait(MINUTE_MS)
      expect(reader.entries).toEqual([[1, 'x']])
      expect(reader.log.last()).toBe(1)
    }))

  it('cut off from the others answer from what they have, and take nothing', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const writer = await client('a', cluster.leader)
      const alone = other(cluster)
      const reader = await client('b', alone)
      cluster.isolate(alone)
      expect(await outcome(writer.log, 'x')).toBe(1)
      await wait(MINUTE_MS)
      expect(reader.entries).toEqual([])
      expect(await outcome(reader.log, 'y')).toBe('LogUnavailable')
      cluster.rejoin(alone)
      await wait()
      expect(reader.entries).toEqual([[1, 'x']])
    }))

  it('cut off are left by a client that can reach others', () =>
    inWorld({}, async ({ cluster, client, cut, wait }) => {
      const alone = other(cluster)
      const { log } = await client('a', alone)
      cluster.isolate(alone)
      cut.clear()
      const outcomes: (Position | string)[] = []
      for (let i = 0; i < 20; i++) {
        outcomes.push(await outcome(log, `x${i}`))
        await wait()
      }
      expect(outcomes[0]).toBe('LogUnavailable')
      expect(outcomes.at(-1)).toBe(cluster.last)
    }))

  it('deposed take appends until they notice, and commit none', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const old = cluster.leader ?? 0
      const { log, entries } = await client('a', old)
      cluster.isolate(old)
      expect(await outcome(log, 'x')).toBe('OutcomeUnknown')
      await wait(MINUTE_MS)
      expect(cluster.leader).not.toBe(old)
      expect(await outcome(log, 'y')).toBe('LogUnavailable')
      cluster.rejoin(old)
      await wait()
      expect([cluster.last, entries]).toEqual([0, []])
    }))

  it('that crash are replaced, with everything that was acked', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const { log, entries } = await client('a')
      for (let i = 1; i <= 6; i++) {
        expect(await outcome(log, `x${i}`)).toBe(i)
        const leader = cluster.leader ?? 0
        cluster.crash(leader)
        await wait(MINUTE_MS)
        cluster.restart(leader)
      }
      await wait(MINUTE_MS)
      expect(entries).toEqual([1, 2, 3, 4, 5, 6].map((i) => [i, `x${i}`]))
    }))
})

describe('a follower', () => {
  it('goes on where it was when its connection breaks, each entry once', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const writer = await client('a')
      const reader = await client('b')
      for (let i = 1; i <= 200; i++) {
        expect(await outcome(writer.log, `x${i}`)).toBe(i)
        if (i % 10 === 0) cluster.disconnect('b')
      }
      await wait()
      expect(reader.entries).toEqual(Array.from({ length: 200 }, (_, i) => [i + 1, `x${i + 1}`]))
    }))

  it('gets memory of its own', () =>
    inWorld({}, async ({ client, wait }) => {
      const one = await client('a')
      const two = await client('b')
      const frame = bytes('x')
      await one.log.append(frame, 'x')
      await wait()
      expect([one.frames, two.frames]).toEqual([[frame], [frame]])
      expect(new Set([frame, one.frames[0], two.frames[0]]).size).toBe(3)
      one.frames[0]?.fill(0)
      follow(two.log, 1, two)
      await wait()
      expect(two.entries).toEqual([
        [1, 'x'],
        [1, 'x'],
      ])
    }))

  it('gets nothing while it is paused, and then all of it in order', () =>
    inWorld({}, async ({ kernel, client, wait }) => {
      const writer = await client('a')
      const reader = await client('b')
      kernel.pause(reader.owner)
      for (let i = 1; i <= 50; i++) await outcome(writer.log, `x${i}`)
      await wait()
      expect(reader.entries).toEqual([])
      kernel.resume(reader.owner)
      await wait()
      expect(reader.entries).toEqual(writer.entries)
      expect(reader.entries).toHaveLength(50)
    }))

  it('that is slower than trimming is told what is kept', () =>
    inWorld({}, async ({ cluster, client, wait }) => {
      const writer = await client('a', cluster.leader)
      const stale = other(cluster)
      const reader = await client('b', stale)
      await outcome(writer.log, 'x1')
      await wait()
      cluster.lag(stale, MINUTE_MS)
      for (let i = 2; i <= 9; i++) await outcome(writer.log, `x${i}`)
      cluster.trim(8)
      await wait()
      expect(reader.entries).toEqual([[1, 'x1']])
      expect(reader.failures).toMatchObject([
        { code: 'LogTrimmed', details: { position: 2, first: 8 } },
      ])
      expect([writer.entries.length, writer.failures]).toEqual([9, []])
    }))
})

describe('a loss of power', () => {
  const lose = async (options: SimLogOptions, flushedMs: number): Promise<unknown> => {
    const result: unknown[] = []
    await inWorld(options, async ({ cluster, client, wait }) => {
      const { log, entries } = await client('a')
      for (const text of ['a', 'b', 'c']) await outcome(log, text)
      await wait(flushedMs)
      for (const text of ['d', 'e']) await outcome(log, text)
      await wait()
      expect(entries).toHaveLength(5)
      result.push(cluster.powerLoss([0, 1, 2]))
      await wait(MINUTE_MS)
      cluster.heal()
      await wait(ELECTION_MS)
      result.push(log.last(), await outcome(log, 'f'))
    })
    return result
  }

  it('of all servers loses nothing that a durable log acked', async () => {
    expect(await lose({}, 0)).toEqual([5, 5, 6])
  })

  it('loses acked entries that lazy servers had not flushed: their places are given again', async () => {
    expect(await lose({ profile: 'lazy-fsync' }, 0)).toEqual([0, 0, 1])
    const [newest] = (await lose({ profile: 'lazy-fsync' }, 2 * MINUTE_MS)) as [Position]
    expect(newest).toBeGreaterThanOrEqual(3)
  })

  it('of a minority loses nothing, lazy or not', () =>
    inWorld({ profile: 'lazy-fsync' }, async ({ cluster, client, wait }) => {
      const { log } = await client('a')
      for (const text of ['a', 'b', 'c']) await outcome(log, text)
      expect(cluster.powerLoss([cluster.leader ?? 0])).toBe(3)
      await wait(MINUTE_MS)
      expect(await outcome(log, 'd')).toBe(4)
    }))
})

describe('a hostile log', () => {
  const hostile: SimLogOptions = { profile: 'hostile' }
  const filled = async ({ client, wait }: World): Promise<Client> => {
    const made = await client('a')
    for (const text of ['a', 'b', 'c', 'd']) await outcome(made.log, text)
    await wait()
    return made
  }

  it('that was reset acks at positions that its followers have applied', () =>
    inWorld(hostile, async (world) => {
      const { log, entries } = await filled(world)
      world.cluster.reset()
      await world.wait(SILENCE_MS)
      expect(log.last()).toBe(0)
      expect(await outcome(log, 'e')).toBe(1)
      for (const text of ['f', 'g', 'h', 'i']) await outcome(log, text)
      await world.wait()
      expect(entries.slice(4)).toEqual([[5, 'i']])
    }))

  it('that was rewritten shows later readers another history', () =>
    inWorld(hostile, async (world) => {
      const early = await filled(world)
      world.cluster.rewrite(2)
      const late = await world.client('b')
      await world.wait()
      expect(early.entries.map(([, text]) => text)).toEqual(['a', 'b', 'c', 'd'])
      expect(late.entries.map(([, text]) => text)).toEqual(['a', 'c', 'd', 'b'])
      expect(late.entries.map(([position]) => position)).toEqual([1, 2, 3, 4])
    }))

  it('with servers that differ shows the readers of one another order', () =>
    inWorld(hostile, async (world) => {
      const { cluster } = world
      const differs = other(cluster)
      const one = await world.client('b', differs)
      const two = await world.client('c', cluster.leader)
      cluster.lag(differs, MINUTE_MS)
      await filled(world)
      cluster.diverge(differs, 2)
      await world.wait(2 * MINUTE_MS)
      expect(one.entries.map(([, text]) => text)).toEqual(['a', 'c', 'd', 'b'])
      expect(two.entries.map(([, text]) => text)).toEqual(['a', 'b', 'c', 'd'])
    }))

  it('with a gap delivers beyond it, with the positions that are so', () =>
    inWorld(hostile, async (world) => {
      await filled(world)
      world.cluster.gap(2, 3)
      const late = await world.client('b')
      await world.wait()
      expect(late.entries).toEqual([
        [1, 'a'],
        [4, 'd'],
      ])
    }))

  it('is asked for by name: others refuse', () =>
    inWorld({}, async ({ cluster }) => {
      await Promise.resolve()
      expect(() => cluster.reset()).toThrow(/hostile/)
      expect(() => cluster.rewrite(1)).toThrow(/hostile/)
      expect(() => cluster.diverge(0, 1)).toThrow(/hostile/)
      expect(() => cluster.gap(1, 1)).toThrow(/hostile/)
    }))
})
