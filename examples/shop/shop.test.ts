// The shop on three simulated nodes, while machines crash and networks break.
import { simulate, SimulationFailed } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { buyersCompete, hosts, stockUp } from './buyers.ts'

const options = { nodes: 3, hosts, setUp: stockUp, seeds: 6 }

test('a shop that looks before it writes is caught', async () => {
  const app = new URL('./shop-wrong.ts', import.meta.url)
  const failure = await simulate({ ...options, app }, buyersCompete).catch(
    (error: unknown) => error,
  )
  expect(failure).toBeInstanceOf(SimulationFailed)
  expect(failure).toMatchObject({ property: 'no oversell' })
})

test('the shop never sells what it does not have', async () => {
  const app = new URL('./shop.ts', import.meta.url)
  const { seeds } = await simulate({ ...options, app, sometimes: ['sold out'] }, buyersCompete)
  expect(seeds).toBeGreaterThan(0)
})
