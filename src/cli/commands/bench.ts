/** `holdfast bench`: starts the benchmarks, which are part of the source checkout alone. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { HoldfastError } from '../../core/errors.ts'
import { runScript } from '../run-script.ts'
import type { Shell } from '../shell.ts'

export function benchCommand(shell: Shell, args: readonly string[]): Promise<number> {
  // dist/command/main.js in the checkout.
  const root = dirname(dirname(dirname(shell.mainFile)))
  const script = join(root, 'bench', 'run.mjs')
  if (!existsSync(script)) {
    throw new HoldfastError('Unsupported', `the benchmarks are not here: there is no ${script}`, {
      details: { script, next: 'run this in a checkout of the source, which has bench/' },
    })
  }
  return runScript(script, args)
}
