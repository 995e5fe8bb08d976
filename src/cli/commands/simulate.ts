/** `holdfast simulate`: starts the simulator, which nothing else here may import. */
import { dirname, join } from 'node:path'
import { runScript } from '../run-script.ts'
import type { Shell } from '../shell.ts'

export function simulateCommand(shell: Shell, args: readonly string[]): Promise<number> {
  // dist/command/main.js: it is built beside it.
  const script = join(dirname(dirname(shell.mainFile)), 'sim', 'main.js')
  const isTold = !shell.json || args.includes('--json')
  return runScript(script, isTold ? args : [...args, '--json'])
}
