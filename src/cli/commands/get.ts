/** `holdfast get`: one row by its key. */
import { EXIT, UsageError } from '../exit-codes.ts'
import { sayNoRow } from '../found-key.ts'
import { withSession } from '../open-session.ts'
import { printable } from '../printable.ts'
import type { Shell } from '../shell.ts'
import { showValue, tableLines } from '../text-table.ts'
import { keyReadings } from '../typed-text.ts'

export async function getCommand(
  shell: Shell,
  table: string,
  parts: readonly string[],
): Promise<number> {
  if (parts.length === 0) throw new UsageError('get takes a table and a key')
  const keys = keyReadings(parts)
  const { row, at } = await withSession(shell, (session) => session.call('get', { table, keys }))
  if (row === undefined) return sayNoRow(shell, table, parts)
  if (shell.json) {
    await shell.outJson(row)
    return EXIT.ok
  }
  const fields = Object.entries(row).map(([name, value]) => ({
    field: printable(name),
    value: showValue(value),
  }))
  const { bold } = shell.paint
  const width = Math.max(...fields.map(({ field }) => field.length))
  for (const line of tableLines(fields, { width: shell.columns }).slice(1)) {
    await shell.out(bold(line.slice(0, width)) + line.slice(width))
  }
  if (at > 0) shell.say(`(found by the key read as ${typeName(keys[at])})`)
  return EXIT.ok
}

function typeName(key: unknown): string {
  if (Array.isArray(key)) return 'a tuple of strings'
  return key instanceof Date ? 'a date' : `a ${typeof key}`
}
