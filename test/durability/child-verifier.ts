/**
 * Opens crash images in a child process: a damaged one may kill the process that opens it (LMDB:
 * SIGBUS).
 *
 * The child reads lines of JSON {"dir", "acked"} from stdin and answers each with a line
 * {"violations"}. It serves many images; if it dies over one, that image is tried once more in a
 * child of its own, whose word counts.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export type Verify = (imageDir: string, ackedIds: readonly string[]) => Promise<readonly string[]>

type Answer = { readonly violations: readonly string[] } | { readonly died: string }

export class ChildVerifier {
  readonly #command: readonly string[]
  readonly #timeoutMs: number
  readonly #retry: boolean
  #child: Child | undefined
  /** Images over which a shared child died, so that they were tried again alone. */
  retries = 0

  /** `retry`: whether an image is tried once more alone when a shared child died. Default true. */
  constructor(
    command: readonly string[],
    options: { readonly timeoutMs?: number; readonly retry?: boolean } = {},
  ) {
    this.#command = command
    this.#timeoutMs = options.timeoutMs ?? 10_000
    this.#retry = options.retry ?? true
  }

  readonly verify: Verify = async (imageDir, ackedIds) => {
    const answer = await this.#ask(imageDir, ackedIds)
    if ('violations' in answer) return answer.violations
    if (!this.#retry) return [`opening the image ends the process: ${answer.died}`]
    this.retries++
    const alone = await this.#ask(imageDir, ackedIds)
    if ('violations' in alone) return alone.violations
    return [`opening the image ends the process: ${alone.died}`]
  }

  async close(): Promise<void> {
    await this.#child?.close()
    this.#child = undefined
  }

  async #ask(dir: string, acked: readonly string[]): Promise<Answer> {
    this.#child ??= new Child(this.#command)
    const answer = await this.#child.ask(JSON.stringify({ dir, acked }), this.#timeoutMs)
    if ('died' in answer) this.#child = undefined
    return answer
  }
}

class Child {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #ended: Promise<string>
  #errors = ''
  #answered: ((answer: Answer) => void) | undefined

  constructor(command: readonly string[]) {
    const [program = '', ...args] = command
    // LMDB_RESTORE: an image stands for a machine that was started anew. Without it lmdb-js sees
    // the boot id it wrote itself and trusts what was never synced, as it may after the end of a
    // process.
    const env = { ...process.env, LMDB_RESTORE: 'safe' }
    this.#process = spawn(program, args, { stdio: 'pipe', env })
    this.#process.stdin.on('error', () => undefined)
    this.#process.stderr.on('data', (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString('utf8')).slice(-2_000)
    })
    this.#ended = new Promise((resolve) => {
      this.#process.once('error', (error) => resolve(error.message))
      this.#process.once('close', (code, signal) => resolve(`${signal ?? code} ${this.#errors}`))
    })
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.#answered?.(asAnswer(line))
    })
  }

  async ask(request: string, timeoutMs: number): Promise<Answer> {
    let timer: NodeJS.Timeout | undefined
    const answered = new Promise<Answer>((resolve) => (this.#answered = resolve))
    const late = new Promise<Answer>((resolve) => {
      timer = setTimeout(() => {
        this.#process.kill('SIGKILL')
        resolve({ died: `no answer within ${timeoutMs} ms` })
      }, timeoutMs)
    })
    this.#process.stdin.write(`${request}\n`)
    const ended = this.#ended.then((how): Answer => ({ died: how.trim() }))
    return Promise.race([answered, ended, late]).finally(() => clearTimeout(timer))
  }

  async close(): Promise<void> {
    this.#process.stdin.end()
    await this.#ended
  }
}

function asAnswer(line: string): Answer {
  const answer: unknown = JSON.parse(line)
  const violations =
    typeof answer === 'object' && answer !== null && 'violations' in answer
      ? answer.violations
      : undefined
  if (!Array.isArray(violations)) return { died: `an answer that is none: ${line.slice(0, 200)}` }
  return { violations: violations.map(String) }
}
