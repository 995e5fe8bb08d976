// The benchmark of a cluster: what it answers, over real servers, in the shape that its JSON has.

import { beforeAll, expect, it } from 'vitest'
import { natsServerMissing } from '../child/nats-servers.ts'
import { buildHoldfast, holdfast } from './run-holdfast.ts'

interface Figures {
  readonly machine: { readonly cores: number }
  readonly results: readonly [{ readonly name: string; readonly system: string }]
}

const missing = natsServerMissing('bench cluster')

beforeAll(() => buildHoldfast(), 300_000)

it.skipIf(missing !== undefined)(
  'measures a cluster, without peers when none are asked for',
  async () => {
    const args = ['--only', 'put.64', '--seconds', '1', '--rows', '1000', '--json']
    const { code, stdout, stderr } = await holdfast(['bench', 'cluster', ...args])
    expect(stderr).toContain('put.64: holdfast\n')
    expect(code).toBe(0)
    const figures = JSON.parse(stdout) as Figures
    expect(figures).toMatchObject({ durability: 'quorum-fsynced', rows: 1000, missing: [] })
    expect(figures.machine.cores).toBeGreaterThan(0)
    expect(figures.results).toHaveLength(1)
    const [{ name, system, ...rates }] = figures.results
    expect([name, system]).toEqual(['put.64', 'holdfast'])
    expect(Object.keys(rates)).toEqual(['opsPerSecond', 'p50Ms', 'p99Ms'])
    for (const rate of Object.values(rates)) expect(rate).toBeGreaterThan(0)
  },
)

it('refuses a measure that takes several logs, and says so', async () => {
  const refused = await holdfast(['bench', 'cluster', '--only', 'put.256.2logs'])
  expect(refused).toMatchObject({ code: 2, stdout: '' })
  expect(refused.stderr).toContain('put.256.2logs takes two logs')
})
