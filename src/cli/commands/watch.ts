/** `holdfast watch`: changes of a table's rows as they happen, one a line. */
import { isHoldfastError } from '../../core/errors.ts'
import type { StreamTypes } from '../../server/operations.ts'
import { EXIT, Interrupted } from '../exit-codes.ts'
import { withSession } from '../open-session.ts'
import type { Shell } from '../shell.ts'
import { showValue } from '../text-table.ts'

export interface WatchOptions {
  readonly from?: 'now' | 'snapshot' | 'start' | undefined
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

type Change = StreamTypes['feed']['item'][number]

const KIND_WIDTH = 'insert'.length

export async function watchCommand(
  shell: Shell,
  table: string,
  { from, after, limit = Number.POSITIVE_INFINITY }: WatchOptions,
): Promise<number> {
  let [left, token] = [limit, after]
  if (left === 0) return EXIT.ok
  return withSession(shell, async (session) => {
    try {
      for await (const changes of session.stream('feed', { table, from, after })) {
        for (const change of changes) {
          await show(shell, change)
          token = change.token
          if (--left === 0) return EXIT.ok
        }
      }
    } catch (error) {
      const isStopped = shell.signal.aborted && !isHoldfastError(error, 'Closed')
      if (!isStopped) throw error
    }
    if (!shell.signal.aborted) return EXIT.ok
    throw new Interrupted(
      token === undefined ? undefined : `go on with: holdfast watch ${table} --after ${token}`,
    )
  })
}

async function show(shell: Shell, change: Change): Promise<void> {
  const { kind, key, row, position, token } = change
  if (shell.json) {
    await shell.outJson({ kind, key, ...(row !== undefined && { row }), position, token })
    return
  }
  const { green, red, yellow, dim } = shell.paint
  const paint = { row: dim, insert: green, update: yellow, delete: red }[kind]
  const shownRow = row === undefined ? '' : `  ${showValue(row)}`
  await shell.out(`${paint(kind.padEnd(KIND_WIDTH))}  ${showValue(key)}${shownRow}`)
}
