import { describe, expect, it } from 'vitest'
import { busContract } from '../bus/bus.contract.ts'
import type { Bus } from '../bus/bus.ts'
import type { Bytes } from '../core/bytes.ts'
import { delay, type Env } from '../core/env.ts'
import { Kernel, type Owner } from './kernel.ts'
import { SimBuses, type SimBusOptions } from './sim-bus.ts'
import { machineClock, simEnv } from './sim-env.ts'
import { SimNetwork, type NetworkOptions } from './sim-network.ts'

interface Node {
  readonly owner: Owner
  readonly bus: Bus
}

/** A simulated run of buses, driven by one tester. */
class World {
  readonly kernel: Kernel
  readonly network: SimNetwork
  readonly buses: SimBuses
  readonly tester: Owner
  readonly env: Env
  #nodes = 0

  constructor(seed: number, network: NetworkOptions = {}, buses: SimBusOptions = {}) {
    this.kernel = new Kernel(seed)
    this.network = new SimNetwork(this.kernel, network)
    this.buses = new SimBuses(this.network, buses)
    this.tester = this.kernel.owner('tester')
    this.env = this.envOf(this.tester)
  }

  envOf(owner: Owner): Env {
    return simEnv(this.kernel, owner, machineClock(), this.kernel.random(owner.name))
  }

  run<T>(test: () => Promise<T>): Promise<T> {
    return this.kernel.run(this.kernel.as(this.tester, test))
  }

  async node(machine = `n${++this.#nodes}`, incarnation = 1): Promise<Node> {
    const owner = this.kernel.owner(`${machine}#${incarnation}`)
    this.network.attach(machine, owner)
    return { owner, bus: await this.buses.connect(owner, this.envOf(owner)) }
  }
}

const CALM: NetworkOptions = { tailChance: 0 }
const queueLimit = 1_000

let world = new World(0)
busContract(
  'simulated bus',
  async () => {
    const owners = new Map<Bus, Owner>()
    const { kernel, network, buses, env } = world
    return {
      env,
      queueLimit,
      connect: async (onError) => {
        const owner = kernel.owner(`n${owners.size}#1`)
        network.attach(`n${owners.size}`, owner)
        const bus = await buses.connect(owner, world.envOf(owner), onError)
        owners.set(bus, owner)
        return bus
      },
      hold: (bus) => {
        const owner = owners.get(bus) ?? kernel.world
        kernel.pause(owner)
        return () => kernel.resume(owner)
      },
    }
  },
  (test) => {
    world = new World(1, CALM, { queueLimit })
    return world.run(test)
  },
)

const bytesOf = (text: string): Bytes => new Uint8Array(Buffer.from(text))
const textOf = (bytes: Bytes): string => Buffer.from(bytes).toString()
const SEEDS = Array.from({ length: 20 }, (_, i) => i)
const WILD: NetworkOptions = {
  tailChance: 0.05,
  rates: { loss: 0.05, duplication: 0.2, reordering: 0.3 },
}

/** Three nodes publish on two subjects each under faults; what each node saw. */
async function chatter(w: World): Promise<string[][]> {
  const nodes = [await w.node(), await w.node(), await w.node()]
  const seen = nodes.map((): string[] => [])
  for (const [i, { bus }] of nodes.entries()) {
    bus.subscribe('talk.*', ({ subject, bytes }) => {
      seen[i]?.push(`${subject} ${textOf(bytes)}`)
    })
  }
  await Promise.all(nodes.map(({ bus }) => bus.flush()))
  for (let n = 0; n < 50; n++) {
    for (const [i, { bus }] of nodes.entries()) {
      bus.publish(`talk.${n % 2 === 0 ? 'even' : 'odd'}`, bytesOf(`${i} ${n}`))
    }
    await delay(w.env, 0.5)
  }
  await delay(w.env, 5_000)
  return seen
}

