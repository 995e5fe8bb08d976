/** Commands about the command's own configuration. */
import type { ContextOptions } from '../commands/context.ts'
import type { Parts } from './parts.ts'

export function settingsCommands({ program, run }: Parts): void {
  const context = program
    .command('context')
    .description('folders and URLs by names: what commands work on')
  context
    .command('list', { isDefault: true })
    .description('all contexts, the one in use marked')
    .action(() => run(async (shell) => (await import('../commands/context.ts')).listCommand(shell)))
  context
    .command('add <name>')
    .description('names a folder or a URL, given by --dir or --url, and a token for it')
    .option('--token-file <file>', 'a file with the token, read at each command')
    .option('--use', 'and uses it from now on (the first one is used anyway)')
    .option('--force', 'also when there is a context of this name')
    .action((name: string, options: ContextOptions) =>
      run(async (shell) => {
        const { addCommand } = await import('../commands/context.ts')
        return addCommand(shell, name, { ...options, ...program.opts() })
      }),
    )
  context
    .command('use <context>')
    .description('what commands work on from now on')
    .action((name: string) =>
      run(async (shell) => (await import('../commands/context.ts')).useCommand(shell, name)),
    )
  context
    .command('show [context]')
    .description('one context, by default the one in use')
    .action((name: string | undefined) =>
      run(async (shell) => (await import('../commands/context.ts')).showCommand(shell, name)),
    )
  context
    .command('remove <context>')
    .description('forgets it; what it names stays as it is')
    .action((name: string) =>
      run(async (shell) => (await import('../commands/context.ts')).removeCommand(shell, name)),
    )
  const config = program.command('config').description('what the command goes by')
  config
    .command('show', { isDefault: true })
    .description('each setting and its value')
    .option('--origin', 'and where it comes from')
    .action((options: { readonly origin?: boolean }) =>
      run(async (shell) =>
        (await import('../commands/config.ts')).configShowCommand(shell, options),
      ),
    )
}
