import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { HoldfastError } from '../../core/errors.ts'
import { Kernel, type Owner } from '../kernel.ts'
import { watchResources } from '../tripwires.ts'
import { startApp, type StartedApp } from './app.ts'
import { bundleApp, type AppBundle } from './bundle.ts'
import type { AppLine } from './realm.ts'
import { connectionError, type HostHandler } from './virtual-fetch.ts'

const shop = await bundleApp(new URL('../../../test/sim-apps/shop.ts', import.meta.url))
const refused = await bundleApp(new URL('../../../test/sim-apps/refused.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'holdfast-apps-'))
afterAll(() => rmSync(folder, { recursive: true }))

const NODES = ['node-1', 'node-2', 'node-3']

interface Incarnation {
  readonly owner: Owner
  readonly app: StartedApp
  end(cause: Error): void
}

/** Nodes over a transport that takes some drawn time each way. */
class Apps {
  readonly kernel: Kernel
  readonly lines: AppLine[] = []
  readonly exits: string[] = []
  readonly uncaught: unknown[] = []
  readonly running = new Map<string, Incarnation>()
  provide: Record<string, unknown> = {}
  hosts: Record<string, HostHandler> = {}
  #incarnations = 0

  constructor(seed: number) {
    this.kernel = new Kernel(seed)
  }

  async start(bundle: AppBundle, name: string): Promise<StartedApp> {
    const { kernel } = this
    const owner = kernel.owner(`${name}#${++this.#incarnations}`)
    let end = (_: Error): void => undefined
    const ended = new Promise<never>((_, reject) => {
      end = reject
    })
    ended.catch(() => undefined)
    const app = await startApp({
      bundle,
      owner,
      as: (of, work) => kernel.as(of, work),
      ambient: kernel.ambientFor(owner),
      self: name,
      nodes: NODES,
      env: { REGION: 'north' },
      provide: this.provide,
      hosts: this.hosts,
      ended,
      transport: (from, host, request) => this.send(from, host, request),
      onLine: (line) => this.lines.push(line),
      onUncaught: (error) => this.uncaught.push(error),
      onExit: (code) => {
        this.exits.push(`${owner.name} ${code}`)
        kernel.kill(owner)
      },
    })
    this.running.set(name, { owner, app, end })
    return app
  }

  crash(name: string): void {
    const node = this.running.get(name)
    if (node === undefined) return
    this.kernel.kill(node.owner)
    node.end(new HoldfastError('OutcomeUnknown', `${name} ended`))
    this.running.delete(name)
  }

  async send(from: Owner, host: string, request: Request): Promise<Response> {
    await this.wait(from, this.kernel.random(`there/${host}`).exponential(5))
    const node = this.running.get(host)
    if (node === undefined) throw connectionError('ECONNREFUSED', host)
    const response = await node.app.fetch(request)
    await this.wait(from, 1)
    return response
  }

  wait(owner: Owner, ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.kernel.after(ms, 'wire', owner, resolve)
    })
  }

  fetch(host: string, path: string, init?: RequestInit): Promise<Response> {
    return this.send(this.kernel.world, host, new Request(`http://${host}${path}`, init))
  }
}

function simulated<T>(seed: number, work: (apps: Apps) => Promise<T>): Promise<T> {
  const apps = new Apps(seed)
  return apps.kernel.run(() => work(apps))
}

interface Order {
  readonly id: string
  readonly item: string
  readonly at: string
  readonly doneAt: string
}

const order = async (apps: Apps, host: string): Promise<Order> => {
  const init = { method: 'POST', body: JSON.stringify({ item: 'tea' }) }
  return (await (await apps.fetch(host, '/orders', init)).json()) as Order
}

