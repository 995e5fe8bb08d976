import { describe, expect, it } from 'vitest'
import { Kernel } from '../kernel.ts'
import { DeadIncarnation, SimulationLeak } from '../tripwires.ts'
import { bundleApp } from './bundle.ts'
import { evaluate } from './evaluate.ts'
import { connectionError } from './virtual-fetch.ts'

const bundle = await bundleApp(new URL('../../../test/sim-apps/refused.ts', import.meta.url))

type Calls = Record<string, () => unknown>

/** Evaluates the app and does `work` with its exports, in one step after another. */
function simulated<T>(
  work: (exports: Readonly<Record<string, unknown>>, kill: () => void) => T | Promise<T>,
): Promise<T> {
  const kernel = new Kernel(7)
  const owner = kernel.owner('node-1#1')
  const evaluated = () =>
    evaluate({
      bundle,
      owner,
      as: (of, inner) => kernel.as(of, inner),
      ambient: kernel.ambientFor(owner),
      self: 'node-1',
      nodes: ['node-1', 'node-2'],
      env: {},
      provide: {},
      hosts: {},
      transport: (_from, host) => Promise.reject(connectionError('ECONNRESET', host)),
      onLine: () => undefined,
      onUncaught: () => undefined,
      onExit: () => undefined,
    })
  return kernel.run(async () => {
    const { exports } = await evaluated()
    return kernel.as(owner, () => work(exports, () => kernel.kill(owner)))
  })
}

async function thrownBy(call: () => unknown): Promise<unknown> {
  try {
    return await call()
  } catch (error) {
    return error
  }
}

const NAMES = [
  ...['fs.readFileSync', 'fs.promises.readFile', 'http.createServer', 'child_process.exec'],
  ...['crypto.generateKeyPairSync', 'crypto.subtle.generateKey', 'zlib.gzip', 'SharedArrayBuffer'],
  ...['MessageChannel', 'Atomics.wait', 'process.kill'],
]

describe('what a simulation has none of', () => {
  it.each(NAMES)('throws when it is called, not when it is imported: %s', async (name) => {
    const error = await simulated(({ calls }) => thrownBy((calls as Calls)[name] as () => unknown))
    expect(error).toBeInstanceOf(SimulationLeak)
    const { api, site, message, stack } = error as SimulationLeak
    expect(api).toBe(name)
    expect(site).toMatch(/sim-apps\/refused\.ts:\d+:\d+$/)
    expect(message).toContain(name)
    expect(message).toContain('node-1#1')
    expect(stack).toContain(site)
  })

  it('is named with the very line of the source', async () => {
    const error = await simulated(({ calls }) =>
      thrownBy((calls as Calls)['fs.readFileSync'] as () => unknown),
    )
    expect((error as SimulationLeak).site).toMatch(/refused\.ts:12:/)
  })

  it('is all of it: the cases here are those of the app', async () => {
    const names = await simulated(({ calls }) => Object.keys(calls as Calls))
    expect(names.toSorted()).toEqual(NAMES.toSorted())
  })
})

describe('what a simulation has instead', () => {
  it('is the same in each run', async () => {
    const run = () => simulated(({ allowed }) => (allowed as () => Promise<unknown>)())
    const first = await run()
    expect(first).toMatchObject({
      host: 'node-1',
      cwd: '/',
      zipped: true,
      digest: 32,
      global: true,
      made: true,
      weak: true,
      self: 'undefined',
      today: '1/1/26',
      year: 2026,
    })
    expect(await run()).toEqual(first)
  })

  it('fails as a lost connection does, where a node cannot be reached', async () => {
    const error = await simulated(({ fetches }) => thrownBy(fetches as () => unknown))
    expect(error).toBeInstanceOf(TypeError)
    expect(error).toMatchObject({ message: 'fetch failed', cause: { code: 'ECONNRESET' } })
  })
})

describe('a dead incarnation', () => {
  it('gets nothing ambient any more: each call throws', async () => {
    const errors = await simulated(async ({ ambient, fetches }, kill) => {
      const calls = { ...(ambient as () => Calls)(), fetch: fetches as () => unknown }
      kill()
      const all = Object.entries(calls).map(
        async ([name, call]) => [name, await thrownBy(call)] as const,
      )
      return Promise.all(all)
    })
    expect(errors.length).toBeGreaterThan(9)
    const others = errors.filter(([, error]) => !(error instanceof DeadIncarnation))
    expect(others).toEqual([])
    expect(String(errors[0]?.[1])).toMatch(/node-1#1, which is dead.*refused\.ts:\d+:\d+/)
  })
})
