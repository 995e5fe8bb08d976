/** `holdfast refound`: founds the log of a cluster anew from the folders of its stopped nodes. */
import { resolve } from 'node:path'
import { refound } from '../../index.ts'
import { clusterGiven, type ClusterFlags } from '../cluster-options.ts'
import { EXIT } from '../exit-codes.ts'
import { count } from '../progress.ts'
import type { Shell } from '../shell.ts'
import { printTable } from '../text-table.ts'

export interface RefoundCommandOptions extends Omit<ClusterFlags, 'node'> {
  readonly cluster: string
  readonly node: readonly string[]
  readonly acceptLoss?: readonly string[] | undefined
}

export async function refoundCommand(
  shell: Shell,
  { node, acceptLoss, ...flags }: RefoundCommandOptions,
): Promise<number> {
  const folders = node.map((dir) => resolve(dir))
  const cluster = clusterGiven(flags, process.env)
  const refounded = await refound({ cluster, folders, acceptLoss })
  const { database, position, nodes } = refounded
  if (shell.json) {
    await shell.outJson(refounded)
    return EXIT.ok
  }
  const rows = nodes.map(({ dir, now, ...each }) => ({ ...each, folder: dir, now: NOW[now] }))
  await printTable(shell, rows)
  shell.say(`${database} goes on behind position ${count(position)}: start the nodes as before`)
  return EXIT.ok
}

const NOW = {
  level: 'goes on',
  'caught-up': 'has what it lacked, goes on',
  lost: 'starts over: keep the folder aside, start with an empty one',
} as const
