/** Names an import, so that the same one, run again, goes on where it stopped. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'

/**
 * The same file with the same options into the same table: by its path, size and time, so a file
 * that was changed is another.
 */
export async function importIdOf(path: string, options: readonly unknown[]): Promise<string> {
  const { size, mtimeMs } = await stat(path)
  const print = JSON.stringify([path, size, mtimeMs, ...options])
  return createHash('sha256').update(print).digest('hex').slice(0, 24)
}
