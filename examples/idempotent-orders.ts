// A caller that does not know whether its request arrived asks again with the same key. The order is
// placed once, the stock goes down once, and both calls get the same answer.
import { isHoldfastError, open, strong, unvalidated } from 'holdfast'

interface Item {
  sku: string
  stock: number
}
interface Order {
  id: string
  sku: string
  count: number
}

const db = await open({
  memory: true,
  tables: {
    items: strong({ row: unvalidated<Item>(), key: 'sku' }),
    orders: strong({ row: unvalidated<Order>(), key: 'id' }),
  },
})
await db.items.insert({ sku: 'lamp', stock: 10 })

function place(requestId: string, sku: string, count: number): Promise<string> {
  return db.transact(
    async (tx) => {
      const item = await tx.items.get(sku)
      if (item === undefined || item.stock < count) throw new Error(`not enough of ${sku}`)
      await tx.items.put({ ...item, stock: item.stock - count })
      const order = { id: `order-${(await tx.orders.count()) + 1}`, sku, count }
      await tx.orders.insert(order)
      return order.id
    },
    // `request` says what the key was used for: another request under it is a mistake.
    { idempotencyKey: requestId, request: { sku, count } },
  )
}

console.log(await place('request-1', 'lamp', 2))
console.log(await place('request-1', 'lamp', 2))
console.log(await place('request-2', 'lamp', 3))
console.log('stock:', (await db.items.get('lamp'))?.stock)

try {
  await place('request-1', 'lamp', 9)
} catch (error) {
  if (!isHoldfastError(error, 'IdempotencyMismatch')) throw error
  console.log(error.code)
}
await db.close()
