/** Commands about the tokens that the HTTP API is used with. */
import { InvalidArgumentError, Option } from 'commander'
import type { CreateTokenOptions } from '../commands/token.ts'
import type { Parts } from './parts.ts'

const SCOPES = ['read', 'write', 'operate']
const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

export function tokenCommands({ program, run }: Parts): void {
  const token = program
    .command('token')
    .description('tokens for the HTTP API: create, list, rotate, revoke')
  token
    .command('list', { isDefault: true })
    .description('all tokens, without their secrets')
    .action(() =>
      run(async (shell) => (await import('../commands/token.ts')).tokenListCommand(shell)),
    )
  token
    .command('create <name>')
    .description('makes a token and shows it, this once')
    .addOption(
      new Option('--scope <scope...>', 'what it may do; each may what those before it may')
        .choices(SCOPES)
        .default(['read']),
    )
    .option('--expires <duration>', 'when it ends: 90s, 30m, 12h, 30d (default: never)', duration)
    .action((name: string, options: CreateTokenOptions) =>
      run(async (shell) =>
        (await import('../commands/token.ts')).tokenCreateCommand(shell, name, options),
      ),
    )
  token
    .command('rotate <id>')
    .description('gives a token a new secret and shows it, this once')
    .option(
      '--grace <duration>',
      'how long the old one goes on, such as 1h (default: not)',
      duration,
    )
    .action((id: string, options: { readonly grace?: number }) =>
      run(async (shell) =>
        (await import('../commands/token.ts')).tokenRotateCommand(shell, id, options),
      ),
    )
  token
    .command('revoke <id>')
    .description('ends a token')
    .action((id: string) =>
      run(async (shell) => (await import('../commands/token.ts')).tokenRevokeCommand(shell, id)),
    )
}

/** Milliseconds. */
function duration(text: string): number {
  const [, number, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  const ms = Number(number) * (UNIT_MS[unit as keyof typeof UNIT_MS] ?? Number.NaN)
  if (!(ms > 0)) throw new InvalidArgumentError('It is a duration such as 90s, 30m, 12h or 30d.')
  return ms
}
