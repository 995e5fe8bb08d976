/**
 * S3, S4, S6, S8, S9 under faults: several nodes over the simulated log, which loses acks, has
 * messages twice, forgets ids, has no leader and breaks connections, while nodes die and restart.
 * Judged against the log itself, applied once more by a node that nothing happened to.
 */
import { expect, test } from 'vitest'
import { delay } from '../../src/core/env.ts'
import { HoldfastError } from '../../src/core/errors.ts'
import { decodeValue } from '../../src/core/value-codec.ts'
import { decodeEntry, encodeControl } from '../../src/log/entry-codec.ts'
import { ApplyLoop } from '../../src/shard/apply-loop.ts'
import { checkStore } from '../../src/shard/check.ts'
import { Node } from '../../src/shard/node.ts'
import { BODY_HEADER_BYTES } from '../../src/shard/row-codec.ts'
import { Kernel, type Owner } from '../../src/sim/kernel.ts'
import { SimDisk } from '../../src/sim/sim-disk.ts'
import { machineClock, simEnv } from '../../src/sim/sim-env.ts'
import { SimLogCluster } from '../../src/sim/sim-log.ts'
import type { Draw } from '../../src/sim/draw.ts'
import { openMemoryStore } from '../../src/store/memory-store.ts'
import { only, put, stateOf } from './scripted-log.ts'

const NODES = 3
const CLIENTS = 3
/** Virtual time with faults, and what follows without. */
const FAULTS_MS = 40_000
const CALM_MS = 15_000

interface Call {
  readonly marker: number
  outcome: 'committed' | 'lost' | 'not-applied' | 'unknown'
  position: number
}

class Machine {
  readonly name: string
  readonly world: Chaos
  readonly disk: SimDisk
  node: Node | undefined
  owner: Owner | undefined
  incarnation = 0
  #starting: Promise<void> = Promise.resolve()

  constructor(name: string, world: Chaos) {
    this.name = name
    this.world = world
    this.disk = new SimDisk(world.kernel, name, { profile: 'overlapping' })
  }

  /** Resolves once a node is up, unless it dies before. */
  start(): Promise<void> {
    if (this.owner?.alive !== true) this.#starting = this.#start()
    return this.#starting
  }

  async #start(): Promise<void> {
    const { kernel, cluster } = this.world
    const owner = kernel.owner(`${this.name}#${++this.incarnation}`)
    this.owner = owner
    const env = simEnv(kernel, owner, machineClock(), kernel.random(owner.name))
    await kernel.as(owner, async () => {
      const log = cluster.connect(owner, env, this.name)
      await log.ready
      const node = new Node({ env, store: this.disk.open(owner), openLog: () => log })
      node.loop.listen({
        applied: () => undefined,
        halted: (cause) => {
          if (cause.code !== 'Closed') kernel.fail(cause)
        },
      })
      await node.start(4)
      this.node = node
    })
  }

  die(how: 'kill' | 'crash'): void {
    if (this.owner !== undefined) this.world.kernel.kill(this.owner)
    this.node = undefined
    this.disk[how]()
  }
}

class Chaos {
  readonly kernel: Kernel
  readonly cluster: SimLogCluster
  readonly machines: Machine[]
  readonly calls: Call[] = []
  readonly draw: Draw
  readonly env
  /** The newest position that anybody was told of. */
  acked = 0
  barriers = 0
  deaths = 0

  constructor(seed: number) {
    const kernel = (this.kernel = new Kernel(seed))
    this.draw = kernel.random('chaos')
    this.env = simEnv(kernel, kernel.owner('test'), machineClock(), kernel.random('test'))
    this.cluster = new SimLogCluster(kernel, { dedupWindowMs: 3_000 })
    this.machines = Array.from({ length: NODES }, (_, i) => new Machine(`n${i + 1}`, this))
  }

  async run(): Promise<void> {
    await Promise.all(this.machines.map((machine) => machine.start()))
    const until = this.kernel.nowMs + FAULTS_MS
    const clients = this.machines.flatMap((machine) =>
      Array.from({ length: CLIENTS }, (_, i) => this.#client(machine, i, until + CALM_MS)),
    )
    await this.#faults(until)
    this.cluster.heal()
    await Promise.all(this.machines.map((machine) => machine.start()))
    await Promise.all(clients)
  }

  async #client(machine: Machine, index: number, untilMs: number): Promise<void> {
    const draw = this.kernel.random(`client/${machine.name}/${index}`)
    while (this.kernel.nowMs < untilMs) {
      await delay(this.env, draw.exponential(300))
      const { node, owner } = machine
      if (node === undefined || owner === undefined) continue
      const work = draw.float() < 0.3 ? this.#read(node) : this.#write(node, draw)
      // A call on a node that dies is never answered.
      await Promise.race([work, this.#died(owner)])
    }
  }

  async #died(owner: Owner): Promise<void> {
    while (owner.alive) await delay(this.env, 500)
  }

  async #read(node: Node): Promise<void> {
    const before = this.acked
    try {
      const position = await node.barrier()
      expect(position).toBeGreaterThanOrEqual(before)
      expect(node.loop.visible()).toBeGreaterThanOrEqual(before)
      this.barriers++
    } catch (cause) {
      if (!(cause instanceof HoldfastError) || cause.applied !== 'no') throw cause
    }
  }

