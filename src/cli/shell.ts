/** What a command has of the terminal it runs in: data to stdout, everything else to stderr. */
import { createColors } from 'picocolors'
import { isHoldfastError } from '../core/errors.ts'
import { stringifyWire, toWire, type Value } from '../core/wire.ts'
import { Interrupted, UsageError } from './exit-codes.ts'

export interface ShellOptions {
  /** Absolute. */
  readonly dir: string
  readonly json: boolean
  readonly color: boolean
  /** The file that runs the command, to start others of it. */
  readonly mainFile: string
  /** Aborted when the user stops the command, or nobody reads its output any more. */
  readonly signal: AbortSignal
}

export class Shell {
  readonly dir: string
  readonly json: boolean
  readonly mainFile: string
  readonly signal: AbortSignal
  readonly paint: ReturnType<typeof createColors>
  readonly isTerminal = process.stderr.isTTY
  readonly #stdout = process.stdout
  readonly #stderr = process.stderr

  constructor({ dir, json, color, mainFile, signal }: ShellOptions) {
    this.dir = dir
    this.json = json
    this.mainFile = mainFile
    this.signal = signal
    this.paint = createColors(color)
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
      this.#stdout.once('drain', resolve)
      this.signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  /** A value in wire form, on one line. */
  outJson(value: unknown): Promise<void> {
    return this.out(stringifyWire(value as Value))
  }

  /** Anything but data. */
  say(text = ''): void {
    this.#stderr.write(`${text}\n`)
  }

  error(error: unknown): void {
    const lines = this.json ? [JSON.stringify(errorJson(error))] : this.#errorLines(error)
    this.say(lines.join('\n'))
  }

  #errorLines(error: unknown): string[] {
    const { red, dim } = this.paint
    if (error instanceof Interrupted) {
      return error.hint === undefined ? ['interrupted'] : ['interrupted', error.hint]
    }
    if (error instanceof UsageError) {
      return [`${red('error')} Usage: ${error.message}`, 'try: holdfast --help']
    }
    if (!isHoldfastError(error)) return [`${red('error')} ${text(error)}`]
    const lines = [`${red('error')} ${error.code}: ${error.message}`]
    if (error.cause !== undefined) lines.push(dim(`cause: ${text(error.cause)}`))
    lines.push(`applied: ${error.applied}`)
    lines.push(`try: ${nextCommand(error.details) ?? error.advice}`)
    return lines
  }
}

/** Errors of the command may name the command that helps. */
function nextCommand(details: Readonly<Record<string, unknown>>): string | undefined {
  return typeof details['next'] === 'string' ? details['next'] : undefined
}

function errorJson(error: unknown): unknown {
  if (isHoldfastError(error)) {
    const { details, cause } = error
    return {
      error: {
        ...error.toJSON(),
        details: wireOr(details),
        cause: cause === undefined ? undefined : text(cause),
      },
    }
  }
  const code = error instanceof UsageError ? 'Usage' : 'Interrupted'
  const isOurs = error instanceof UsageError || error instanceof Interrupted
  return { error: { code: isOurs ? code : 'Error', message: text(error) } }
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
