/** What the command's exit status says. Documented in docs/CLI.md and in `--help`. */
import { isHoldfastError } from '../core/errors.ts'

export const EXIT = {
  ok: 0,
  error: 1,
  usage: 2,
  unavailable: 3,
  conflict: 4,
  interrupted: 130,
} as const

/** Those of `check`, which are a monitoring plugin's. */
export const CHECK_EXIT = { ok: 0, critical: 2, unknown: 3 } as const

export const EXIT_HELP = `
Exit codes: 0 ok; 1 error; 2 wrong usage or configuration; 3 the folder, its process or the server is
not there or cannot serve; 4 conflict with the data; 130 interrupted. check: 0 ok; 2 critical, problems found; 3 unknown.`

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage
  if (error instanceof Interrupted) return EXIT.interrupted
  if (!isHoldfastError(error)) return EXIT.error
  switch (error.kind) {
    case 'unavailable':
    case 'unknown-outcome':
      return EXIT.unavailable
    case 'conflict':
      return EXIT.conflict
    default:
      break
  }
  if (isHoldfastError(error, 'InvalidConfig')) return EXIT.usage
  const isAway = isHoldfastError(error, 'NoResponder', 'Unreachable', 'ShuttingDown')
  return isAway ? EXIT.unavailable : EXIT.error
}

/** The command line itself is wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The user stopped the command. `hint` says how to go on. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly hint: string | undefined

  constructor(hint?: string) {
    super('interrupted')
    this.hint = hint
  }
}
