/** Whatever a durable simulated log goes through, what it acked is what every follower gets. */
import { describe, expect, it } from 'vitest'
import { delay, type Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import type { Position } from '../log/log.ts'
import type { Draw } from './draw.ts'
import { Kernel, type Owner } from './kernel.ts'
import { machineClock, simEnv } from './sim-env.ts'
import type { SimLog } from './sim-log-port.ts'
import { SimLogCluster } from './sim-log.ts'

const SEEDS = 20
const CLIENTS = ['a', 'b', 'c'] as const
const FAULTS = 40
const FAULT_EVERY_MS = 2_500
const WRITE_EVERY_MS = 400
/** After healing: an election, broken connections noticed, and more. */
const LIVENESS_MS = 60_000

interface Client {
  readonly name: string
  owner: Owner
  env: Env
  log: SimLog
  incarnation: number
  /** By position, over all incarnations: each goes on after the last entry of the one before. */
  readonly got: Map<Position, string>
  /** What it was told to be trimmed. */
  readonly missed: Set<Position>
  next: Position
}

interface Tally {
  acked: number
  rejected: number
  doubled: number
  trimmed: number
}

class Run {
  readonly kernel: Kernel
  readonly cluster: SimLogCluster
  readonly clients: Client[]
  readonly acks: { readonly position: Position; readonly text: string }[] = []
  readonly tally: Tally = { acked: 0, rejected: 0, doubled: 0, trimmed: 0 }
  readonly #env: Env
  readonly #cut = new Set<string>()
  #writing = true

  constructor(seed: number) {
    this.kernel = new Kernel(seed)
    this.#env = this.#envOf(this.kernel.owner('test#1'))
    const reaches = (from: string, to: string): boolean => !this.#cut.has(`${from}>${to}`)
    this.cluster = new SimLogCluster(this.kernel, { reaches, dedupWindowMs: 20_000 })
    this.clients = CLIENTS.map((name) =>
      this.#start(name, 1, { got: new Map(), missed: new Set(), next: 1 }),
    )
  }

  async whole(): Promise<void> {
    const draw = this.kernel.random('faults')
    for (let i = 0; i < FAULTS; i++) {
      await delay(this.#env, draw.exponential(FAULT_EVERY_MS))
      draw.pick(this.#faults(draw))()
    }
    this.#writing = false
    this.#cut.clear()
    this.cluster.heal()
    for (const { owner } of this.clients) this.kernel.resume(owner)
    await delay(this.#env, LIVENESS_MS)
    for (const { log, name } of this.clients) await this.#append(log, `${name}/last`)
    await delay(this.#env, LIVENESS_MS)
  }

  #envOf(owner: Owner): Env {
    return simEnv(this.kernel, owner, machineClock(), this.kernel.random(`env/${owner.name}`))
  }

  #start(
    name: string,
    incarnation: number,
    { got, missed, next }: Pick<Client, 'got' | 'missed' | 'next'>,
  ): Client {
    const owner = this.kernel.owner(`${name}#${incarnation}`)
    const env = this.#envOf(owner)
    const log = this.cluster.connect(owner, env, name)
    const client: Client = { name, owner, env, log, incarnation, got, missed, next }
    this.#follow(client)
    void this.#write(client)
    return client
  }

  #follow(client: Client): void {
    client.log.follow(client.next, {
      entry: (position, frame) => {
        if (position !== client.next) {
          this.kernel.fail(
            new Error(`${client.owner.name}: ${position} comes after ${client.next}`),
          )
        }
        client.next = position + 1
        client.got.set(position, Buffer.from(frame).toString())
      },
      failed: (cause) => {
        if (!isHoldfastError(cause, 'LogTrimmed')) throw cause
        this.tally.trimmed++
        const { position, first } = cause.details as { position: Position; first: Position }
        if (position !== client.next || first <= position) throw cause
        for (let trimmed = position; trimmed < first; trimmed++) client.missed.add(trimmed)
        client.next = first
        this.#follow(client)
      },
    })
  }

  /** One append after another, each resent until it is acked. */
  async #write({ env, owner, log }: Client): Promise<void> {
    const draw = this.kernel.random(`writes/${owner.name}`)
    for (let i = 1; this.#writing; i++) {
      const text = `${owner.name}/${i}`
      while (this.#writing && !(await this.#append(log, text))) await delay(env, 100)
      await delay(env, draw.exponential(WRITE_EVERY_MS))
    }
  }

  async #append(log: SimLog, text: string): Promise<boolean> {
    try {
      const { position } = await log.append(new Uint8Array(Buffer.from(text)), text)
      if (position > log.last()) this.kernel.fail(new Error(`ack ${position} above last`))
      this.acks.push({ position, text })
      this.tally.acked++
      return true
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error
      this.tally.rejected++
      return false
    }
  }

  #faults(draw: Draw): (() => void)[] {
    const { cluster, kernel, clients } = this
    const server = draw.int(0, cluster.servers - 1)
    const client = draw.int(0, clients.length - 1)
    const before = clients[client] as Client
    const { owner, name, incarnation } = before
    return [
      () => cluster.setRates({ lostAck: draw.float() / 2, doubled: draw.float() / 2 }),
      () => cluster.stepDown(),
      () => cluster.crash(server),
      () => cluster.restart(server),
      () => cluster.isolate(server),
      () => cluster.rejoin(server),
      () => cluster.lag(server, draw.exponential(5_000)),
      () => cluster.slow(server, draw.int(1, 50)),
      () => cluster.trim(cluster.last - draw.int(0, 30)),
      () => cluster.forgetIds(),
      () => cluster.disconnect(draw.chance(0.5) ? name : undefined),
      () => cluster.powerLoss(draw.shuffled([0, 1, 2]).slice(0, draw.int(1, 3))),
      () => cluster.heal(),
      () => void this.#cut.add(`${name}>log-${server + 1}`),
      () => void this.#cut.add(`log-${server + 1}>${name}`),
      () => this.#cut.clear(),
      () => kernel.pause(owner),
      () => kernel.resume(owner),
      () => {
        kernel.kill(owner)
        clients[client] = this.#start(name, incarnation + 1, before)
      },
    ]
  }

  check(): void {
    const { cluster, acks, clients, tally } = this
    const texts = new Map<string, number>()
    for (const { got, missed, next } of clients) {
      expect(next).toBe(cluster.last + 1)
      expect(got.size + missed.size).toBe(cluster.last)
      for (const position of missed) expect(got.has(position)).toBe(false)
      for (const { position, text } of acks) expect([undefined, text]).toContain(got.get(position))
    }
    for (let position = 1; position <= cluster.last; position++) {
      const seen = new Set(clients.flatMap(({ got }) => got.get(position) ?? []))
      expect(seen.size).toBeLessThanOrEqual(1)
      const kept = cluster.frameAt(position)
      if (kept !== undefined) expect(seen).toEqual(new Set([Buffer.from(kept).toString()]))
      for (const text of seen) texts.set(text, (texts.get(text) ?? 0) + 1)
    }
    for (const name of CLIENTS) expect(texts.get(`${name}/last`)).toBe(1)
    for (const count of texts.values()) if (count > 1) tally.doubled++
  }
}

describe('a durable log under faults', () => {
  it('delivers every acked append to all at its position, once, in order', async () => {
    const sum: Tally = { acked: 0, rejected: 0, doubled: 0, trimmed: 0 }
    for (let seed = 1; seed <= SEEDS; seed++) {
      const run = new Run(seed)
      await run.kernel.run(run.whole())
      run.check()
      for (const key of Object.keys(sum) as (keyof Tally)[]) sum[key] += run.tally[key]
    }
    expect(sum.acked).toBeGreaterThan(SEEDS * 100)
    for (const count of Object.values(sum)) expect(count).toBeGreaterThan(SEEDS / 2)
  })

  it('does the same again from the same seed', async () => {
    const hashes: string[] = []
    for (const seed of [7, 7, 8]) {
      const run = new Run(seed)
      await run.kernel.run(run.whole())
      hashes.push(run.kernel.hash)
    }
    expect(hashes[0]).toBe(hashes[1])
    expect(hashes[0]).not.toBe(hashes[2])
  })
})
