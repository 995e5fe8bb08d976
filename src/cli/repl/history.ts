/**
 * The lines of earlier REPLs: by the XDG base directory specification in the user's state folder,
 * for the user alone. Lines that may hold a token are left out.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'

export const HISTORY_LINES = 1_000
const OWNER_ALONE = 0o600
const OWNER_ALONE_FOLDER = 0o700
const TOKEN = /hf_[A-Za-z0-9]|--token\b|bearer/i

export function historyPath(env: Readonly<Record<string, string | undefined>>): string {
  const given = env['XDG_STATE_HOME']
  const home = given !== undefined && isAbsolute(given) ? given : join(homedir(), '.local', 'state')
  return join(home, 'holdfast', 'history')
}

export class History {
  readonly #path: string
  #lines: string[]

  /** Throws what the file system does, but for a file that is not there. */
  constructor(path: string) {
    this.#path = path
    this.#lines = this.#read()
  }

  /** The latest first, as readline has them. */
  get latestFirst(): string[] {
    return this.#lines.toReversed()
  }

  /** Adds a line, to the file as well: with what other REPLs have added meanwhile. */
  add(text: string): void {
    const line = text.replaceAll(/\s*\n\s*/g, ' ').trim()
    if (line === '' || TOKEN.test(line) || line === this.#lines.at(-1)) return
    this.#lines = [...this.#read(), line].slice(-HISTORY_LINES)
    mkdirSync(dirname(this.#path), { recursive: true, mode: OWNER_ALONE_FOLDER })
    const next = `${this.#path}.${process.pid}.new`
    try {
      writeFileSync(next, `${this.#lines.join('\n')}\n`, { mode: OWNER_ALONE })
      renameSync(next, this.#path)
    } finally {
      rmSync(next, { force: true })
    }
  }

  #read(): string[] {
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
    return text
      .split('\n')
      .filter((line) => line !== '')
      .slice(-HISTORY_LINES)
  }
}
