// What buyers do to a shop, and what must hold of it: the same for the wrong shop and the right one.
import type { Simulation } from 'holdfast/testing'

const STOCK = 10

/** Stands in for the payment service. It fails at times; `Math.random` is the simulation's. */
export const hosts = {
  'pay.example': () => new Response(null, { status: Math.random() < 0.1 ? 503 : 204 }),
}

/** Before the first fault. */
export async function stockUp(sim: Simulation): Promise<void> {
  await sim.fetch(`/items/tea/stock/${STOCK}`, { method: 'PUT' })
}

export async function buyersCompete(sim: Simulation): Promise<void> {
  const confirmed: string[] = []
  await sim.clients(8, async (client) => {
    for (let i = 0; i < 4; i++) {
      await client.sleep(client.random.int(0, 4_000))
      const buy = client.fetch('/items/tea/orders', { method: 'POST' })
      // No answer says nothing: the order may be there, or not.
      const answer = await buy.catch(() => undefined)
      if (answer?.status === 409) sim.sometimes('sold out')
      if (answer?.status === 201) confirmed.push(await idOf(answer))
    }
  })

  // From here on there are no faults: everything must succeed.
  await sim.heal()
  const answer = await sim.fetch('/items/tea/orders')
  const sold = ((await answer.json()) as { id: string }[]).map(({ id }) => id)
  // The last argument: the lines of the story that matter are those with a 201.
  sim.check('no oversell', sold.length <= STOCK, `sold ${sold.length} of ${STOCK}`, ['201'])
  const lost = confirmed.filter((id) => !sold.includes(id))
  sim.check('no order lost', lost.length === 0, `confirmed, and gone: ${lost.join()}`)
}

async function idOf(answer: Response): Promise<string> {
  return ((await answer.json()) as { id: string }).id
}
