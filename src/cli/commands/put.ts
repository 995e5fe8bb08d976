/** `holdfast put` and `holdfast insert`: one row into a table. */
import { printAck } from '../acks.ts'
import { EXIT } from '../exit-codes.ts'
import { withSession } from '../open-session.ts'
import { rowOf } from '../row-text.ts'
import type { Shell } from '../shell.ts'

export interface WriteOptions {
  readonly idempotencyKey?: string | undefined
}

export async function putCommand(
  shell: Shell,
  kind: 'put' | 'insert',
  table: string,
  words: readonly string[],
  { idempotencyKey }: WriteOptions,
): Promise<number> {
  const row = await rowOf(words)
  const written = await withSession(shell, (session) =>
    session.call('write', { table, kind, row, idempotencyKey }),
  )
  await printAck(shell, written, 'stored')
  return EXIT.ok
}
