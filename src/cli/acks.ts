/** What a write says when it is done. */
import type { Ack } from '../table/handles.ts'
import { count } from './progress.ts'
import type { Shell } from './shell.ts'

export async function printAck(shell: Shell, ack: Ack, what: string): Promise<void> {
  if (shell.json) await shell.outJson(ack)
  else await shell.out(`${what} at position ${count(ack.position)}, ${ack.durability}`)
}