describe('an unmodified Hono service', () => {
  it('answers on three nodes, and nodes reach each other by fetch', async () => {
    const seen = await simulated(1, async (apps) => {
      for (const name of NODES) await apps.start(shop, name)
      const { id, item } = await order(apps, 'node-2')
      const there = await (await apps.fetch('node-1', `/of/node-2/orders/${id}`)).json()
      const own = await (await apps.fetch('node-2', `/of/localhost/orders/${id}`)).json()
      const other = await (await apps.fetch('node-2', `/of/node-3/orders/${id}`)).json()
      return { item, there, own, other }
    })
    expect(seen.item).toBe('tea')
    expect(seen.there).toEqual({ status: 200, item: { item: 'tea' } })
    expect(seen.own).toEqual(seen.there)
    expect(seen.other).toMatchObject({ status: 404 })
  })

  it('lives in virtual time: a timer of 250 ms takes that long by its own clock', async () => {
    const { at, doneAt } = await simulated(2, async (apps) => {
      await apps.start(shop, 'node-1')
      return order(apps, 'node-1')
    })
    expect(at).toMatch(/^2026-01-01T/)
    expect(Date.parse(doneAt) - Date.parse(at)).toBeGreaterThanOrEqual(250)
  })

  it('gives the same ids, dates and luck for the same seed, and others for another', async () => {
    const once = (seed: number) =>
      simulated(seed, async (apps) => {
        for (const name of NODES) await apps.start(shop, name)
        const orders = await Promise.all(NODES.map((name) => order(apps, name)))
        const luck: unknown = await (await apps.fetch('node-3', '/luck')).json()
        return { orders, luck, lines: apps.lines, hash: apps.kernel.hash }
      })
    const [first, second, third] = [await once(3), await once(3), await once(4)]
    expect(second).toEqual(first)
    expect(third.orders).not.toEqual(first.orders)
    expect(new Set(first.orders.map(({ id }) => id)).size).toBe(NODES.length)
    expect(first.luck).toMatchObject({ isDate: true })
    expect(first.lines).toMatchObject([{ owner: 'node-3#3', level: 'info', text: 'luck of north' }])
  })

  it('loses the state of its modules with its incarnation, and shares it with no other', async () => {
    const sizes = await simulated(5, async (apps) => {
      const first = await apps.start(shop, 'node-1')
      const other = await apps.start(shop, 'node-2')
      const size = (app: StartedApp) => (app.api['cachedOrders'] as () => number)()
      await order(apps, 'node-1')
      const before = [size(first), size(other)]
      apps.crash('node-1')
      const second = await apps.start(shop, 'node-1')
      return [...before, size(second)]
    })
    expect(sizes).toEqual([1, 0, 0])
  })

  it('keeps its own AsyncLocalStorage over timers', async () => {
    const texts = await simulated(6, async (apps) => {
      await apps.start(shop, 'node-1')
      const asked = ['a', 'b'].map(async (name) =>
        (await apps.fetch('node-1', `/trace/${name}`)).text(),
      )
      return Promise.all(asked)
    })
    expect(texts).toEqual(['a', 'b'])
  })

  it('makes nothing asynchronous but promises and ticks', async () => {
    const unwatch = watchResources()
    try {
      const found = await simulated(8, async (apps) => {
        for (const name of NODES) await apps.start(shop, name)
        const { id } = await order(apps, 'node-1')
        await (await apps.fetch('node-3', '/trace/a')).text()
        return (await apps.fetch('node-2', `/of/node-1/orders/${id}`)).json()
      })
      expect(found).toEqual({ status: 200, item: { item: 'tea' } })
    } finally {
      unwatch()
    }
  })

  it('reaches hosts that the test answers for, and no others', async () => {
    const [paid, unknown] = await simulated(7, async (apps) => {
      apps.hosts = { 'pay.example': (request) => new Response(`charged by ${request.method}`) }
      await apps.start(shop, 'node-1')
      const paid = await (await apps.fetch('node-1', '/pay')).text()
      apps.hosts = {}
      await apps.start(shop, 'node-2')
      return [paid, (await apps.fetch('node-2', '/pay')).status]
    })
    expect(paid).toBe('charged by GET')
    expect(unknown).toBe(500)
  })
})

