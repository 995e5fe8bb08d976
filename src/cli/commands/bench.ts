/** `holdfast bench`: starts the benchmarks, which are part of the source checkout alone. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { HoldfastError } from '../../core/errors.ts'
import { EXIT } from '../exit-codes.ts'
import type { Shell } from '../shell.ts'

export function benchCommand(shell: Shell, args: readonly string[]): Promise<number> {
  // dist/cli/main.js in the checkout.
  const root = dirname(dirname(dirname(shell.mainFile)))
  const script = join(root, 'bench', 'run.mjs')
  if (!existsSync(script)) {
    throw new HoldfastError('Unsupported', `the benchmarks are not here: there is no ${script}`, {
      details: { script, next: 'run this in a checkout of the source, which has bench/' },
    })
  }
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: 'inherit' })
    child.once('error', reject)
    // Ctrl-C reaches the child too: it decides how to end.
    child.once('close', (code) => resolve(code ?? EXIT.error))
  })
}
