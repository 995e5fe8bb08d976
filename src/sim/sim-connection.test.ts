import { describe, expect, it } from 'vitest'
import { Kernel, type Owner } from './kernel.ts'
import { Connection, NetworkError, request, type SimRequestOptions } from './sim-connection.ts'
import { SimNetwork, type NetworkOptions } from './sim-network.ts'

const CALM: NetworkOptions = { tailChance: 0 }

class World {
  readonly kernel = new Kernel(1)
  readonly network: SimNetwork
  readonly a: Owner
  readonly b: Owner
  served = 0

  constructor(options: NetworkOptions = CALM) {
    this.network = new SimNetwork(this.kernel, options)
    this.a = this.start('a', 1)
    this.b = this.start('b', 1)
  }

  start(machine: string, incarnation: number): Owner {
    const owner = this.kernel.owner(`${machine}#${incarnation}`)
    this.network.attach(machine, owner)
    return owner
  }

  crash(owner: Owner): void {
    this.kernel.kill(owner)
    this.network.leave(owner)
  }

  wait(ms: number, owner: Owner = this.kernel.world): Promise<void> {
    return new Promise((resolve) => {
      this.kernel.after(ms, 'test wait', owner, resolve)
    })
  }

  /** What a request from a to b gives: the answer, or the code of its error. */
  async ask(
    serve: (owner: Owner) => unknown = (owner) => owner.name,
    options?: SimRequestOptions,
  ): Promise<unknown> {
    const counting = (owner: Owner): unknown => {
      this.served++
      return serve(owner)
    }
    try {
      return await this.kernel.as(this.a, () =>
        request(this.network, this.a, 'b', 'GET', counting, options),
      )
    } catch (error) {
      return error instanceof NetworkError ? error.code : error
    }
  }

  run<T>(test: () => Promise<T>): Promise<T> {
    return this.kernel.run(test())
  }
}

