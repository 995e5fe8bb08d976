// A shop that sells more than it has: between its look at the stock and its write, others buy.
import { Hono } from 'hono'
import { open, strong, unvalidated } from 'holdfast'

const items = strong({ row: unvalidated<{ id: string; stock: number }>(), key: 'id' })
const orders = strong({
  row: unvalidated<{ id: string; item: string; at: Date; isPaid: boolean }>(),
  key: 'id',
  indexes: { byItem: 'item' },
})

const db = await open({ tables: { items, orders } })
const shop = new Hono()

shop.put('/items/:id/stock/:count', async (c) => {
  await db.items.put({ id: c.req.param('id'), stock: Number(c.req.param('count')) })
  return c.body(null, 204)
})

shop.post('/items/:id/orders', async (c) => {
  const item = c.req.param('id')
  const found = await db.items.get(item)
  if (found === undefined || found.stock < 1) return c.text('sold out', 409)
  const order = { id: crypto.randomUUID(), item, at: new Date(), isPaid: await pay(item) }
  await db.items.put({ id: item, stock: found.stock - 1 })
  await db.orders.insert(order)
  return c.json(order, 201)
})

shop.get('/items/:id/orders', async (c) => {
  return c.json(await db.orders.query({ index: 'byItem', eq: c.req.param('id') }).toArray())
})

async function pay(order: string): Promise<boolean> {
  const paid = await fetch(`https://pay.example/${order}`, { method: 'PUT' })
  return paid.ok
}

export default shop
