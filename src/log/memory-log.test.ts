import { systemEnv } from '../core/system-env.ts'
import { logContract } from './log.contract.ts'
import { openMemoryLog } from './memory-log.ts'

logContract('memory log', () => ({
  env: systemEnv,
  open: () => {
    const log = openMemoryLog(systemEnv)
    return Promise.resolve({
      log,
      follow: (from, follower) => log.follow(from, follower),
      remembers: true,
      followers: 'many' as const,
    })
  },
}))
