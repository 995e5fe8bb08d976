// The example under node:test; src/sim/runners.test.ts runs it.
import { strictEqual } from 'node:assert'
import { test } from 'node:test'
import { simulate, SimulationFailed } from 'holdfast/testing'
import { buyersCompete, hosts, stockUp } from '../../examples/shop/buyers.ts'

const options = { nodes: 3, hosts, setUp: stockUp, seeds: 6 }

await test('a shop that looks before it writes is caught', async () => {
  const app = new URL('../../examples/shop/shop-wrong.ts', import.meta.url)
  const failure = await simulate({ ...options, app }, buyersCompete).catch(
    (error: unknown) => error,
  )
  strictEqual(failure instanceof SimulationFailed && failure.property, 'no oversell')
})

await test('the shop never sells what it does not have', async () => {
  const app = new URL('../../examples/shop/shop.ts', import.meta.url)
  const { seeds } = await simulate({ ...options, app, sometimes: ['sold out'] }, buyersCompete)
  strictEqual(seeds > 0, true)
})

await test('an assertion in the test of a simulation is told as one', async () => {
  const failure = await simulate({ nodes: 1, tables: {}, seeds: 1 }, () => {
    strictEqual(1, 2)
  }).catch((error: unknown) => error)
  strictEqual(failure instanceof SimulationFailed && failure.property, 'assertion')
})
