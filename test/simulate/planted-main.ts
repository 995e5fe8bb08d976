// A campaign in child processes, of which one hangs and one dies. Prints its report.

import { strong, unvalidated } from '../../src/table/schema.ts'
import { runJobs, serveSeeds } from '../../src/sim/jobs.ts'
import type { SimClient } from '../../src/sim/sim-client.ts'
import type { Simulation } from '../../src/sim/simulation.ts'
import { Watchdog } from '../../src/sim/watchdog.ts'
import type { Workload } from '../../src/sim/workload.ts'

const HANGS = 2
const DIES = 3

const planted: Workload = {
  name: 'planted',
  what: 'the process hangs, or dies',
  tables: { rows: strong({ row: unvalidated<{ id: string }>(), key: 'id' }) },
  begin: (sim: Simulation) => ({
    async operation(client: SimClient, number: number) {
      for (; sim.seed === HANGS;);
      if (sim.seed === DIES) process.exit(7)
      await client.operation(`put ${number}`, client.node(), ({ db }) =>
        db.table('rows').put({ id: `${number}` }),
      )
    },
    finish: () => Promise.resolve(),
  }),
}

const options = { workloads: [planted], faults: 'none', setup: 'embedded' } as const
if (process.argv.includes('--child')) {
  serveSeeds(process, { ...options, watchdog: new Watchdog({ seconds: 1 }) })
} else {
  const file = process.argv[1] ?? ''
  const campaign = { ...options, seeds: [1, HANGS, DIES, 4, 5], jobs: 2 }
  const report = await runJobs({ ...campaign, file, args: ['--child'] })
  process.stdout.write(JSON.stringify(report))
}
