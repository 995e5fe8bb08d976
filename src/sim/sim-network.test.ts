import { describe, expect, it } from 'vitest'
import { Kernel, type Owner } from './kernel.ts'
import type { Partition } from './partition.ts'
import { SimNetwork, type NetworkOptions } from './sim-network.ts'

const CALM: NetworkOptions = { tailChance: 0 }

/** A network of machines a to e, and what came where and when. */
class World {
  readonly kernel: Kernel
  readonly network: SimNetwork
  readonly owners = new Map<string, Owner>()
  readonly came: { readonly text: string; readonly atMs: number }[] = []

  constructor(options: NetworkOptions = CALM, seed = 1) {
    this.kernel = new Kernel(seed)
    this.network = new SimNetwork(this.kernel, options)
    for (const machine of 'abcde') this.restart(machine, 1)
  }

  restart(machine: string, incarnation: number): void {
    const owner = this.kernel.owner(`${machine}#${incarnation}`)
    this.owners.set(machine, owner)
    this.network.attach(machine, owner)
  }

  owner(machine: string): Owner {
    return this.owners.get(machine) ?? this.kernel.world
  }

  send(from: string, to: string, text: string, stream?: string): void {
    const deliver = (): void => {
      this.came.push({ text, atMs: this.kernel.nowMs })
    }
    const options = stream === undefined ? {} : { stream }
    this.network.send(this.owner(from), this.owner(to), text.replace(/\d+/, ''), deliver, options)
  }

  get texts(): string[] {
    return this.came.map(({ text }) => text)
  }

  /** Lets `ms` of virtual time pass. */
  async pass(ms: number): Promise<void> {
    await this.kernel.run(
      new Promise<void>((resolve) => {
        this.kernel.after(ms, 'test', this.kernel.world, resolve)
      }),
    )
  }

  sendMany(count: number, stream?: string): void {
    for (let i = 0; i < count; i++) this.send('a', 'b', `m${i}`, stream)
  }
}

const numbers = (texts: readonly string[]): number[] => texts.map((text) => Number(text.slice(1)))
const ascending = (list: readonly number[]): number[] => list.toSorted((x, y) => x - y)

describe('a message', () => {
  it('comes once, later, as the receiver', async () => {
    const w = new World()
    let as: Owner | undefined
    w.network.send(w.owner('a'), w.owner('b'), 'm', () => {
      as = w.kernel.current
      w.came.push({ text: 'm', atMs: w.kernel.nowMs })
    })
    expect(w.came).toEqual([])
    await w.pass(100)
    expect(as).toBe(w.owner('b'))
    expect(w.came.length).toBe(1)
    expect(w.came[0]?.atMs).toBeGreaterThan(0.1)
    expect(w.network.counts).toMatchObject({ sent: 1, delivered: 1, lost: 0, reordered: 0 })
  })

  it('to a dead incarnation vanishes, though the machine runs again; to a paused one it waits', async () => {
    const w = new World()
    w.send('a', 'b', 'dead')
    w.kernel.kill(w.owner('b'))
    w.restart('b', 2)
    await w.pass(100)
    w.kernel.pause(w.owner('b'))
    w.send('a', 'b', 'waits')
    await w.pass(100)
    expect(w.texts).toEqual([])
    w.kernel.resume(w.owner('b'))
    await w.pass(1)
    expect(w.texts).toEqual(['waits'])
  })

  it('in flight when its link is cut is lost, though the link is whole again at once', async () => {
    const w = new World()
    w.send('a', 'b', 'lost')
    w.send('a', 'b', 'gone', 'stream')
    w.network.cut('a', 'b')()
    w.send('a', 'b', 'comes')
    await w.pass(100)
    expect(w.texts).toEqual(['comes'])
    expect(w.network.counts.cut).toBe(2)
  })

  it('of a dead sender is not sent', async () => {
    const w = new World()
    w.kernel.kill(w.owner('a'))
    w.send('a', 'b', 'late')
    await w.pass(100)
    expect(w.texts).toEqual([])
  })

  it('that came before the cut stays, though its receiver is paused over it', async () => {
    const w = new World()
    w.kernel.pause(w.owner('b'))
    w.send('a', 'b', 'came')
    await w.pass(100)
    w.network.cut('a', 'b')
    w.kernel.resume(w.owner('b'))
    await w.pass(1)
    expect(w.texts).toEqual(['came'])
  })

  it('keeps its fate when others are taken out', async () => {
    const arrivals = async (others: number): Promise<unknown[]> => {
      const w = new World({ rates: { loss: 0.3, duplication: 0.3, reordering: 0.3 } })
      for (let i = 0; i < others; i++) w.send('a', 'b', `other${i}`)
      w.sendMany(100)
      await w.pass(30_000)
      return w.came.filter(({ text }) => text.startsWith('m'))
    }
    const alone = await arrivals(0)
    expect(alone.length).toBeGreaterThan(60)
    expect(await arrivals(5)).toEqual(alone)
  })
})

