// What a user of `simulate` meets: planted apps and mistakes, and what is said about them.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, describe, expect, expectTypeOf, it, vi } from 'vitest'
import { strong, unvalidated } from '../table/schema.ts'
import type { ApiOf } from './app/app.ts'
import { simulate } from './simulate.ts'
import type { SimulateOptions } from './simulate-options.ts'
import { SimulationFailed } from './simulation-failed.ts'
import type { SimNode } from './sim-node.ts'
import type { Simulation } from './simulation.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-simulate-'))
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => vi.unstubAllEnvs())

function app(name: string, source: string): URL {
  const file = join(folder, `${name}.ts`)
  writeFileSync(file, source)
  return pathToFileURL(file)
}

interface Cache {
  remember(value: string): void
  remembered(): string[]
}

const cache = app(
  'cache',
  `const values: string[] = []
   export const remember = (value: string) => void values.push(value)
   export const remembered = () => [...values]
   export default { fetch: () => Response.json(values) }`,
)

const quiet = { nodes: 1, seeds: 1, faults: 'none' } as const

async function failure<Api>(
  options: SimulateOptions<Api>,
  drive: (sim: Simulation<Api>) => void | Promise<void>,
): Promise<SimulationFailed> {
  const error: unknown = await simulate<unknown>(
    options as SimulateOptions,
    drive as (sim: Simulation) => void | Promise<void>,
  ).catch((thrown: unknown) => thrown)
  if (!(error instanceof SimulationFailed)) throw error
  return error
}

describe('a crash', () => {
  it('takes what a module keeps in memory; closures of the test stay', async () => {
    const closure: string[] = []
    const seen: string[][] = []
    await simulate<Cache>({ ...quiet, app: cache }, async (sim) => {
      const [node] = sim.nodes
      closure.push('kept')
      node.api.remember('lost')
      seen.push(node.api.remembered())
      node.crash('process')
      expect(node.isUp).toBe(false)
      await node.start()
      seen.push(node.api.remembered())
    })
    expect(seen).toEqual([['lost'], []])
    expect(closure).toEqual(['kept'])
  })

  it('leaves what the disk has', async () => {
    const tables = { rows: strong({ row: unvalidated<{ id: string }>(), key: 'id' }) }
    await simulate({ ...quiet, tables }, async (sim) => {
      const [node] = sim.nodes
      await node.call(({ db }) => db.table('rows').put({ id: 'acked' }))
      node.crash('power')
      await node.start()
      expect(await node.call(({ db }) => db.table('rows').get('acked'))).toEqual({ id: 'acked' })
    })
  })

  it('by the test is counted, and in the timeline', async () => {
    const options = { ...quiet, app: cache }
    const report = await simulate(options, async ({ nodes: [node] }) => {
      node.crash()
      await node.start()
      node.pause()
      node.resume()
      await node.stop()
    })
    expect(report.faults).toEqual({ 'power-loss': 1, pause: 1, stop: 1 })
    const error = await failure(options, (sim) => {
      sim.nodes[0].crash()
      sim.check('mine', false)
    })
    expect(error.message).toContain('node-1    !! power-loss, by the test')
  })
})

