/** `holdfast repl`: commands one after the other, over a database that is opened once. */
import { EXIT, Interrupted } from '../exit-codes.ts'
import type { BuildProgram, GlobalOptions } from '../program/parts.ts'
import { Repl } from '../repl/repl.ts'
import type { Shell } from '../shell.ts'

export async function replCommand(
  shell: Shell,
  build: BuildProgram,
  options: GlobalOptions,
): Promise<number> {
  const repl = new Repl(shell, build, options)
  if (process.stdin.isTTY && shell.isTerminal) return repl.converse()
  try {
    return await repl.readAll(process.stdin)
  } catch (error) {
    if (error instanceof Interrupted && error.hint === undefined) return EXIT.interrupted
    throw error
  }
}
