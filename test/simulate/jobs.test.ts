import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { CampaignReport } from '../../src/sim/campaign-report.ts'
import { Bundled } from './bundled.ts'

const simulator = new Bundled()
beforeAll(() => simulator.build(join(import.meta.dirname, 'planted-main.ts')))
afterAll(() => simulator[Symbol.dispose]())

it('a seed that hangs or ends its process is a violation, and the campaign goes on', async () => {
  const { code, stdout, stderr } = await simulator.run([])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const { seeds, counted, violations } = JSON.parse(stdout) as CampaignReport
  expect([seeds, counted]).toEqual([5, 3])
  expect(violations.map(({ seed, property }) => [seed, property])).toEqual([
    [2, 'progress'],
    [3, 'no-crash'],
  ])
  expect(violations[0]?.message).toContain('a simulated step has been running for 1 s without end')
  expect(violations[0]?.message).toContain('seed 2')
  expect(violations[1]?.message).toContain('it said nothing')
}, 60_000)