describe('the test', () => {
  it('may state nothing at all', async () => {
    const report = await simulate({ ...quiet, app: cache }, () => undefined)
    expect(report).toMatchObject({ seeds: 1, acked: 0, reached: {} })
  })

  it('is told what it forgot to await', async () => {
    const error = await failure({ ...quiet, app: cache }, (sim) => {
      void sim.clients(2, async (client) => {
        await client.sleep(1_000)
      })
    })
    expect(error.property).toBe('all-awaited')
    expect(error.message).toMatch(/client-1 of sim\.clients, since .*\n.*client-2 of sim\.clients/)
  })

  it('that waits for ever fails by name, and what it waits for is told', async () => {
    const silent = app('silent', 'export default { fetch: () => new Promise(() => {}) }')
    const error = await failure({ ...quiet, app: silent, limitMs: 15_000 }, async (sim) => {
      await sim.clients(1, async (client) => {
        await client.fetch('/question')
      })
    })
    expect(error.property).toBe('progress')
    expect(error.message).toContain('after 15 virtual seconds')
    expect(error.message).toContain('client-1: GET /question at node-1')
  })

  it('that throws fails with what it threw as the cause', async () => {
    const thrown = new RangeError('mine')
    const error = await failure({ ...quiet, app: cache }, () => {
      throw thrown
    })
    expect(error).toMatchObject({ property: 'no-error', cause: thrown })
    expect(error.message).toMatch(/RangeError: mine\n\s+at .*simulate\.test\.ts/)
    const assertion = await failure({ ...quiet, app: cache }, () => {
      expect(1).toBe(2)
    })
    expect(assertion.property).toBe('assertion')
    expect(assertion.message).toContain('expected 1 to be 2')
  })

  it('that leaves a rejection unhandled fails in its own name', async () => {
    const error = await failure({ ...quiet, app: cache }, async (sim) => {
      void Promise.reject(new RangeError('nobody looks'))
      await sim.sleep(10)
    })
    expect(error.property).toBe('no-unhandled-rejection')
    expect(error.message).toContain('RangeError: nobody looks')
  })

  it('waits for what comes to hold, in virtual time', async () => {
    let looks = 0
    const report = await simulate({ ...quiet, app: cache }, async (sim) => {
      await sim.eventually('three looks', () => ++looks === 3)
      expect(sim.nowMs).toBe(200)
    })
    expect([looks, report.seeds]).toEqual([3, 1])
    const error = await failure({ ...quiet, app: cache }, async (sim) => {
      await sim.eventually('never', () => expect(1).toBe(2), { withinMs: 500 })
    })
    expect(error.property).toBe('never')
    expect(error.message).toContain('expected 1 to be 2')
  })

  it('can set up before the first fault', async () => {
    const report = await simulate(
      {
        nodes: 1,
        app: cache,
        seeds: 5,
        setUp: async (sim) => {
          await sim.sleep(60_000)
          expect(sim.world.isCalm).toBe(true)
          sim.sometimes('set up')
        },
      },
      (sim) => sim.sleep(20_000),
    )
    expect(report.reached['set up']).toBe(5)
    expect(Object.keys(report.faults).length).toBeGreaterThan(2)
  })

  it('fails when no seed reached what it names', async () => {
    const options = { ...quiet, app: cache, sometimes: ['near', 'far'] }
    const error = await failure(options, (sim) => sim.sometimes('near'))
    expect(error.property).toBe('sometimes')
    expect(error.message).toContain("none of 1 seeds reached 'far'")
  })
})

describe('faults by the test', () => {
  it('begin when it says, and end with healing', async () => {
    const answers: string[] = []
    const report = await simulate({ ...quiet, nodes: 2, app: cache }, async (sim) => {
      const ask = async (): Promise<void> => {
        await sim.clients(1, async (client) => {
          const answer = await client.fetch('/', {}, sim.nodes[1]).catch(String)
          answers.push(typeof answer === 'string' ? answer : `${answer.status}`)
        })
      }
      await ask()
      const mend = sim.partition({ kind: 'isolate', machine: 'node-2' })
      await ask()
      mend()
      await ask()
      sim.partition({ kind: 'mesh' })
      sim.inject({ kind: 'clock-jump', node: 0, with: { byMs: 5_000 } })
      await sim.heal()
      await ask()
    })
    expect(answers).toEqual(['200', 'TypeError: fetch failed', '200', '200'])
    expect(report.faults).toEqual({ partition: 2, 'clock-jump': 1 })
  })

  it('are refused when there is no such', async () => {
    const error = await failure({ ...quiet, app: cache }, (sim) => {
      sim.inject({ kind: 'log-lag', with: { byMs: 5 } })
    })
    expect(error.message).toContain("the fault 'log-lag' is not for the setup 'embedded'")
  })
})

