// Fails on purpose: src/sim/runners.test.ts looks at what a user then sees.
import { simulate } from 'holdfast/testing'
import { expect, test } from 'vitest'

test('nothing is left unhandled', async () => {
  const options = { nodes: 1, tables: {}, seeds: 1, faults: 'none' } as const
  const { seeds } = await simulate(options, async (sim) => {
    void Promise.reject(new RangeError('nobody looks'))
    await sim.sleep(10)
  })
  expect(seeds).toBe(1)
})
