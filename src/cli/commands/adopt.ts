/** `holdfast adopt`: carries the folder's database to a cluster. */
import { adopt } from '../../index.ts'
import { clusterGiven, type ClusterFlags } from '../cluster-options.ts'
import { EXIT } from '../exit-codes.ts'
import { count } from '../progress.ts'
import type { Shell } from '../shell.ts'

export interface AdoptCommandOptions extends ClusterFlags {
  readonly cluster: string
}

export async function adoptCommand(shell: Shell, options: AdoptCommandOptions): Promise<number> {
  const { dir } = shell
  const adopted = await adopt({ dir, cluster: clusterGiven(options, process.env) })
  const { database, position } = adopted
  if (shell.json) await shell.outJson({ dir, ...adopted })
  shell.say(`${dir} is a node of ${database} now, which goes on behind position ${count(position)}`)
  shell.say(
    `open it: holdfast start --dir ${dir} --cluster ${options.cluster} --database ${database}`,
  )
  return EXIT.ok
}