describe('an app', () => {
  it('that cannot start fails the run, with its line', async () => {
    const sources = {
      'throws-at-once': `const x = 1\nthrow new RangeError('at once')`,
      'rejects-later': `export default { fetch: () => new Response() }\nawait null; throw new RangeError('later')`,
    }
    for (const [name, source] of Object.entries(sources)) {
      const error = await failure({ ...quiet, app: app(name, source) }, () => undefined)
      expect(error.property).toBe('start')
      expect(error.message).toMatch(
        new RegExp(`node-1 cannot start: RangeError: .*\\n.*${name}\\.ts:2:`),
      )
    }
  })

  it('finds all that holdfast exports', async () => {
    const names = app(
      'names',
      `import * as all from 'holdfast'\nexport const names = () => Object.keys(all).sort()`,
    )
    const exported = Object.keys(await import('../index.ts')).toSorted()
    await simulate<{ names(): string[] }>({ ...quiet, app: names }, ({ nodes: [node] }) => {
      expect(node.api.names().filter((name) => name !== 'default')).toEqual(exported)
    })
  })

  it('that never finishes starting fails by name', async () => {
    const stuck = app('stuck', 'await new Promise(() => {})')
    const error = await failure({ ...quiet, app: stuck, limitMs: 5_000 }, () => undefined)
    expect(error.property).toBe('progress')
    expect(error.message).toContain('node-1 is down')
  })

  it('that leaves a rejection or an error to nobody fails the run, with its line', async () => {
    const careless = app(
      'careless',
      `export function rejects() { void Promise.reject(new RangeError('left')) }
       export function throws() { setTimeout(() => { throw new RangeError('left') }, 5) }`,
    )
    for (const how of ['rejects', 'throws'] as const) {
      const error = await failure<Record<string, () => void>>(
        { ...quiet, app: careless },
        async (sim) => {
          sim.nodes[0].api[how]?.()
          await sim.sleep(2_000)
          expect(sim.nodes[0].isUp).toBe(true)
        },
      )
      expect(error.property).toBe('no-uncaught-error')
      expect(error.message).toMatch(/node-1: RangeError: left\n.*careless\.ts:[12]:/)
    }
  })

  it('may handle such rejections itself, as a process may', async () => {
    const careful = app(
      'careful',
      `const seen: unknown[] = []
       process.on('unhandledRejection', (error) => seen.push(String(error)))
       export const rejects = () => { void Promise.reject(new RangeError('left')) }
       export const told = () => seen`,
    )
    interface Careful {
      rejects(): void
      told(): unknown[]
    }
    await simulate<Careful>({ ...quiet, app: careful }, async (sim) => {
      sim.nodes[0].api.rejects()
      await sim.sleep(10)
      expect(sim.nodes[0].api.told()).toEqual(['RangeError: left'])
    })
  })

  it('is refused where it reaches for what a simulation has none of', async () => {
    const files = app('files', `import { readFileSync } from 'node:fs'\nreadFileSync('/etc/hosts')`)
    const error = await failure({ ...quiet, app: files }, () => undefined)
    expect(error.message).toContain('fs.readFileSync was used in a simulated step of node-1#1')
    expect(error.message).toContain('files.ts:2:')
  })
})

describe('replay', () => {
  const options = { nodes: 1, app: cache, seeds: 20 } as const
  const drive = async (sim: Simulation): Promise<void> => {
    await sim.sleep(20_000)
    sim.check('below', sim.random('luck').float() < 0.8, `at ${sim.nowMs}`)
  }

  it('by HOLDFAST_SEED runs that seed alone, and it fails the same way', async () => {
    const first = await failure(options, drive)
    expect(first.message).toMatch(
      new RegExp(
        `^VIOLATED below: at .*\\n[^]*replay: HOLDFAST_SEED=${first.seed} npx vitest run src/sim/simulate.test.ts\\n`,
      ),
    )
    vi.stubEnv('HOLDFAST_SEED', `${first.seed}`)
    const again = await failure({ ...options, seed: 1 }, drive)
    expect(again.message).toBe(first.message)
    vi.stubEnv('HOLDFAST_SEED', '1')
    expect(await simulate(options, drive)).toMatchObject({ seeds: 1 })
  })

  it('is the same beside another simulation in the same process', async () => {
    const calm = { nodes: 3, app: cache, seeds: 1, seed: 7 }
    const busy = async (sim: Simulation): Promise<void> => {
      await sim.clients(3, async (client) => {
        for (let i = 0; i < 5; i++) await client.fetch('/').catch(() => client.sleep(100))
      })
    }
    const { hash } = await simulate(calm, busy)
    const others = await Promise.all([simulate(calm, busy), simulate({ ...calm, seed: 8 }, busy)])
    expect(others.map((other) => other.hash === hash)).toEqual([true, false])
  })

  it('by a plan, shrunk to the faults that matter, which a test can keep', async () => {
    const crashed = async (sim: Simulation): Promise<void> => {
      const { kernel, machines } = sim.world
      await sim.sleep(40_000)
      const [node] = machines
      sim.check('one life', node?.incarnations === 1, `at ${Math.floor(kernel.nowMs)}`)
    }
    vi.stubEnv('HOLDFAST_SHRINK', '1')
    const error = await failure({ ...options, faults: ['restart', 'pause'] }, crashed)
    const printed = /^plan: (.*)$/m.exec(error.message)?.[1] ?? ''
    expect(JSON.parse(printed)).toEqual(error.plan)
    expect(error.plan.faults).toHaveLength(1)
    vi.unstubAllEnvs()
    const kept = await failure({ ...options, plan: printed }, crashed)
    expect([kept.property, kept.plan]).toEqual(['one life', error.plan])
    const bare = JSON.stringify({ ...error.plan, faults: [] })
    expect(await simulate({ ...options, plan: bare }, crashed)).toMatchObject({ seeds: 1 })
  })
})

