// C1: who takes part, as each node of a simulated cluster sees it.
import { expect, it } from 'vitest'
import { strong, unvalidated } from '../../src/index.ts'
import { simulate, type Simulation, type SimNode } from '../../src/testing.ts'

const SEEDS = 20
/** Long enough for a silent node to be called dead, and for one that is back to be heard. */
const DEAD_MS = 13_000
const HEARD_MS = 3_000
const options = {
  nodes: 3,
  seeds: SEEDS,
  faults: 'none',
  budgetMs: 30_000,
  tables: { rows: strong({ key: 'id', row: unvalidated<{ id: string }>() }) },
} as const

/** What `node` says of all: `node-1 alive, node-2 dead, …`. */
async function seenBy(node: SimNode): Promise<string> {
  const { nodes } = await node.call(({ db }) => db.status())
  const said = nodes.map(({ name, state }) => `${name} ${state}`)
  return said.sort().join(', ')
}

const ALL = 'node-1 alive, node-2 alive, node-3 alive'

async function allSee(sim: Simulation, expected: string): Promise<void> {
  for (const node of sim.nodes) expect(await seenBy(node)).toBe(expected)
}

it('a node that stands still is suspected, then called dead, and is back once it goes on', async () => {
  const report = await simulate(options, async (sim) => {
    const [first, , third] = sim.nodes as [SimNode, SimNode, SimNode]
    await sim.sleep(HEARD_MS)
    await allSee(sim, ALL)
    third.pause()
    await sim.sleep(5_000)
    expect(await seenBy(first)).toBe('node-1 alive, node-2 alive, node-3 suspect')
    await sim.sleep(DEAD_MS)
    expect(await seenBy(first)).toBe('node-1 alive, node-2 alive, node-3 dead')
    third.resume()
    // It heard nobody meanwhile, and blames nobody.
    expect(await seenBy(third)).toBe(ALL)
    await sim.sleep(HEARD_MS)
    await allSee(sim, ALL)
  })
  expect(report.seeds).toBe(SEEDS)
})

it('each side of a partition calls the other dead, and both are one again after it', async () => {
  const report = await simulate(options, async (sim) => {
    const [first, second, third] = sim.nodes as [SimNode, SimNode, SimNode]
    await sim.sleep(HEARD_MS)
    const end = sim.partition({ kind: 'halves', one: ['node-3'] })
    await sim.sleep(DEAD_MS)
    for (const node of [first, second]) {
      expect(await seenBy(node)).toBe('node-1 alive, node-2 alive, node-3 dead')
    }
    expect(await seenBy(third)).toBe('node-1 dead, node-2 dead, node-3 alive')
    end()
    await sim.sleep(HEARD_MS)
    await allSee(sim, ALL)
  })
  expect(report.seeds).toBe(SEEDS)
})

it('a node that closes says so, and one that died is told from it', async () => {
  await simulate({ ...options, seeds: 3 }, async (sim) => {
    const [first, second, third] = sim.nodes as [SimNode, SimNode, SimNode]
    await sim.sleep(HEARD_MS)
    await second.stop()
    third.crash('process')
    await sim.sleep(DEAD_MS)
    expect(await seenBy(first)).toBe('node-1 alive, node-3 dead')
    await second.start()
    await third.start()
    await sim.sleep(HEARD_MS)
    await allSee(sim, ALL)
  })
})
