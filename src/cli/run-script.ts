/** Runs another program of the project in a process of its own, as if it were this one. */
import { spawn } from 'node:child_process'
import { EXIT } from './exit-codes.ts'

/** Resolves with its exit code. Ctrl-C reaches it too, SIGTERM is handed on: it decides how to end. */
export function runScript(script: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: 'inherit' })
    const terminate = (): boolean => child.kill('SIGTERM')
    process.on('SIGTERM', terminate)
    child.once('error', reject)
    child.once('close', (code) => {
      process.off('SIGTERM', terminate)
      resolve(code ?? EXIT.error)
    })
  })
}