describe('an app that is a function', () => {
  const source = `
    import { marker } from 'holdfast'
    import * as all from 'holdfast/testing'
    const loadedAt = await Promise.resolve(Date.now())
    export let starts = 0
    export const names = Object.keys(all)
    export default async function start(node) {
      starts++
      await new Promise((resolve) => setTimeout(resolve, 100))
      let ticks = 0
      const timer = setInterval(() => ticks++, 1_000)
      const answer = { ...node, marker, waitedMs: Date.now() - loadedAt }
      return {
        fetch: () => Response.json(answer),
        stop() { clearInterval(timer); console.warn('stopped') },
        ticks: () => ticks,
        never: () => new Promise(() => undefined),
      }
    }`
  const bundled = async () => {
    const file = join(folder, 'node.mts')
    writeFileSync(file, source)
    return bundleApp(file)
  }

  it('is called with its node at each start, given what stands for holdfast', async () => {
    const bundle = await bundled()
    const seen = await simulated(8, async (apps) => {
      apps.provide = { holdfast: { marker: 'ours' }, 'holdfast/testing': { a: 1 } }
      const { api } = await apps.start(bundle, 'node-2')
      const answer: unknown = await (await apps.fetch('node-2', '/')).json()
      return { answer, starts: api['starts'], names: api['names'] }
    })
    expect(seen.answer).toMatchObject({
      name: 'node-2',
      nodes: NODES,
      env: { REGION: 'north' },
      marker: 'ours',
    })
    expect((seen.answer as { waitedMs: number }).waitedMs).toBeGreaterThanOrEqual(100)
    expect(seen.starts).toBe(1)
    expect(seen.names).toContain('a')
  })

  it('works as its incarnation, whoever calls it', async () => {
    const file = join(folder, 'owner.ts')
    writeFileSync(
      file,
      `import { who } from 'holdfast'
      export { who }
      export default { fetch: () => new Response(who()) }
      export const later = () => new Promise((resolve) => setTimeout(() => resolve(who()), 5))`,
    )
    const bundle = await bundleApp(file)
    const seen = await simulated(8, async (apps) => {
      const { kernel } = apps
      apps.provide = { holdfast: { who: () => kernel.current?.name } }
      const { api, fetch } = await apps.start(bundle, 'node-1')
      const call = (name: string) => (api[name] as () => unknown)()
      const client = kernel.owner('client')
      return kernel.as(client, async () => [
        call('who'),
        await call('later'),
        await (await fetch(new Request('http://node-1/'))).text(),
        kernel.current?.name,
      ])
    })
    expect(seen).toEqual(['node-1#1', 'node-1#1', 'node-1#1', 'client'])
  })

  it('is stopped in order, with its intervals', async () => {
    const bundle = await bundled()
    const { ticks, lines } = await simulated(9, async (apps) => {
      apps.provide = { holdfast: {}, 'holdfast/testing': {} }
      const app = await apps.start(bundle, 'node-1')
      await apps.wait(apps.kernel.world, 3_500)
      await app.stop()
      await apps.wait(apps.kernel.world, 5_000)
      return { ticks: (app.api['ticks'] as () => number)(), lines: apps.lines }
    })
    expect(ticks).toBe(3)
    expect(lines).toMatchObject([{ level: 'warn', text: 'stopped' }])
  })

  it('is told what of holdfast a simulation does not give', async () => {
    const bundle = await bundled()
    const error: unknown = await simulated(10, (apps) => apps.start(bundle, 'node-1')).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).toMatchObject({ code: 'AppNotBundled' })
    expect(String(error)).toContain('"holdfast"')
  })
})

