/** `holdfast stats`: what there is, how much of it, where it lives, and who has it open. */
import { EXIT } from '../exit-codes.ts'
import { count, size } from '../progress.ts'
import { withSession } from '../open-session.ts'
import type { Shell } from '../shell.ts'
import { tableCells } from '../table-stats.ts'
import { printTable } from '../text-table.ts'

export async function statsCommand(shell: Shell): Promise<number> {
  const { target } = shell
  const { stats, holder } = await withSession(shell, async (session) => ({
    stats: await session.call('stats', {}),
    holder: session.holder,
  }))
  if (shell.json) {
    const place = target.kind === 'folder' ? { dir: target.dir } : { url: target.url }
    await shell.outJson({ ...stats, ...place, holder: holder?.pid ?? null })
    return EXIT.ok
  }
  const held = holder === undefined ? 'no other process' : `process ${holder.pid}`
  const place =
    target.kind === 'folder'
      ? ([
          ['folder', target.dir],
          ['open in', held],
        ] as const)
      : ([['server', target.url]] as const)
  const facts = [
    ...place,
    ['data file', size(stats.bytes)],
    ['position', `${count(stats.position)} (entries kept from ${count(stats.oldestPosition)})`],
    ['acks', stats.durability],
    ['shards', String(stats.shards)],
    ['identity', stats.identity],
  ] as const
  for (const [name, value] of facts) await shell.out(`${shell.paint.bold(name.padEnd(10))}${value}`)
  const rows = stats.tables.filter(({ name }) => !name.startsWith('_')).map(tableCells)
  await shell.out('')
  if (rows.length === 0) await shell.out('no tables')
  await printTable(shell, rows)
  return EXIT.ok
}
