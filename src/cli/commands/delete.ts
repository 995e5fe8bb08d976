/** `holdfast delete`: one row by its key. */
import { printAck } from '../acks.ts'
import { EXIT } from '../exit-codes.ts'
import { findKey, sayNoRow } from '../found-key.ts'
import { withSession } from '../open-session.ts'
import type { Shell } from '../shell.ts'
import { keyReadings } from '../typed-text.ts'
import type { WriteOptions } from './put.ts'

export async function deleteCommand(
  shell: Shell,
  table: string,
  parts: readonly string[],
  { idempotencyKey }: WriteOptions,
): Promise<number> {
  const deleted = await withSession(shell, async (session) => {
    const found = await findKey(session, table, parts)
    if (found !== undefined) {
      return session.call('delete', { table, key: found, idempotencyKey })
    }
    // The row may be gone because this very delete was made before: its outcome is kept.
    const [key] = keyReadings(parts)
    if (idempotencyKey === undefined || key === undefined) return undefined
    return session.call('delete', { table, key, idempotencyKey })
  })
  if (deleted?.existed !== true) return sayNoRow(shell, table, parts)
  await printAck(shell, deleted, 'deleted')
  return EXIT.ok
}