describe('a request', () => {
  it('runs as the incarnation on the machine, and comes back as the caller', async () => {
    const w = new World()
    const [answer, as] = await w.run(() =>
      w.kernel.as(w.a, async () => {
        const answer = await request(w.network, w.a, 'b', 'GET', async (owner) => {
          await w.wait(5, owner)
          return [owner, w.kernel.current]
        })
        return [answer, w.kernel.current]
      }),
    )
    expect(answer).toEqual([w.b, w.b])
    expect(as).toBe(w.a)
  })

  it('brings back what the other end threw', async () => {
    const w = new World()
    const error = new TypeError('no')
    const thrown = w.ask(() => {
      throw error
    })
    expect(await w.run(() => thrown)).toBe(error)
  })

  it('comes through loss, once', async () => {
    const w = new World({ tailChance: 0, rates: { loss: 0.3, duplication: 0.5, reordering: 0.5 } })
    await w.run(async () => {
      for (let i = 0; i < 100; i++) expect(await w.ask()).toBe('b#1')
    })
    expect(w.served).toBe(100)
    expect(w.network.counts.lost).toBeGreaterThan(30)
  })

  it('is refused where nothing runs, and served by the next incarnation', async () => {
    const w = new World()
    await w.run(async () => {
      w.crash(w.b)
      expect(await w.ask()).toBe('ECONNREFUSED')
      w.start('b', 2)
      expect(await w.ask()).toBe('b#2')
    })
    expect([w.served, w.network.counts.refused]).toEqual([1, 1])
  })

  it('is refused in spite of loss', async () => {
    const w = new World({ tailChance: 0, rates: { loss: 0.1 } })
    await w.run(async () => {
      w.crash(w.b)
      for (let i = 0; i < 50; i++) expect(await w.ask()).toBe('ECONNREFUSED')
    })
  })

  it('is reset when the other end dies, whose effect may have taken place', async () => {
    const w = new World()
    const start = w.kernel.nowMs
    await w.run(async () => {
      const pending = w.ask((owner) => w.wait(1_000, owner))
      await w.wait(100)
      w.crash(w.b)
      expect(await pending).toBe('ECONNRESET')
    })
    expect(w.kernel.nowMs - start).toBeLessThan(1_000)
    expect([w.served, w.network.counts.reset]).toEqual([1, 1])
  })

  it('hangs until its own time when the other machine lost its power', async () => {
    const w = new World()
    await w.run(async () => {
      const pending = w.ask((owner) => w.wait(1_000, owner), { timeoutMs: 20_000 })
      await w.wait(100)
      w.kernel.kill(w.b)
      expect(await pending).toBe('ETIMEDOUT')
    })
    expect(w.kernel.nowMs).toBeGreaterThanOrEqual(20_000)
  })

  it('over a link that stays cut fails after ten seconds, not served', async () => {
    const w = new World()
    await w.run(async () => {
      w.network.cut('a', 'b')
      expect(await w.ask()).toBe('ETIMEDOUT')
    })
    expect(w.served).toBe(0)
    expect(w.kernel.nowMs).toBeGreaterThanOrEqual(10_000)
    expect(w.kernel.nowMs).toBeLessThan(20_000)
  })

  it('over a link that heals in time is served late', async () => {
    const w = new World()
    await w.run(async () => {
      const heal = w.network.partition({ kind: 'mesh' })
      const pending = w.ask()
      await w.wait(3_000)
      heal()
      expect(await pending).toBe('b#1')
    })
    expect(w.kernel.nowMs).toBeGreaterThan(3_000)
  })

  it('whose answer is cut off took effect, and times out', async () => {
    const w = new World()
    await w.run(async () => {
      w.network.cut('b', 'a')
      expect(await w.ask(undefined, { timeoutMs: 30_000 })).toBe('ETIMEDOUT')
    })
    expect(w.served).toBe(1)
  })

  it('waits for a paused one', async () => {
    const w = new World()
    await w.run(async () => {
      w.kernel.pause(w.b)
      const pending = w.ask()
      await w.wait(5_000)
      expect(w.served).toBe(0)
      w.kernel.resume(w.b)
      expect(await pending).toBe('b#1')
    })
  })

  it('ends at its signal, whatever comes later', async () => {
    const w = new World()
    await w.run(async () => {
      const controller = new AbortController()
      const reason = new Error('enough')
      const pending = w.ask((owner) => w.wait(50, owner), { signal: controller.signal })
      await w.wait(20)
      controller.abort(reason)
      expect(await pending).toBe(reason)
      await w.wait(500)
      expect(await w.ask(undefined, { signal: controller.signal })).toBe(reason)
    })
    expect(w.served).toBe(1)
  })
})

describe('a connection', () => {
  it('brings what either end sends in order and once, through loss and pauses', async () => {
    const w = new World({ rates: { loss: 0.3, reordering: 0.5, duplication: 0.5 } })
    const there: number[] = []
    const back: number[] = []
    await w.run(async () => {
      const connection = new Connection(w.network, w.a, 'b', 'talk', () => undefined)
      for (let i = 0; i < 200; i++) {
        connection.send(() => {
          there.push(i)
          connection.answer(() => back.push(i))
        })
        if (i === 50) w.kernel.pause(w.b)
        if (i % 10 === 0) await w.wait(3)
      }
      await w.wait(2_000)
      w.kernel.resume(w.b)
      await w.wait(60_000)
    })
    const all = Array.from({ length: 200 }, (_, i) => i)
    expect(there).toEqual(all)
    expect(back).toEqual(all)
  })

  it('belongs to one incarnation: the next one on the machine resets it', async () => {
    const w = new World()
    const got: string[] = []
    await w.run(async () => {
      const connection = new Connection(w.network, w.a, 'b', 'talk', ({ code }) => got.push(code))
      connection.send(({ name }) => got.push(name))
      await w.wait(100)
      w.kernel.kill(w.b)
      w.start('b', 2)
      connection.send(({ name }) => got.push(name))
      await w.wait(100)
      expect(connection.open).toBe(false)
    })
    expect(got).toEqual(['b#1', 'ECONNRESET'])
  })
})