describe('what is amiss with an app', () => {
  const bundled = (name: string, source: string) => {
    const file = join(folder, `${name}.ts`)
    writeFileSync(file, source)
    return bundleApp(file)
  }
  const failure = (seed: number, bundle: AppBundle) =>
    simulated(seed, (apps) => apps.start(bundle, 'node-1')).catch((error: unknown) => error)

  it('is told with its line, when a module or its function throws', async () => {
    const sources = {
      'throws-at-once': 'throw new Error("at once")',
      'throws-after': 'await null\nthrow new Error("after")',
      'throws-in-main': 'export default function main() {\n  throw new Error("in main")\n}',
    }
    for (const [name, source] of Object.entries(sources)) {
      const error = await failure(20, await bundled(name, source))
      expect((error as Error).stack).toMatch(new RegExp(`${name}\\.ts:[12]:`))
    }
  })

  it('is told when its default export is no app', async () => {
    for (const source of ['export default 1', 'export default () => 1']) {
      const error = await failure(21, await bundled('no-app', source))
      expect(error).toMatchObject({ code: 'InvalidArgument' })
    }
    const error = await failure(22, await bundled('no-fetch', 'export default { fetch: 1 }'))
    expect(String(error)).toContain('`fetch` that is no function')
  })

  it('answers nothing where it has no fetch, or one that throws', async () => {
    const silent = await bundled('silent', 'export const here = true')
    const broken = await bundled('broken', 'export default { fetch() { throw Error("x") } }')
    const codes = await simulated(23, async (apps) => {
      await apps.start(silent, 'node-1')
      await apps.start(broken, 'node-2')
      const asked = ['node-1', 'node-2'].map((name) => apps.fetch(name, '/'))
      const all = await Promise.allSettled(asked)
      return all.map((one) => (one.status === 'rejected' ? (one.reason as object) : one.value))
    })
    expect(codes).toMatchObject([{ code: 'ECONNREFUSED' }, { code: 'UND_ERR_SOCKET' }])
  })
})

describe('a process', () => {
  const call = (app: StartedApp, name: string) => (app.api[name] as () => unknown)()

  it('that exits ends its incarnation', async () => {
    const exits = await simulated(11, async (apps) => {
      call(await apps.start(refused, 'node-1'), 'exits')
      await apps.wait(apps.kernel.world, 100)
      return apps.exits
    })
    expect(exits).toEqual(['node-1#1 3'])
  })

  it('is asked to end by a signal, where the app has no stop', async () => {
    const file = join(folder, 'signal.ts')
    writeFileSync(file, `process.once('SIGTERM', (name) => console.log('bye', name))`)
    const bundle = await bundleApp(file)
    const lines = await simulated(13, async (apps) => {
      await (await apps.start(bundle, 'node-1')).stop()
      return apps.lines
    })
    expect(lines).toMatchObject([{ text: 'bye SIGTERM' }])
  })

  it('answers no calls once it is dead, and ends those under way', async () => {
    const outcomes = await simulated(14, async (apps) => {
      const app = await apps.start(refused, 'node-1')
      const under = call(app, 'allowed') as Promise<unknown>
      apps.crash('node-1')
      const thrown = await Promise.allSettled([under, (async () => call(app, 'allowed'))()])
      return thrown.map((one) => (one.status === 'rejected' ? (one.reason as object) : one.value))
    })
    expect(outcomes).toMatchObject([{ code: 'OutcomeUnknown' }, { code: 'NoResponder' }])
  })

  it('reports what a timer throws, with the line of the source', async () => {
    const uncaught = await simulated(12, async (apps) => {
      call(await apps.start(refused, 'node-1'), 'throwsLater')
      await apps.wait(apps.kernel.world, 100)
      return apps.uncaught
    })
    expect(uncaught).toHaveLength(1)
    expect((uncaught[0] as Error).stack).toMatch(/sim-apps\/refused\.ts:\d+:\d+/)
  })
})
