/** Every workload, by name. */
import type { Workload } from '../workload.ts'
import { bank } from './bank.ts'
import { definitions } from './definitions.ts'
import { feeds } from './feeds.ts'
import { idempotency } from './idempotency.ts'
import { large } from './large.ts'
import { listAppend } from './list-append.ts'
import { registers } from './registers.ts'
import { scans } from './scans.ts'
import { sessions } from './sessions.ts'
import { unique } from './unique.ts'

export const WORKLOADS: readonly Workload[] = [
  registers,
  listAppend,
  bank,
  unique,
  feeds,
  idempotency,
  definitions,
  large,
  scans,
  sessions,
]
