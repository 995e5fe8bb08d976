/** `holdfast adopt`: carries the folder's database to a cluster. */
import { adopt } from '../../index.ts'
import { EXIT } from '../exit-codes.ts'
import { count } from '../progress.ts'
import type { Shell } from '../shell.ts'

export interface AdoptCommandOptions {
  readonly cluster: string
  readonly database?: string | undefined
}

export async function adoptCommand(
  shell: Shell,
  { cluster, database: name }: AdoptCommandOptions,
): Promise<number> {
  const { dir } = shell
  const adopted = await adopt({ dir, cluster: { servers: cluster, name } })
  const { database, position } = adopted
  if (shell.json) await shell.outJson({ dir, ...adopted })
  shell.say(`${dir} is a node of ${database} now, which goes on behind position ${count(position)}`)
  shell.say(`open it: holdfast start --dir ${dir} --cluster ${cluster} --database ${database}`)
  return EXIT.ok
}
