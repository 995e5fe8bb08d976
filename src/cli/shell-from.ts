/** The shell for one command line: what its options and the environment say of output and input. */
import type { GlobalOptions } from './program/parts.ts'
import type { Session } from './session.ts'
import { resolveSettings } from './settings/resolve.ts'
import { Shell } from './shell.ts'

export interface ShellBase {
  /** The file that runs the command, to start others of it. */
  readonly mainFile: string
  readonly signal: AbortSignal
  readonly session?: Session | undefined
}

interface Choice {
  readonly value: boolean
  readonly origin: string
}

export function shellFrom(options: GlobalOptions, base: ShellBase): Shell {
  const { env } = process
  const json = chosen(options.json, '--json', 'HOLDFAST_JSON')
  const noInput = chosen(options.input === false, '--no-input', 'HOLDFAST_NO_INPUT')
  const color = colorChoice(options)
  const input = { value: !noInput.value, origin: noInput.origin }
  return new Shell({
    ...base,
    settings: () => resolveSettings(options, env),
    json: json.value,
    color: color.value,
    input: input.value,
    outputSettings: Object.entries({ json, color, input }).map(([name, { value, origin }]) => ({
      name,
      value: String(value),
      origin,
    })),
  })
}

/** Whether a line that could not be read asks for JSON. */
export function wantsJson(line: readonly string[]): boolean {
  return chosen(line.includes('--json'), '--json', 'HOLDFAST_JSON').value
}

function chosen(flag: boolean | undefined, option: string, variable: string): Choice {
  if (flag === true) return { value: true, origin: option }
  const text = process.env[variable]
  if (text === undefined || text === '') return { value: false, origin: 'default' }
  return { value: text !== '0' && text !== 'false', origin: variable }
}

function colorChoice(options: GlobalOptions): Choice {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env
  if (options.color === false) return { value: false, origin: '--no-color' }
  if (NO_COLOR !== undefined && NO_COLOR !== '') return { value: false, origin: 'NO_COLOR' }
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== '' && FORCE_COLOR !== '0') {
    return { value: true, origin: 'FORCE_COLOR' }
  }
  // Undefined when it is a pipe, and picocolors would then decide by itself (in CI, for colors).
  const isTerminal = Boolean(process.stdout.isTTY) && TERM !== 'dumb'
  return { value: isTerminal, origin: 'the terminal' }
}