describe('rates', () => {
  const many = async (rates: NetworkOptions['rates'], stream?: string): Promise<World> => {
    const w = new World({ tailChance: 0, rates: rates ?? {} })
    w.sendMany(1_000, stream)
    await w.pass(60_000)
    return w
  }

  it('of loss lose as many, and count them', async () => {
    const w = await many({ loss: 0.2 })
    expect(w.came.length).toBe(1_000 - w.network.counts.lost)
    // 5 sigma.
    expect(Math.abs(w.network.counts.lost - 200)).toBeLessThan(65)
  })

  it('of duplication bring as many twice, and count them', async () => {
    const w = await many({ duplication: 0.2 })
    expect(w.came.length).toBe(1_000 + w.network.counts.duplicated)
    expect(Math.abs(w.network.counts.duplicated - 200)).toBeLessThan(65)
    expect(new Set(w.texts).size).toBe(1_000)
  })

  it('of reordering let messages be passed', async () => {
    const w = new World({ baseMs: [1, 1], jitterMs: 0.001, tailChance: 0 })
    const spaced = async (): Promise<number[]> => {
      for (let i = 0; i < 200; i++) {
        w.kernel.after(0.5 * i, 'test', w.kernel.world, () => w.send('a', 'b', `m${i}`))
      }
      await w.pass(1_000)
      return numbers(w.came.splice(0).map(({ text }) => text))
    }
    const calm = await spaced()
    expect(calm).toEqual(ascending(calm))
    expect(w.network.counts.reordered).toBe(0)
    const end = w.network.disturb({ reordering: 0.3 })
    const disturbed = await spaced()
    expect(disturbed).not.toEqual(ascending(disturbed))
    expect(w.network.counts.reordered).toBeGreaterThan(10)
    end()
    const again = await spaced()
    expect(again).toEqual(ascending(again))
  })

  it('change no stream but by loss', async () => {
    const w = await many({ loss: 0.2, duplication: 0.5, reordering: 0.5 }, 's')
    const list = numbers(w.texts)
    expect(list).toEqual([...new Set(ascending(list))])
    expect(list.length).toBe(1_000 - w.network.counts.lost)
    expect(list.length).toBeLessThan(900)
  })

  it('make a stream wait for its slowest', async () => {
    const arrivals = async (stream?: string): Promise<number[]> => {
      const w = new World({ tailChance: 0, rates: { reordering: 0.2 } })
      w.sendMany(100, stream)
      await w.pass(60_000)
      const at = new Map(w.came.map(({ text, atMs }) => [text, atMs]))
      return Array.from({ length: 100 }, (_, i) => at.get(`m${i}`) ?? -1)
    }
    const alone = await arrivals()
    let slowest = 0
    const expected = alone.map((atMs) => (slowest = Math.max(slowest, atMs)))
    expect(await arrivals('s')).toEqual(expected)
  })

  it('of one stream let others pass', async () => {
    const w = new World({ rates: { reordering: 0.3 } })
    for (let i = 0; i < 200; i++) w.send('a', 'b', `m${i}`, i % 2 === 0 ? 'even' : 'odd')
    await w.pass(60_000)
    const list = numbers(w.texts)
    expect(list).not.toEqual(ascending(list))
    for (const rest of [0, 1]) {
      const own = list.filter((n) => n % 2 === rest)
      expect(own).toEqual(ascending(own))
    }
  })

  it('keep a stream in order over a pause of its receiver', async () => {
    const w = new World()
    w.kernel.pause(w.owner('b'))
    w.sendMany(100, 's')
    await w.pass(1_000)
    w.kernel.resume(w.owner('b'))
    await w.pass(1)
    expect(numbers(w.texts)).toEqual(Array.from({ length: 100 }, (_, i) => i))
  })
})

describe('delays', () => {
  it('have a base of each link, an exponential part, and a heavy tail', async () => {
    const w = new World({ baseMs: [1, 5], jitterMs: 1, tailChance: 0.05, tailMs: 50, lateMs: 200 })
    w.sendMany(2_000)
    await w.pass(60_000)
    const sorted = ascending(w.came.map(({ atMs }) => atMs))
    expect(sorted[0]).toBeGreaterThan(1)
    expect(sorted[1_000]).toBeLessThan(7)
    expect(sorted.filter((ms) => ms > 50).length).toBeGreaterThan(50)
    expect(sorted.at(-1)).toBeLessThanOrEqual(50 * 100 + 20)
    expect(w.network.counts.late).toBe(sorted.filter((ms) => ms > 200).length)
    expect(w.network.counts.late).toBeGreaterThan(0)
  })

  it('grow on a slow link alone, by its factor', async () => {
    const arrivals = async (slow: boolean): Promise<number[]> => {
      const w = new World()
      if (slow) w.network.slow({ from: 'a', to: 'b' }, 10)
      w.send('a', 'b', 'x')
      w.send('a', 'c', 'y')
      w.send('b', 'a', 'z')
      await w.pass(1_000)
      expect(w.network.counts.slowed).toBe(slow ? 1 : 0)
      return ['x', 'y', 'z'].map((name) => w.came.find(({ text }) => text === name)?.atMs ?? -1)
    }
    const [calm, slow] = [await arrivals(false), await arrivals(true)]
    expect(slow[0]).toBeCloseTo(10 * (calm[0] ?? 0), 6)
    expect(slow.slice(1)).toEqual(calm.slice(1))
  })
})

