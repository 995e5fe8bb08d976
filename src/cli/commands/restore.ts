/** `holdfast restore`: a whole database into an empty folder, or one table into a database. */
import { resolve } from 'node:path'
import { restore, type PointInTime, type TableCopied } from '../../index.ts'
import { restoreTableBy } from '../../backup.ts'
import { systemEnv } from '../../open.ts'
import { EXIT, UsageError } from '../exit-codes.ts'
import { withSession } from '../open-session.ts'
import { count, took } from '../progress.ts'
import type { Shell } from '../shell.ts'
import { withStages } from '../stage-progress.ts'
import { STREAM } from './backup.ts'

export interface RestoreCommandOptions {
  readonly from: string
  readonly at?: string | undefined
  readonly backup?: string | undefined
  readonly table?: string | undefined
  readonly as?: string | undefined
  readonly scratch?: string | undefined
  readonly progress?: boolean | undefined
}

export async function restoreCommand(
  shell: Shell,
  options: RestoreCommandOptions,
): Promise<number> {
  const { table, as } = options
  if ((table === undefined) !== (as === undefined)) {
    throw new UsageError('--table NAME and --as OTHER go together')
  }
  const at = moment(options)
  const from = options.from === STREAM ? process.stdin : resolve(options.from)
  const startMs = systemEnv.clock.monotonicMs()
  const tookMs = (): number => Math.round(systemEnv.clock.monotonicMs() - startMs)
  if (table === undefined || as === undefined) {
    const { dir, signal } = shell
    const founded = await withStages(shell, options.progress, (onProgress) =>
      restore({ ...at, from, dir, onProgress, signal }),
    )
    if (shell.json) await shell.outJson({ dir, ...founded, ms: tookMs() })
    else shell.say(`${dir} restored at position ${count(founded.position)} in ${took(tookMs())}`)
    return EXIT.ok
  }
  const copied = await restoreTableFrom(shell, options, { ...at, from, table, as })
  if (shell.json) await shell.outJson({ ...copied, ms: tookMs() })
  else {
    const { rows, position } = copied
    shell.say(`${as}: ${count(rows)} rows of ${table} as of position ${count(position)}`)
  }
  return EXIT.ok
}

function restoreTableFrom(
  shell: Shell,
  { progress, scratch }: RestoreCommandOptions,
  what: PointInTime & { from: AsyncIterable<Uint8Array> | string; table: string; as: string },
): Promise<TableCopied> {
  const { signal } = shell
  return withSession(shell, (session) =>
    withStages(shell, progress, (onProgress) =>
      restoreTableBy({ ...what, scratch, onProgress, signal }, (method, params) =>
        session.call(method, params),
      ),
    ),
  )
}

const POSITION = /^\d{1,15}$/

/** A position, or a time as ISO 8601 has it. */
function moment({ at, backup }: RestoreCommandOptions): PointInTime {
  if (at === undefined) return { backup }
  if (POSITION.test(at)) return { at: Number(at), backup }
  const time = new Date(at)
  if (/^\d{4}-/.test(at) && !Number.isNaN(time.getTime())) return { at: time, backup }
  throw new UsageError(`--at is a position or a time, as in 2026-11-22T10:00:00Z, not ${at}`)
}
