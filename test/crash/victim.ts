/** A process that is started ahead of its turn, does what it is told, and is killed. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

export type Death = {
  /** How it ended: the signal's name, or the exit code as text. */
  readonly how: string
  readonly errors: string
}

export class Victim {
  readonly lines: string[] = []
  readonly #process: ChildProcessWithoutNullStreams
  readonly #died: Promise<Death>
  readonly #waiting = new Map<string, () => void>()
  #errors = ''

  /** `tracer`: a command that runs it. */
  constructor(
    script: string,
    tracer: readonly string[] = [],
    options: { readonly uid?: number } = {},
  ) {
    const [program, ...args] = [...tracer, process.execPath, script]
    this.#process = spawn(program, args, { stdio: 'pipe', ...options })
    this.#process.stdin.on('error', () => undefined)
    this.#process.stderr.on('data', (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString('utf8')).slice(-3_000)
    })
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.lines.push(line)
      this.#waiting.get(line)?.()
      this.#waiting.get('')?.()
    })
    this.#died = new Promise((resolve) => {
      this.#process.once('error', (error) => resolve({ how: error.message, errors: '' }))
      this.#process.once('close', (code, signal) =>
        resolve({ how: signal ?? String(code), errors: this.#errors }),
      )
    })
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  tell(order: unknown): void {
    this.#process.stdin.write(`${JSON.stringify(order)}\n`)
  }

  /** The next line it says, when none is listed. */
  async nextLine(): Promise<string> {
    if (this.lines.length === 0) await this.said('')
    return this.lines[0] ?? ''
  }

  /** Resolves once it said `line`. Rejects when it died first, or after `timeoutMs`. */
  async said(line: string, timeoutMs = 20_000): Promise<void> {
    if (this.lines.includes(line)) return
    let timer: NodeJS.Timeout | undefined
    const said = new Promise<'said'>((resolve) => this.#waiting.set(line, () => resolve('said')))
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), timeoutMs)
    })
    const outcome = await Promise.race([said, late, this.#died]).finally(() => clearTimeout(timer))
    if (outcome === 'said') return
    const how = outcome === 'late' ? `nothing for ${timeoutMs} ms` : outcome.how
    throw new Error(`it never said ${line}: ${how} ${this.#errors}`)
  }

  /** Resolves once it said that many lines, or `timeoutMs` have passed. */
  async saidLines(count: number, timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs
    while (this.lines.length < count && performance.now() < until) await sleep(1)
  }

  kill(): Promise<Death> {
    this.#process.kill('SIGKILL')
    return this.#died
  }

  died(): Promise<Death> {
    return this.#died
  }
}