describe('partitions', () => {
  const names = ['a', 'b', 'c', 'd', 'e']
  const all = names.flatMap((from) => names.map((to) => `${from}${to}`))
  const open = (shape: Partition): string[] => {
    const { network } = new World()
    network.partition(shape)
    const reached = all.filter((pair) => network.reaches(pair.slice(0, 1), pair.slice(1)))
    return reached.filter(([from, to]) => from !== to)
  }
  const both = (pairs: string): string[] =>
    pairs.split(' ').flatMap((pair) => [pair, pair.slice(1) + pair.slice(0, 1)])

  const cases: [Partition, string[]][] = [
    [{ kind: 'halves', one: ['a', 'b'] }, both('ab cd ce de')],
    [{ kind: 'isolate', machine: 'a' }, both('bc bd be cd ce de')],
    [
      { kind: 'one-way', from: ['a'], to: ['b', 'c', 'd', 'e'] },
      [...both('bc bd be cd ce de'), 'ba', 'ca', 'da', 'ea'],
    ],
    [{ kind: 'bridge', left: ['a', 'b'], right: ['d', 'e'] }, both('ab de ac bc cd ce')],
    [{ kind: 'ring', machines: ['a', 'b', 'c', 'd', 'e'] }, both('ab bc cd de ea')],
    [{ kind: 'mesh' }, []],
    [{ kind: 'flaky', loss: 0.9 }, all.filter(([from, to]) => from !== to)],
  ]
  for (const [shape, expected] of cases) {
    it(`of shape ${shape.kind} leave these links open, and no other`, () => {
      expect(open(shape).toSorted()).toEqual(expected.toSorted())
    })
  }

  it('lose what is sent over a cut link, and nothing else', async () => {
    const w = new World()
    const end = w.network.partition({ kind: 'bridge', left: ['a'], right: ['c'] })
    for (const [from, to] of all) w.send(from ?? '', to ?? '', `${from}${to}`)
    await w.pass(1_000)
    expect(w.texts.toSorted()).toEqual(all.filter((p) => p !== 'ac' && p !== 'ca').toSorted())
    expect(w.network.counts.cut).toBe(2)
    end()
    w.send('a', 'c', 'again')
    await w.pass(1_000)
    expect(w.texts.at(-1)).toBe('again')
  })

  it('of shape flaky lose some of each link they touch', async () => {
    const w = new World()
    w.network.partition({ kind: 'flaky', loss: 0.5, machines: ['a'] })
    for (let i = 0; i < 500; i++) for (const to of 'bc') w.send('a', to, `m${i}`)
    for (let i = 0; i < 500; i++) w.send('b', 'c', `n${i}`)
    await w.pass(1_000)
    const [touched, others] = ['m', 'n'].map((x) => w.texts.filter((t) => t.startsWith(x)).length)
    expect(Math.abs((touched ?? 0) - 500)).toBeLessThan(80)
    expect(others).toBe(500)
  })

  it('add up, end one by one, and all by heal', () => {
    const { network } = new World()
    const endHalves = network.partition({ kind: 'halves', one: ['a'] })
    const endCut = network.cut('a', 'b')
    endHalves()
    expect([network.reaches('a', 'b'), network.reaches('b', 'a')]).toEqual([false, true])
    endHalves()
    endCut()
    expect(network.reaches('a', 'b')).toBe(true)
    network.partition({ kind: 'mesh' })
    network.heal()
    expect(network.reaches('a', 'b')).toBe(true)
  })

  it('hold machines that come later', () => {
    const w = new World()
    w.network.partition({ kind: 'isolate', machine: 'a' })
    w.restart('f', 1)
    expect([w.network.reaches('a', 'f'), w.network.reaches('b', 'f')]).toEqual([false, true])
  })
})

describe('a run', () => {
  it('repeats from its seed, and only from it', async () => {
    const rates = { loss: 0.1, duplication: 0.1, reordering: 0.1 }
    const run = async (seed: number): Promise<string> => {
      const w = new World({ rates }, seed)
      for (let i = 0; i < 100; i++) {
        for (const [from, to] of ['ab', 'bc', 'ca']) w.send(from ?? '', to ?? '', `m${i}`)
        if (i === 50) w.network.partition({ kind: 'isolate', machine: 'b' })
      }
      await w.pass(10_000)
      return JSON.stringify([w.kernel.hash, w.came, w.network.counts])
    }
    expect(await run(1)).toBe(await run(1))
    expect(await run(1)).not.toBe(await run(2))
  })
})
