// Commands in one process, one after the other: for tests of what a command does with the data. That
// it is a process, with signals and a terminal, is for `holdfast` of run-holdfast.ts.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { plainEnv, type Ended, type RunOptions } from './run-holdfast.ts'

const WORKER = join(import.meta.dirname, 'standing-worker.mjs')

/** That of this file of tests. */
let worker: ChildProcess | undefined
let last: Promise<unknown> = Promise.resolve()

/** What `holdfast` gives, without the start of a process; calls at once wait for each other. */
export function standing(
  args: readonly string[],
  options: Pick<RunOptions, 'env' | 'cwd' | 'input'> = {},
): Promise<Ended> {
  const ended = last.then(() => run(args, options))
  last = ended.catch(() => undefined)
  return ended
}

async function run(
  args: readonly string[],
  { env, cwd = process.cwd(), input = '' }: Pick<RunOptions, 'env' | 'cwd' | 'input'>,
): Promise<Ended> {
  const child = (worker ??= fork(WORKER, { execArgv: [], env: plainEnv(), stdio: 'inherit' }))
  const died = new AbortController()
  const die = (code: number | null, signal: string | null): void => {
    died.abort(new Error(`holdfast ${args.join(' ')} ended the process: ${signal ?? code}`))
  }
  child.once('exit', die)
  try {
    const answer = once(child, 'message', { signal: died.signal })
    child.send({ args, cwd, input, env: { ...plainEnv(), ...env } })
    const [ended] = (await answer) as [Ended]
    return ended
  } catch (error) {
    throw died.signal.aborted ? died.signal.reason : error
  } finally {
    child.off('exit', die)
  }
}

afterAll(async () => {
  if (worker === undefined) return
  const exited = once(worker, 'exit')
  worker.disconnect()
  await exited
})
