// The built command in a pseudo-terminal, as a person has it.

import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Pty, type PtyOptions } from '../child/pty.ts'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const main = join(root, 'dist', 'command', 'main.js')

/** The environment of a user who has configured nothing, and whose home is this folder. */
export function cleanEnvironment(home: string): Record<string, string | undefined> {
  const { NO_COLOR: _no, FORCE_COLOR: _force, CI: _ci, ...env } = process.env
  const theirs = Object.entries(env).filter(([name]) => !/^(HOLDFAST|XDG|npm)_/.test(name))
  return { ...Object.fromEntries(theirs), HOME: home }
}

/** Starts `holdfast` with these arguments. */
export function inTerminal(args: readonly string[], options: PtyOptions): Pty {
  return new Pty([process.execPath, main, ...args], options)
}
