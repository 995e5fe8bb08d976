// Runs a command in a pseudo-terminal, as a person does: keys go in, a screen comes out. The terminal
// is made by `script` of util-linux, which every Debian has, so that no native module is needed.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PtyScreen } from './pty-screen.ts'

export const KEYS = {
  tab: '\t',
  enter: '\r',
  up: '\u001b[A',
  down: '\u001b[B',
  left: '\u001b[D',
  right: '\u001b[C',
  backspace: '\u007f',
  ctrlC: '\u0003',
  ctrlD: '\u0004',
} as const

export interface PtyOptions {
  /** Default 100. */
  readonly columns?: number
  /** Default 40. */
  readonly rows?: number
  readonly cwd?: string
  /** The whole environment, but for TERM. Default: this process's, without color settings. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

const WAIT_MS = 30_000
const LOOK_EVERY_MS = 20

/**
 * Why there can be no pseudo-terminal here; undefined when there can. Said aloud by whoever asks,
 * so that no test is left out in silence.
 */
export function ptyMissing(): string | undefined {
  const { stdout, error } = spawnSync('script', ['--version'], { encoding: 'utf8' })
  if (error === undefined && stdout.includes('util-linux')) return undefined
  return report('no pseudo-terminal: `script` of util-linux is not installed')
}

/** Why tests with this program are left out; undefined when it is installed. */
export function programMissing(name: string): string | undefined {
  const { error } = spawnSync(name, ['--version'], { encoding: 'utf8' })
  return error === undefined ? undefined : report(`${name} is not installed`)
}

function report(reason: string): string {
  process.stderr.write(`\n*** TESTS LEFT OUT: ${reason} ***\n\n`)
  return reason
}

export class Pty implements AsyncDisposable {
  readonly #script: ChildProcess
  readonly #folder: string
  readonly #screen: PtyScreen
  readonly #ended: Promise<number | null>
  #raw = ''
  #code: number | null | undefined
  #since = 0

  constructor(command: readonly string[], options: PtyOptions = {}) {
    const { columns = 100, rows = 40, cwd, env = plainEnvironment() } = options
    this.#folder = mkdtempSync(join(tmpdir(), 'holdfast-pty-'))
    this.#screen = new PtyScreen(columns)
    // The shell writes its own id and becomes the command, so that the id is the command's.
    const line =
      `stty rows ${rows} cols ${columns} && ` +
      `echo $$ > ${quoted(this.#pidFile)} && exec ${command.map(quoted).join(' ')}`
    this.#script = spawn('script', ['-qefc', line, '/dev/null'], {
      cwd,
      env: { ...env, TERM: 'xterm-256color', SHELL: '/bin/sh' },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#script.stdout?.setEncoding('utf8')
    this.#script.stdout?.on('data', (chunk: string) => {
      this.#raw += chunk
      this.#screen.write(chunk)
    })
    // It may end before it has read what was typed last.
    this.#script.stdin?.on('error', () => undefined)
    this.#ended = new Promise((resolve, reject) => {
      this.#script.once('error', reject)
      this.#script.once('close', (code) => {
        this.#code = code
        resolve(code)
      })
    })
  }

  get #pidFile(): string {
    return join(this.#folder, 'pid')
  }

  /** The command's own process. */
  get pid(): number {
    return Number(readFileSync(this.#pidFile, 'utf8'))
  }

  /** All output as it came, escape codes included. */
  get raw(): string {
    return this.#raw
  }

  /** What the terminal shows, what has scrolled away included. */
  get text(): string {
    return this.#screen.text()
  }

  /** What it shows from the line on where the keys were typed last. */
  get latest(): string {
    return this.#screen.text(this.#since)
  }

  /** Presses keys. */
  send(keys: string): void {
    this.#since = this.#screen.row
    this.#script.stdin?.write(keys)
  }

  /** Types a line and enter. */
  line(text: string): void {
    this.send(text + KEYS.enter)
  }

  /** Resolves when `text` matches; it fails with the screen when the command ends before. */
  async shows(pattern: RegExp | string): Promise<string> {
    await this.until(`the screen shows ${String(pattern)}`, () => found(this.text, pattern))
    return this.text
  }

  /** As `shows`, of `latest`. */
  async replies(pattern: RegExp | string): Promise<string> {
    await this.until(`the reply is ${String(pattern)}`, () => found(this.latest, pattern))
    return this.latest
  }

  /** Resolves when `condition` holds. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const deadline = Date.now() + WAIT_MS
    while (!condition()) {
      const fault = this.#fault(deadline)
      if (fault !== undefined) {
        throw new Error(`${fault} before ${what}:\n${this.text}\n--- raw\n${quoteRaw(this.#raw)}`)
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }

  #fault(deadline: number): string | undefined {
    if (this.#code !== undefined) return `the command ended with ${this.#code}`
    return Date.now() > deadline ? `${WAIT_MS / 1000} s passed` : undefined
  }

  /** Resolves with the exit status when the command has ended by itself. */
  async exit(): Promise<number | null> {
    await this.until('it ended', () => this.#code !== undefined)
    return this.#code ?? null
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#code === undefined) this.#killAll()
    await this.#ended
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #killAll(): void {
    try {
      this.kill('SIGKILL')
    } catch {
      // It has just ended, or has not begun.
      this.#script.kill('SIGTERM')
    }
  }
}

function plainEnvironment(): Record<string, string | undefined> {
  const { NO_COLOR: _no, FORCE_COLOR: _force, HOLDFAST_DIR: _dir, CI: _ci, ...env } = process.env
  return env
}

function found(text: string, pattern: RegExp | string): boolean {
  return typeof pattern === 'string' ? text.includes(pattern) : pattern.test(text)
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

function quoteRaw(raw: string): string {
  return JSON.stringify(raw.slice(-2_000))
}
