// Plans that once violated a property, made small and kept (D7): each is clean ever since.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readPlan } from '../../src/sim/plan-file.ts'
import { runWorkload } from '../../src/sim/run.ts'
import { WORKLOADS } from '../../src/sim/workloads/all.ts'

const folder = join(import.meta.dirname, '..', 'plans')
const names = readdirSync(folder).filter((name) => name.endsWith('.json'))

describe('a kept plan', { timeout: 60_000 }, () => {
  it.each(names)('stays clean: %s', async (name) => {
    const plan = readPlan(join(folder, name))
    const workload = WORKLOADS.find((known) => known.name === plan.workload)
    if (workload === undefined) throw new Error(`${name} names no workload: ${plan.workload}`)
    const { violations, timeline, isLive } = await runWorkload(plan, workload)
    const found = violations.map(({ property, message }) => `${property}: ${message}`)
    expect(found, `${timeline}`).toEqual([])
    expect(isLive).toBe(true)
  })

  it('is there', () => {
    expect(names).not.toEqual([])
  })
})
