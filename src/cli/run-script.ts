/** Runs another program of the project in a process of its own, as if it were this one. */
import { spawn } from 'node:child_process'
import { EXIT } from './exit-codes.ts'

/** What ends a program: handed on, and for the program to decide about. */
const HANDED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Resolves with its exit code. It is in a process group of its own, so that a terminal's Ctrl-C
 * reaches this process alone; handed on, it reaches the program once, like a signal by `kill`.
 */
export function runScript(script: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: 'inherit', detached: true })
    const handlers = HANDED_ON.map((signal) => {
      const handler = (): boolean => child.kill(signal)
      process.on(signal, handler)
      return () => process.off(signal, handler)
    })
    // The second Ctrl-C ends this process at once: the program gets it too.
    const last = (): boolean => child.kill('SIGINT')
    process.on('exit', last)
    const release = (): void => {
      for (const off of handlers) off()
      process.off('exit', last)
    }
    child.once('error', (error) => {
      release()
      reject(error)
    })
    child.once('close', (code, killedBy) => {
      release()
      const isStopped = HANDED_ON.some((signal) => signal === killedBy)
      resolve(code ?? (isStopped ? EXIT.interrupted : EXIT.error))
    })
  })
}