describe('options that make no sense', () => {
  const wrong: readonly (readonly [said: RegExp, options: Record<string, unknown>])[] = [
    [/nodes is a whole number from 1 to 9, not 0/, { nodes: 0 }],
    [/seeds is a whole number/, { seeds: 0.5 }],
    [/limitMs is a number of milliseconds/, { limitMs: -1 }],
    [/pass new URL\('\.\/shop\.ts', import\.meta\.url\)/, { app: './shop.ts' }],
    [/the app opens its own database/, { app: cache, tables: {} }],
    [/'none', 'survivable', 'hostile' or a list of kinds, not 'some'/, { faults: 'some' }],
    [/the fault 'flood' is unknown; there are power-loss/, { faults: ['flood'] }],
    [/'partition' is not for the setup 'embedded'/, { nodes: 1, faults: ['partition'] }],
    [/setup is 'embedded' or 'shared'/, { setup: 'other' }],
    [/plan is no JSON/, { plan: 'kept.json' }],
  ]

  it.each(wrong)('are refused: %s', async (said, options) => {
    const error: unknown = await simulate(options, () => undefined).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).toMatchObject({ code: 'InvalidArgument', kind: 'rejected' })
    expect(String(error)).toMatch(said)
  })

  it('are refused: a seed in the environment that is none', async () => {
    vi.stubEnv('HOLDFAST_SEED', 'first')
    await expect(simulate(quiet, () => undefined)).rejects.toMatchObject({
      code: 'InvalidArgument',
    })
  })

  // A test that cuts off a machine that is not there proves nothing.
  it('are refused: a partition of a machine that does not exist', async () => {
    const cut = simulate({ ...quiet, nodes: 3 }, (sim) => {
      sim.partition({ kind: 'isolate', machine: 'log-1' })
      sim.partition({ kind: 'halves', one: ['node-1', 'node-4'] })
    })
    await expect(cut).rejects.toThrow(/there is no machine node-4; there are node-1/)
  })

  it('are refused: no function, no options', async () => {
    const call = simulate as (options: SimulateOptions) => Promise<unknown>
    await expect(simulate(undefined as never, () => undefined)).rejects.toMatchObject({
      code: 'InvalidArgument',
    })
    await expect(call({ nodes: 1 })).rejects.toMatchObject({ code: 'InvalidArgument' })
  })
})

it('types: api is what the module exports, and what its function returns', () => {
  interface Module {
    default: (node: { name: string }) => Promise<{ fetch(): Response; hits(): number }>
    version: string
  }
  expectTypeOf<ApiOf<Module>['hits']>().returns.toBeNumber()
  expectTypeOf<ApiOf<Module>['version']>().toBeString()
  expectTypeOf<keyof ApiOf<Module>>().toEqualTypeOf<'hits' | 'version'>()
  expectTypeOf<SimNode<ApiOf<Cache>>['api']['remembered']>().returns.toEqualTypeOf<string[]>()
})
