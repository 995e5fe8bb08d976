// A shop that sells what it has and no more, from whichever of its nodes one buys.
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
  const order = { id: crypto.randomUUID(), item: c.req.param('id'), at: new Date(), isPaid: false }
  const isReserved = await db.transact(async (tx) => {
    const found = await tx.items.get(order.item)
    if (found === undefined || found.stock < 1) return false
    await tx.items.put({ ...found, stock: found.stock - 1 })
    await tx.orders.insert(order)
    return true
  })
  if (!isReserved) return c.text('sold out', 409)
  // An order that cannot be paid now stays reserved.
  if (!(await pay(order.id))) return c.json(order, 202)
  await db.orders.patch(order.id, { isPaid: true })
  return c.json({ ...order, isPaid: true }, 201)
})

shop.get('/items/:id/orders', async (c) => {
  return c.json(await db.orders.query({ index: 'byItem', eq: c.req.param('id') }).toArray())
})

/** Asks to be paid, several times if need be: the order's id makes it one payment. */
async function pay(order: string): Promise<boolean> {
  for (let waitMs = 50; waitMs <= 400; waitMs *= 2) {
    const signal = AbortSignal.timeout(2_000)
    const paid = await fetch(`https://pay.example/${order}`, { method: 'PUT', signal }).catch(
      () => undefined,
    )
    if (paid?.ok === true) return true
    await new Promise((resolve) => setTimeout(resolve, waitMs))
  }
  return false
}

export default shop
