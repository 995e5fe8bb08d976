// The simulated store keeps the Store contract, in both profiles, over virtual time.
import { storeContract } from '../store/store.contract.ts'
import { Kernel } from './kernel.ts'
import { SimDisk } from './sim-disk.ts'
import { machineClock, simEnv } from './sim-env.ts'

/** Quick disks: some tests read at every turn of the event loop while they write. */
const TIMES = { commitMs: 0.05, fsyncMs: 0.2 }

for (const profile of ['synced', 'overlapping'] as const) {
  const kernel = new Kernel(1)
  const owner = kernel.owner('node-1#1')
  let disks = 0
  storeContract(
    `simulated store, ${profile}`,
    async () => {
      const disk = new SimDisk(kernel, `disk-${disks++}`, { ...TIMES, profile })
      return { store: disk.open(owner), reopen: async () => disk.open(owner) }
    },
    {
      env: simEnv(kernel, owner, machineClock(), kernel.random('env')),
      run: (done) => kernel.run(done),
    },
  )
}
