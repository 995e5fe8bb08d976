// An app in the simulator under node:test; src/sim/app/runners.test.ts runs it.
import { strictEqual } from 'node:assert'
import { it } from 'node:test'
import { startApp } from '../../src/sim/app/app.ts'
import { bundleApp } from '../../src/sim/app/bundle.ts'
import { Kernel } from '../../src/sim/kernel.ts'

await it('answers an order', async () => {
  const bundle = await bundleApp(new URL('./shop.ts', import.meta.url))
  const kernel = new Kernel(1)
  const owner = kernel.owner('node-1#1')
  const response = await kernel.run(async () => {
    const app = await startApp({
      bundle,
      owner,
      as: (of, work) => kernel.as(of, work),
      ambient: kernel.ambientFor(owner),
      self: 'node-1',
      nodes: ['node-1'],
      env: {},
      provide: {},
      hosts: {},
      transport: () => Promise.reject(new Error('nobody else is there')),
      onLine: () => undefined,
      onUncaught: (error) => kernel.fail(error as Error),
      onExit: () => kernel.kill(owner),
    })
    const body = JSON.stringify({ item: 'tea' })
    return app.fetch(new Request('http://node-1/orders', { method: 'POST', body }))
  })
  strictEqual(response.status, 201)
})
