/** `holdfast stats`: what there is, how much of it, where it lives, and who has it open. */
import { EXIT } from '../exit-codes.ts'
import { count, size } from '../progress.ts'
import { withSession } from '../open-session.ts'
import type { Shell } from '../shell.ts'
import { tableLines } from '../text-table.ts'

export async function statsCommand(shell: Shell): Promise<number> {
  const { dir, signal } = shell
  const { stats, holder } = await withSession({ dir, signal }, async (session) => ({
    stats: await session.call('stats', {}),
    holder: session.holder,
  }))
  if (shell.json) {
    await shell.outJson({ ...stats, dir, holder: holder?.pid ?? null })
    return EXIT.ok
  }
  const held = holder === undefined ? 'no other process' : `process ${holder.pid}`
  const facts = [
    ['folder', dir],
    ['open in', held],
    ['data file', size(stats.bytes)],
    ['position', `${count(stats.position)} (entries kept from ${count(stats.oldestPosition)})`],
    ['acks', stats.durability],
    ['shards', String(stats.shards)],
    ['identity', stats.identity],
  ] as const
  for (const [name, value] of facts) await shell.out(`${shell.paint.bold(name.padEnd(10))}${value}`)
  const rows = stats.tables
    .filter(({ name }) => !name.startsWith('_'))
    .map((table) => ({
      table: table.name,
      rows: table.rows,
      bytes: table.bytes,
      key: table.key.join(', '),
      indexes: table.indexes.map(indexText).join(' '),
      schema: table.validated ? 'checked' : 'unvalidated',
    }))
  await shell.out('')
  const [header = '', ...lines] = tableLines(rows, { width: shell.columns })
  await shell.out(rows.length === 0 ? 'no tables' : shell.paint.bold(header))
  for (const line of lines) if (line !== '') await shell.out(line)
  return EXIT.ok
}

function indexText(index: {
  readonly name: string
  readonly fields: readonly string[]
  readonly unique: boolean
  readonly state: string
}): string {
  const { name, fields, unique, state } = index
  const notes = [unique ? 'unique' : '', state === 'ready' ? '' : state].filter(Boolean)
  return `${name}(${fields.join(',')})${notes.length === 0 ? '' : `[${notes.join(' ')}]`}`
}
