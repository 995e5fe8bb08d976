/** `holdfast tables drop`: a table and its rows, once its name was typed. */
import { createInterface } from 'node:readline/promises'
import { EXIT, Interrupted, UsageError } from '../exit-codes.ts'
import { withSession } from '../open-session.ts'
import { count } from '../progress.ts'
import type { Shell } from '../shell.ts'
import { tableOf } from '../table-stats.ts'

export interface DropOptions {
  readonly yes?: boolean | undefined
  readonly dryRun?: boolean | undefined
}

export async function tablesDropCommand(
  shell: Shell,
  name: string,
  { yes = false, dryRun = false }: DropOptions,
): Promise<number> {
  if (!yes && !dryRun && !shell.canAsk) {
    throw new UsageError(`this drops table ${name} and cannot ask here: say --yes`)
  }
  const dropped = await withSession(shell, async (session) => {
    const { rows } = await tableOf(session, name)
    if (dryRun) return { rows, done: false }
    if (!yes && !(await isConfirmed(shell, name, rows))) return undefined
    await session.call('drop', { table: name })
    return { rows, done: true }
  })
  if (dropped === undefined) {
    shell.say('that is another name; nothing was dropped')
    return EXIT.error
  }
  const { rows, done } = dropped
  if (shell.json) await shell.outJson({ table: name, rows, dropped: done })
  else {
    const what = `${name} and its ${count(rows)} ${rows === 1 ? 'row' : 'rows'}`
    await shell.out(done ? `dropped ${what}` : `would drop ${what}; nothing was done`)
  }
  return EXIT.ok
}

async function isConfirmed(shell: Shell, name: string, rows: number): Promise<boolean> {
  const asked = createInterface({ input: process.stdin, output: shell.stderr })
  // Ctrl-C and Ctrl-D close it; whether they also end the question depends on the Node.
  const closed = new Promise<undefined>((resolve) => asked.once('close', () => resolve(undefined)))
  const question = `This drops table ${name} with ${count(rows)} rows, for good. Its name: `
  try {
    const answer = await Promise.race([asked.question(question, { signal: shell.signal }), closed])
    if (answer !== undefined) return answer.trim() === name
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'AbortError') throw error
  } finally {
    asked.close()
  }
  shell.say()
  throw new Interrupted('nothing was dropped')
}
