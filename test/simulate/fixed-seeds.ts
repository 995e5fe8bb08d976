// Every workload under faults, on seeds that never change: each is clean, and nearly all count (D5).
// One file a setup, so that both run at the same time.

import { afterAll, describe, expect, it } from 'vitest'
import { runCampaign } from '../../src/sim/campaign.ts'
import { Total, type SeedReport } from '../../src/sim/campaign-report.ts'
import type { Setup } from '../../src/sim/fault-plan.ts'
import { reportText, violationText } from '../../src/sim/report-text.ts'
import { WORKLOADS } from '../../src/sim/workloads/all.ts'

/** Of each workload. */
const SEEDS: Readonly<Record<Setup, number>> = { embedded: 12, shared: 6 }
const FIRST_SEED = 1_001

export function fixedSeeds(setup: Setup): void {
  const total = new Total()
  /** Those of one workload are not another's: faults are drawn by the seed. */
  const seedsOf = (index: number): number[] =>
    Array.from({ length: SEEDS[setup] }, (_, i) => FIRST_SEED + index * SEEDS[setup] + i)

  describe(`simulated, ${setup}:`, { timeout: 60_000 }, () => {
    it.each(WORKLOADS.map((workload, index) => [workload.what, workload, index] as const))(
      '%s',
      async (_, workload, index) => {
        const violations: string[] = []
        const onSeed = (report: SeedReport): void => {
          total.add(report)
          violations.push(...report.violations.map(violationText))
        }
        const options = { workloads: [workload], seeds: seedsOf(index), setup, onSeed }
        await runCampaign({ ...options, faults: 'survivable' })
        expect(violations.join('\n\n')).toBe('')
      },
    )

    it('nearly all seeds count', () => {
      const { seeds, counted, calm, calmAcked, checks, unknownChecks, uncounted } = total.report(
        WORKLOADS,
        'survivable',
      )
      expect(seeds).toBe(SEEDS[setup] * WORKLOADS.length)
      expect(counted / seeds, `uncounted: ${JSON.stringify(uncounted)}`).toBeGreaterThan(0.8)
      expect(calmAcked / calm).toBeGreaterThan(0.9)
      expect(unknownChecks / checks).toBeLessThan(0.01)
    })

    afterAll(() => {
      process.stdout.write(
        `simulated, ${setup}: ${reportText(total.report(WORKLOADS, 'survivable'))}`,
      )
    })
  })
}
