/** What a command has of the terminal it runs in: data to stdout, everything else to stderr. */
import { createColors } from 'picocolors'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { stringifyWire, toWire, type Value } from '../core/wire.ts'
import { Interrupted, UsageError } from './exit-codes.ts'
import { nextCommand } from './next-command.ts'
import { printable, printableLines } from './printable.ts'
import type { Session } from './session.ts'
import type { Setting, Settings, Target } from './settings/resolve.ts'

const ERROR_ADVICE = 'Mend what the message names, and run it again.'

export interface ShellOptions {
  /** What the command line, the environment and files say; asked when it is needed first. */
  readonly settings: () => Settings
  readonly json: boolean
  readonly color: boolean
  /** Whether it may ask. Default true; it asks on a terminal alone. */
  readonly input?: boolean | undefined
  /** Where `json`, `color` and `input` come from. */
  readonly outputSettings?: readonly Setting[] | undefined
  /** A session that is open already, and stays open: the REPL's. */
  readonly session?: Session | undefined
  /** The file that runs the command, to start others of it. */
  readonly mainFile: string
  /** Aborted when the user stops the command, or nobody reads its output any more. */
  readonly signal: AbortSignal
}

export class Shell {
  readonly json: boolean
  readonly mainFile: string
  readonly signal: AbortSignal
  readonly session: Session | undefined
  readonly paint: ReturnType<typeof createColors>
  readonly isTerminal = Boolean(process.stderr.isTTY)
  readonly #stdout = process.stdout
  readonly #stderr = process.stderr
  readonly #readSettings: () => Settings
  readonly #mayAsk: boolean
  readonly #outputSettings: readonly Setting[]
  #settings: Settings | undefined

  constructor(options: ShellOptions) {
    const { settings, json, color, input, session, mainFile, signal } = options
    this.#readSettings = settings
    this.#outputSettings = options.outputSettings ?? []
    this.json = json
    this.#mayAsk = input !== false
    this.session = session
    this.mainFile = mainFile
    this.signal = signal
    this.paint = createColors(color)
  }

  /** @throws HoldfastError `InvalidConfig`; UsageError */
  get settings(): Settings {
    return (this.#settings ??= this.#readSettings())
  }

  get target(): Target {
    return this.settings.target
  }

  /** The folder, absolute. Throws `Unsupported` where the command works on a URL. */
  get dir(): string {
    const { target } = this
    if (target.kind === 'folder') return target.dir
    throw noFolderError(target.url)
  }

  /** How it prints and asks, in the form of settings. */
  get outputSettings(): readonly Setting[] {
    return this.#outputSettings
  }

  /** Whether there is somebody to ask, and they want to be. */
  get canAsk(): boolean {
    return this.#mayAsk && Boolean(process.stdin.isTTY) && this.isTerminal
  }

  /** Width of the terminal that the data goes to; undefined when it goes elsewhere. */
  get columns(): number | undefined {
    return this.#stdout.isTTY ? this.#stdout.columns : undefined
  }

  get stdout(): NodeJS.WriteStream {
    return this.#stdout
  }

  get stderr(): NodeJS.WriteStream {
    return this.#stderr
  }

  /** Data, with a line's end. Resolves when there is room for more. */
  async out(text: string): Promise<void> {
    this.signal.throwIfAborted()
    if (this.#stdout.write(`${text}\n`)) return
    await new Promise<void>((resolve) => {
      const go = (): void => {
        this.#stdout.off('drain', go)
        this.signal.removeEventListener('abort', go)
        resolve()
      }
      this.#stdout.on('drain', go)
      this.signal.addEventListener('abort', go)
    })
  }

  /** A value in wire form, on one line. */
  outJson(value: unknown): Promise<void> {
    const json = stringifyWire(value as Value)
    return this.out(this.columns === undefined ? json : printable(json))
  }

  /** Anything but data. */
  say(text = ''): void {
    this.#stderr.write(`${text}\n`)
  }

  error(error: unknown): void {
    if (this.json) this.say(JSON.stringify(errorJson(error)))
    else this.say(this.#errorLines(error).join('\n'))
  }

  #errorLines(error: unknown): string[] {
    const { red, dim } = this.paint
    if (error instanceof Interrupted) {
      return error.hint === undefined
        ? ['interrupted']
        : ['interrupted', printableLines(error.hint)]
    }
    if (error instanceof UsageError) {
      return [`${red('error')} Usage: ${printableLines(error.message)}`, 'try: holdfast --help']
    }
    if (!isHoldfastError(error)) return [`${red('error')} ${printableLines(text(error))}`]
    const lines = [`${red('error')} ${error.code}: ${printableLines(error.message)}`]
    if (error.cause !== undefined) lines.push(dim(`cause: ${printableLines(text(error.cause))}`))
    lines.push(`applied: ${error.applied}`)
    lines.push(`try: ${printableLines(nextCommand(error) ?? error.advice)}`)
    return lines
  }
}

export function noFolderError(url: string): HoldfastError {
  return new HoldfastError('Unsupported', `this works on a folder, and ${url} is a URL`, {
    details: { next: 'run it where the folder is, with --dir FOLDER' },
  })
}

/** The shape that docs/CLI.md promises of every error; `name` is the class's. */
function errorJson(error: unknown): unknown {
  if (isHoldfastError(error)) {
    const { details, cause } = error
    return {
      error: {
        ...error.toJSON(),
        next: nextCommand(error),
        details: wireOr(details),
        cause: cause === undefined ? undefined : text(cause),
      },
    }
  }
  if (error instanceof UsageError) return usageJson(error.message)
  // What was written before it stays written.
  const more = { applied: 'unknown', message: text(error), details: {} }
  if (error instanceof Interrupted) {
    const advice = error.hint ?? 'Run it again.'
    return { error: { code: 'Interrupted', kind: 'retryable', ...more, advice, next: error.hint } }
  }
  return { error: { code: 'Error', kind: 'bug', ...more, advice: ERROR_ADVICE } }
}

/** Of a line that no command could be made of. */
export function usageJson(message: string): unknown {
  const [kind, applied, advice] = ['rejected', 'no', 'Correct the command line.']
  const next = 'holdfast --help'
  return { error: { code: 'Usage', kind, applied, message, advice, next, details: {} } }
}

function wireOr(value: unknown): unknown {
  try {
    return toWire(value as Value)
  } catch {
    return {}
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
