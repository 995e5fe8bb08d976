/** `holdfast verify`: starts the verifier, which runs the simulator's workloads. */
import { dirname, join } from 'node:path'
import { runScript } from '../run-script.ts'
import type { Shell } from '../shell.ts'

export function verifyCommand(shell: Shell, args: readonly string[]): Promise<number> {
  // dist/cli/main.js: it is built beside it.
  const script = join(dirname(dirname(shell.mainFile)), 'verify', 'main.js')
  const isTold = !shell.json || args.includes('--json')
  return runScript(script, isTold ? args : [...args, '--json'])
}
