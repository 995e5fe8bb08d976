/** An ordinary service, written with no simulator in mind. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { Hono } from 'hono'

const cache = new Map<string, string>()
const traces = new AsyncLocalStorage<string>()
const startedAt = new Date()

export const app = new Hono()

app.post('/orders', async (c) => {
  const { item } = await c.req.json<{ item: string }>()
  const order = { id: crypto.randomUUID(), item, at: new Date().toISOString() }
  await new Promise((resolve) => setTimeout(resolve, 250))
  cache.set(order.id, item)
  return c.json({ ...order, doneAt: new Date().toISOString() }, 201)
})

app.get('/orders/:id', (c) => {
  const item = cache.get(c.req.param('id'))
  return item === undefined ? c.notFound() : c.json({ item })
})

app.get('/of/:node/orders/:id', async (c) => {
  const response = await fetch(`http://${c.req.param('node')}:3000/orders/${c.req.param('id')}`, {
    signal: AbortSignal.timeout(2_000),
  })
  return c.json({ status: response.status, item: await response.json().catch(() => null) })
})

app.get('/trace/:name', (c) =>
  traces.run(c.req.param('name'), async () => {
    const name = await new Promise<string | undefined>((resolve) => {
      setTimeout(() => resolve(traces.getStore()), 10)
    })
    return c.text(name ?? 'lost')
  }),
)

app.get('/pay', async (c) => c.text(await (await fetch('https://pay.example/charge')).text()))

app.get('/luck', (c) => {
  console.log('luck of %s', process.env['REGION'])
  return c.json({ luck: Math.random(), startedAt, isDate: startedAt instanceof Date })
})

export function cachedOrders(): number {
  return cache.size
}

export default app
