import { logContract, type OpenedLog } from '../log/log.contract.ts'
import { Kernel } from './kernel.ts'
import { machineClock, simEnv } from './sim-env.ts'
import { SimLogCluster } from './sim-log.ts'

const CONTRACT_SEED = 3

logContract('simulated log', () => {
  const kernel = new Kernel(CONTRACT_SEED)
  const env = simEnv(kernel, kernel.owner('test#1'), machineClock(), kernel.random('test'))
  const open = async (): Promise<OpenedLog> => {
    const cluster = new SimLogCluster(kernel)
    let incarnation = 0
    const port = async (): Promise<OpenedLog> => {
      const owner = kernel.owner(`node#${++incarnation}`)
      const log = cluster.connect(owner, env, 'node')
      await log.ready
      return {
        log,
        follow: (from, follower) => log.follow(from, follower),
        remembers: true,
        followers: 'many',
        reopen: port,
        another: port,
      }
    }
    return port()
  }
  return { env, open, run: (done) => kernel.run(done) }
})