describe('simulated bus under faults', () => {
  it('keeps the order of one bus on one subject, and brings nothing twice', async () => {
    let passed = 0
    for (const seed of SEEDS) {
      const w = new World(seed, WILD)
      const lists = await w.run(() => chatter(w))
      for (const list of lists) {
        expect(new Set(list).size).toBe(list.length)
        for (const from of ['0', '1', '2']) {
          const own = list.map((text) => text.split(' ')).filter(([, i]) => i === from)
          const all = own.map(([, , n]) => Number(n))
          const [even, odd] = [0, 1].map((rest) => all.filter((n) => n % 2 === rest))
          expect(even).toEqual(even?.toSorted((x, y) => x - y))
          expect(odd).toEqual(odd?.toSorted((x, y) => x - y))
          if (all.some((n, at) => at > 0 && n < (all[at - 1] ?? n))) passed++
        }
      }
      expect(w.network.counts.lost).toBeGreaterThan(0)
    }
    // Of several subjects it says nothing, and does not keep it.
    expect(passed).toBeGreaterThan(SEEDS.length)
  })

  it('repeats from its seed, and only from it', async () => {
    const traces = await Promise.all(
      [7, 7, 8].map(async (seed) => {
        const w = new World(seed, WILD)
        const lists = await w.run(() => chatter(w))
        return JSON.stringify([w.kernel.hash, w.network.counts, lists])
      }),
    )
    expect(traces[0]).toBe(traces[1])
    expect(traces[0]).not.toBe(traces[2])
  })

  it('lets interest come through once it can, however much is lost before', async () => {
    for (const seed of SEEDS) {
      const w = new World(seed, CALM)
      await w.run(async () => {
        const calmAgain = w.network.disturb({ loss: 0.7 })
        const [a, b] = [await w.node(), await w.node()]
        b.bus.serve('x', () => bytesOf('here'))
        await b.bus.flush()
        calmAgain()
        expect(textOf(await a.bus.request('x', bytesOf(''), { deadlineMs: 100 }))).toBe('here')
        expect(w.network.counts.lost).toBeGreaterThan(0)
      })
    }
  })

  it('loses what is sent over a cut link; each side goes on alone', async () => {
    const w = new World(3, CALM)
    await w.run(async () => {
      const nodes = [await w.node(), await w.node(), await w.node()]
      const seen: string[] = []
      for (const [i, { bus }] of nodes.entries()) {
        bus.subscribe('x', ({ bytes }) => {
          seen.push(`${i} ${textOf(bytes)}`)
        })
      }
      await Promise.all(nodes.map(({ bus }) => bus.flush()))
      w.network.partition({ kind: 'isolate', machine: 'n1' })
      nodes[0]?.bus.publish('x', bytesOf('alone'))
      nodes[1]?.bus.publish('x', bytesOf('two'))
      await delay(w.env, 100)
      w.network.heal()
      await delay(w.env, 1_000)
      nodes[0]?.bus.publish('x', bytesOf('again'))
      await delay(w.env, 100)
      const all = ['0 alone', '1 two', '2 two', '0 again', '1 again', '2 again']
      expect(seen.toSorted()).toEqual(all.toSorted())
    })
  })

  it('lets a request over a cut link wait, until the route is given up: then nobody serves', async () => {
    const w = new World(4, CALM, { routeTimeoutMs: 500 })
    await w.run(async () => {
      const [a, b] = [await w.node(), await w.node()]
      b.bus.serve('x', () => bytesOf('here'))
      await b.bus.flush()
      const ask = (): Promise<string> =>
        a.bus.request('x', bytesOf(''), { deadlineMs: 200 }).then(textOf, (error: unknown) => {
          return (error as { code: string }).code
        })
      const heal = w.network.cut('n2', 'n1')
      expect(await ask()).toBe('DeadlineExceeded')
      await delay(w.env, 300)
      expect(await ask()).toBe('NoResponder')
      heal()
      expect(await ask()).toBe('here')
    })
  })

  it('flushes without those it cannot reach, who learn after healing', async () => {
    const w = new World(5, CALM)
    await w.run(async () => {
      const [a, b] = [await w.node(), await w.node()]
      w.network.partition({ kind: 'mesh' })
      b.bus.serve('x', () => bytesOf('here'))
      await b.bus.flush()
      const options = { deadlineMs: 200 }
      await expect(a.bus.request('x', bytesOf(''), options)).rejects.toMatchObject({
        code: 'NoResponder',
      })
      w.network.heal()
      await delay(w.env, 1_000)
      expect(textOf(await a.bus.request('x', bytesOf(''), options))).toBe('here')
    })
  })

  it('ends with its incarnation; the next one on the machine is another', async () => {
    const w = new World(6, CALM)
    await w.run(async () => {
      const [a, b] = [await w.node(), await w.node()]
      b.bus.serve('x', () => bytesOf('first'))
      await b.bus.flush()
      w.kernel.kill(b.owner)
      w.network.leave(b.owner)
      const options = { deadlineMs: 200 }
      await expect(a.bus.request('x', bytesOf(''), options)).rejects.toMatchObject({
        code: 'NoResponder',
      })
      const again = await w.node('n2', 2)
      again.bus.serve('x', () => bytesOf('second'))
      await again.bus.flush()
      expect(textOf(await a.bus.request('x', bytesOf(''), options))).toBe('second')
    })
  })

  it('brings what comes to who listens by then, and counts what found a full queue', async () => {
    const w = new World(10, CALM, { queueLimit: 3 })
    await w.run(async () => {
      const [a, b] = [await w.node(), await w.node()]
      const seen: string[] = []
      const listen = (name: string): void => {
        b.bus.subscribe('x', ({ bytes }) => {
          seen.push(`${name} ${textOf(bytes)}`)
        })
      }
      const publish = async (text: string): Promise<void> => {
        await b.bus.flush()
        a.bus.publish('x', bytesOf(text))
        await delay(w.env, 100)
      }
      listen('first')
      await publish('1')
      listen('second')
      await publish('2')
      expect(seen.toSorted()).toEqual(['first 1', 'first 2', 'second 2'])
      w.kernel.pause(b.owner)
      for (let i = 0; i < 5; i++) a.bus.publish('x', bytesOf(''))
      await delay(w.env, 100)
      w.kernel.resume(b.owner)
      await delay(w.env, 100)
      expect([seen.length, w.buses.dropped]).toEqual([9, 4])
    })
  })

  it('answers that are lost leave a handler that ran', async () => {
    const w = new World(9, CALM)
    await w.run(async () => {
      const [a, b] = [await w.node(), await w.node()]
      let ran = 0
      b.bus.serve('x', () => {
        ran++
        w.network.cut('n2', 'n1')
        return bytesOf('')
      })
      await b.bus.flush()
      const pending = a.bus.request('x', bytesOf(''), { deadlineMs: 500 })
      await expect(pending).rejects.toMatchObject({ code: 'DeadlineExceeded', applied: 'unknown' })
      expect(ran).toBe(1)
    })
  })
})
