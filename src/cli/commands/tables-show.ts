/** `holdfast tables show`: what tables there are, or one of them. */
import { EXIT } from '../exit-codes.ts'
import { withSession } from '../open-session.ts'
import { count, size } from '../progress.ts'
import type { Shell } from '../shell.ts'
import { tableCells, tableOf, tablesOf } from '../table-stats.ts'
import { printTable } from '../text-table.ts'

export async function tablesShowCommand(shell: Shell, name: string | undefined): Promise<number> {
  if (name === undefined) return showAll(shell)
  const table = await withSession(shell, (session) => tableOf(session, name))
  if (shell.json) {
    await shell.outJson(table)
    return EXIT.ok
  }
  const { rows, bytes, key, indexes, validated } = table
  const facts = [
    ['table', name],
    ['rows', `${count(rows)}, ${size(bytes)}`],
    ['key', key.join(', ')],
    ['schema', validated ? 'checked, by the program that declares it' : 'unvalidated'],
  ] as const
  for (const [fact, value] of facts) {
    await shell.out(`${shell.paint.bold(fact.padEnd('schema'.length))}  ${value}`)
  }
  if (indexes.length === 0) await shell.out('no indexes')
  else await shell.out('')
  await printTable(
    shell,
    indexes.map(({ name, fields, unique, state }) => ({
      index: name,
      fields: fields.join(', '),
      unique: unique ? 'unique' : '',
      state,
    })),
  )
  return EXIT.ok
}

async function showAll(shell: Shell): Promise<number> {
  const tables = await withSession(shell, tablesOf)
  if (shell.json) for (const table of tables) await shell.outJson(table)
  else if (tables.length === 0) {
    shell.say('no tables; holdfast tables create NAME --key FIELD   makes one')
  } else await printTable(shell, tables.map(tableCells))
  return EXIT.ok
}