  async #write(node: Node, draw: Draw): Promise<void> {
    const call: Call = { marker: this.calls.length, outcome: 'unknown', position: 0 }
    this.calls.push(call)
    const readAt = draw.float() < 0.5 ? Math.max(0, node.loop.visible() - draw.int(0, 3)) : -1
    const ops = [put(node, `k${draw.int(0, 20)}`, call.marker, readAt)]
    try {
      const fate = await node.proposer.propose(only(...ops))
      call.outcome = fate.verdict === 'committed' ? 'committed' : 'lost'
      call.position = fate.position
      this.acked = Math.max(this.acked, fate.position)
    } catch (cause) {
      if (!(cause instanceof HoldfastError)) throw cause
      call.outcome = cause.applied === 'no' ? 'not-applied' : 'unknown'
    }
  }

  async #faults(untilMs: number): Promise<void> {
    const { draw, cluster } = this
    while (this.kernel.nowMs < untilMs) {
      await delay(this.env, draw.exponential(1_500))
      const machine = draw.pick(this.machines)
      const server = draw.int(0, cluster.servers - 1)
      const faults: (() => unknown)[] = [
        () => cluster.setRates({ lostAck: draw.float() / 3, doubled: draw.float() / 3 }),
        () => cluster.stepDown(draw.int(200, 12_000)),
        () => cluster.disconnect(draw.float() < 0.5 ? machine.name : undefined),
        () => cluster.forgetIds(),
        () => this.#serverDies(server),
        () => cluster.lag(server, draw.int(0, 3_000)),
        () => this.#nodeDies(machine),
        () => this.#closeSomeSession(machine),
      ]
      draw.pick(faults)()
    }
  }

  #serverDies(server: number): void {
    this.cluster.crash(server)
    this.env.timers.after(this.draw.int(100, 9_000), () => this.cluster.restart(server))
  }

  #nodeDies(machine: Machine): void {
    if (machine.node === undefined) return
    machine.die(this.draw.float() < 0.5 ? 'kill' : 'crash')
    this.deaths++
    this.env.timers.after(this.draw.int(10, 5_000), () => void machine.start())
  }

  /** As a node's next incarnation, or a forked one, does. */
  #closeSomeSession({ node }: Machine): void {
    if (node === undefined) return
    const open = [...node.loop.state.sessions.values()].filter((session) => session.open)
    if (open.length === 0) return
    const { identity } = node.loop.state
    const frame = encodeControl(identity, { kind: 'close', session: this.draw.pick(open).id })
    node.log.append(frame, `test.${this.kernel.nowMs}`).catch(() => undefined)
  }
}

test.each(Array.from({ length: 5 }, (_, i) => i + 1))(
  'S3, S4, S6, S8: each write once, each read of all before it, all nodes alike, seed %i',
  async (seed) => {
    const chaos = new Chaos(seed)
    await chaos.kernel.run(async () => {
      await chaos.run()
      const nodes = chaos.machines.map(({ node }) => node as Node)
      await Promise.all(nodes.map((node) => node.barrier()))
      const { last } = chaos.cluster
      await Promise.all(nodes.map((node) => node.reached(last)))
      const referee = await replay(chaos)
      const expected = stateOf({ loop: referee.loop } as Node)
      for (const node of nodes) {
        expect(node.loop.state.position).toBe(last)
        expect(stateOf(node)).toEqual(expected)
        expect((await checkStore(node.store)).problems).toEqual([])
      }
      judge(chaos, referee.committed)
    })
    expect(chaos.deaths).toBeGreaterThan(0)
    expect(chaos.barriers).toBeGreaterThan(20)
    const committed = chaos.calls.filter(({ outcome }) => outcome === 'committed')
    expect(committed.length).toBeGreaterThan(100)
  },
)

/** What became of each call by the log, against what its caller was told. */
function judge({ calls }: Chaos, committed: ReadonlyMap<number, readonly number[]>): void {
  const wrong = calls.flatMap(({ marker, outcome, position }) => {
    const positions = committed.get(marker) ?? []
    const allowed = {
      committed: positions.length === 1 && positions[0] === position,
      unknown: positions.length <= 1,
      lost: positions.length === 0,
      'not-applied': positions.length === 0,
    }
    return allowed[outcome] ? [] : [`${marker}: ${outcome}, in the log at ${positions.join()}`]
  })
  expect(wrong).toEqual([])
}

/** Applies the log from its beginning, and tells at which positions each call's write committed. */
async function replay({
  cluster,
  env,
}: Chaos): Promise<{ loop: ApplyLoop; committed: Map<number, number[]> }> {
  const loop = new ApplyLoop(env, openMemoryStore(env))
  const committed = new Map<number, number[]>()
  loop.listen({
    halted: (cause) => {
      throw cause
    },
    applied: ({ position, decision }) => {
      if (decision.kind !== 'batch') return
      for (const [i, verdict] of decision.verdicts.entries()) {
        if (verdict !== 'committed') continue
        for (const op of decision.batch.transactions[i]?.ops ?? []) {
          const { value } = decodeValue(op.body, BODY_HEADER_BYTES) as { value: number }
          committed.set(value, [...(committed.get(value) ?? []), position])
        }
      }
    },
  })
  const frames = Array.from({ length: cluster.last }, (_, i) => cluster.frameAt(i + 1))
  loop.follow({
    durability: 'self',
    last: () => frames.length,
    append: () => Promise.reject(new HoldfastError('Closed', 'only for reading')),
    follow: (from, follower) => {
      for (const [i, frame] of frames.entries()) {
        if (frame === undefined) throw new Error(`entry ${i + 1} is missing`)
        if (i + 1 >= from) follower.entry(i + 1, Uint8Array.from(frame))
      }
      return () => undefined
    },
    close: () => Promise.resolve(),
  })
  await loop.reached(frames.length)
  expect(decodeEntry(Uint8Array.from(frames[0] as Uint8Array), undefined)?.kind).toBe('genesis')
  return { loop, committed }
}
