// Fails on purpose: src/sim/runners.test.ts looks at what a user then sees.
import { simulate } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { buyersCompete, hosts, stockUp } from '../../examples/shop/buyers.ts'

test('the shop never sells what it does not have', async () => {
  const app = new URL('../../examples/shop/shop-wrong.ts', import.meta.url)
  const { seeds } = await simulate({ nodes: 3, app, hosts, setUp: stockUp }, buyersCompete)
  expect(seeds).toBeGreaterThan(0)
})
