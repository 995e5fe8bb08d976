import { describe, expect, it } from 'vitest'
import { strong, unvalidated } from '../table/schema.ts'
import { planOf, type Plan } from './plan.ts'
import { runWorkload } from './run.ts'
import { shrink } from './shrink.ts'
import type { SimClient } from './sim-client.ts'
import type { Simulation } from './simulation.ts'
import type { Workload } from './workload.ts'

const OPERATIONS = 20

/** What the driver did in the run that is under way. */
const done: string[] = []

/** Violates `planted` when a pause was there, and one operation that few clients draw was done. */
const planted: Workload = {
  name: 'planted',
  what: 'a pause and a rare operation together violate a property',
  tables: { rows: strong({ row: unvalidated<{ id: string }>(), key: 'id' }) },
  begin: (sim: Simulation) => {
    const rare: string[] = []
    return {
      async operation(client: SimClient, number: number) {
        // Those of the liveness phase cannot be left out.
        const isRare = number <= OPERATIONS && client.drawOf(`operation-${number}`).chance(0.03)
        if (isRare) rare.push(`${client.name}/${number}`)
        await client.operation(`put ${number}`, client.node(), ({ db }) =>
          db.table('rows').put({ id: isRare ? 'rare' : `${number}` }),
        )
        done.push(`${client.name}/${number}`)
      },
      async finish() {
        const isPaused = (sim.world.faultCounts['pause'] ?? 0) > 0
        sim.check('planted', !(isPaused && rare.length > 0), `with ${rare.join(', ')}`)
        await Promise.resolve()
      },
    }
  },
}

const kinds = ['power-loss', 'pause', 'clock-jump', 'slow-disk', 'restart'] as const
const planOfSeed = (seed: number): Plan =>
  planOf({
    ...{ workload: 'planted', seed, setup: 'embedded', nodes: 1, faults: kinds },
    ...{ clients: 4, operations: OPERATIONS, durationMs: 8_000 },
  })

async function propertiesOf(plan: Plan): Promise<string[]> {
  done.length = 0
  const { violations } = await runWorkload(plan, planted)
  return violations.map(({ property }) => property)
}

async function failing(): Promise<Plan> {
  for (let seed = 1; ; seed++) {
    const plan = planOfSeed(seed)
    if (plan.faults.length > 2 && (await propertiesOf(plan)).includes('planted')) return plan
  }
}

describe('shrinking', { timeout: 60_000 }, () => {
  it('comes to the one fault and the one operation that it takes', async () => {
    const plan = await failing()
    const { plan: small, runs } = await shrink(plan, {
      fails: async (candidate) => (await propertiesOf(candidate)).includes('planted'),
    })
    expect(small.faults).toHaveLength(1)
    expect(small.faults[0]?.kind).toBe('pause')
    expect(small.clients * small.operations - small.skip.length).toBe(1)
    expect(runs).toBeLessThanOrEqual(300)
    // Kept as a file, it fails in the same way.
    expect(await propertiesOf(JSON.parse(JSON.stringify(small)) as Plan)).toContain('planted')
    // What is left out shifts nothing: the operation that is left was one of the whole plan's.
    const [left = ''] = done
    await propertiesOf(plan)
    expect(done).toContain(left)
  })

  it('stops when its budget is spent, with what it has', async () => {
    const plan = await failing()
    let runs = 0
    const shrunk = await shrink(plan, {
      fails: async (candidate) => {
        runs++
        return (await propertiesOf(candidate)).includes('planted')
      },
      budget: 5,
    })
    expect([runs, shrunk.runs]).toEqual([5, 5])
    expect(await propertiesOf(shrunk.plan)).toContain('planted')
  })

  it('leaves alone what cannot be smaller', async () => {
    const plan: Plan = { ...planOfSeed(1), clients: 1, operations: 1, faults: [] }
    const { plan: same } = await shrink(plan, {
      fails: (smaller) => Promise.resolve(smaller.skip.length === 0),
    })
    expect(same).toMatchObject({ clients: 1, operations: 1, faults: [], skip: [] })
  })
})
