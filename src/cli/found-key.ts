/** Which key a command line means, when there may be a row for it. */
import type { Key } from '../core/key-codec.ts'
import { EXIT } from './exit-codes.ts'
import { printable } from './printable.ts'
import type { Session } from './session.ts'
import type { Shell } from './shell.ts'
import { keyReadings } from './typed-text.ts'

/** The reading of the key that there is a row for; undefined when there is a row for none. */
export async function findKey(
  session: Session,
  table: string,
  parts: readonly string[],
): Promise<Key | undefined> {
  const keys = keyReadings(parts)
  const { at } = await session.call('get', { table, keys })
  return keys[at]
}

/** Says that there is no row, and gives the exit code for it. */
export function sayNoRow(shell: Shell, table: string, parts: readonly string[]): number {
  const message = `table ${table} has no row with key ${parts.join(' ')}`
  shell.say(shell.json ? JSON.stringify({ error: { code: 'NoRow', message } }) : printable(message))
  return EXIT.error
}
