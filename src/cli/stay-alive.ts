/** Keeps the process while a command runs: one that waits for a feed waits for nothing that does. */
import type { Cancel } from '../core/env.ts'
import { systemEnv } from '../open.ts'

const YEAR_MS = 365 * 24 * 3_600_000

/** Until the function returned is called. */
export function stayAlive(): Cancel {
  return systemEnv.timers.after(YEAR_MS, () => undefined)
}
