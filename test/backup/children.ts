/** Processes that run what was built, for tests that kill them. */
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { afterEach } from 'vitest'

const running = new Set<ChildProcess>()

export function endChildren(): void {
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL')
  })
}

export interface Child {
  readonly process: ChildProcess
  /** Resolves once it said so on stdout; rejects when it ended before. */
  said(word: string): Promise<void>
  /** How it ended, and what it said on stderr. */
  readonly ended: Promise<{ readonly how: string; readonly errors: string }>
}

export function runChild(script: string, ...args: string[]): Child {
  const file = join(import.meta.dirname, script)
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let [output, errors] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const ended = new Promise<{ how: string; errors: string }>((resolve) => {
    child.once('close', (code, signal) => {
      running.delete(child)
      resolve({ how: signal ?? String(code), errors })
    })
  })
  const said = (word: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (output.includes(`${word}\n`)) resolve()
      }
      child.stdout.on('data', look)
      look()
      void ended.then(() => reject(new Error(`it ended before it said ${word}: ${errors}`)))
    })
  return { process: child, said, ended }
}
