/** Progress of work that comes in stages, as backups and restores do: a bar for each. */
import { systemEnv } from '../open.ts'
import type { BackupProgress } from '../shard/backup/progress.ts'
import { startProgress, type Progress, type Unit } from './progress.ts'
import type { Shell } from './shell.ts'

const STAGES: Readonly<Record<BackupProgress['stage'], { title: string; unit: Unit }>> = {
  rows: { title: 'rows', unit: 'bytes' },
  entries: { title: 'log', unit: 'entries' },
  parts: { title: 'reading', unit: 'bytes' },
  check: { title: 'checking', unit: 'keys' },
}

/** Runs `work` with a function that shows how far it is. */
export async function withStages<T>(
  shell: Shell,
  show: boolean | undefined,
  work: (onProgress: (progress: BackupProgress) => void) => Promise<T>,
): Promise<T> {
  let current: { stage: string; bar: Progress } | undefined
  try {
    return await work(({ stage, done, total }) => {
      if (current?.stage !== stage) {
        current?.bar.stop()
        const nowMs = (): number => systemEnv.clock.monotonicMs()
        current = { stage, bar: startProgress(shell, { ...STAGES[stage], total, show, nowMs }) }
      }
      current.bar.update(done, done)
    })
  } finally {
    current?.bar.stop()
  }
}
