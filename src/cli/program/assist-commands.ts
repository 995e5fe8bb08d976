/** Commands that help at the terminal: init, completion, the REPL. */
import { Argument, Option } from 'commander'
import type { ShellName } from '../commands/completion.ts'
import type { InitOptions } from '../commands/init.ts'
import type { GlobalOptions, Parts } from './parts.ts'

const TEMPLATES = ['notes', 'shop', 'events']
const SHELLS: readonly ShellName[] = ['bash', 'zsh', 'fish']

export function assistCommands({ program, run, line, build }: Parts): void {
  program
    .command('init [folder]')
    .description('a new project that runs: asks three questions, or takes the options')
    .option('--name <name>', "the package's name (default: the folder's)")
    .addOption(new Option('--template <template>', 'what it starts from').choices(TEMPLATES))
    .option('--http', 'serves the database over HTTP too')
    .option('--no-http', 'embedded only')
    .action((folder: string | undefined, options: InitOptions) =>
      run(async (shell) =>
        (await import('../commands/init.ts')).initCommand(shell, folder, options),
      ),
    )
  program
    .command('repl')
    .description('commands line by line, with history and completion; or from a file or a pipe')
    .action(() =>
      run(async (shell) => {
        const { replCommand } = await import('../commands/repl.ts')
        return replCommand(shell, build, program.opts<GlobalOptions>())
      }),
    )
  program
    .command('completion')
    .description('a script that completes commands, tables, fields and indexes by Tab')
    .addArgument(new Argument('<shell>', 'which shell it is for').choices(SHELLS))
    .action((name: ShellName) =>
      run(async (shell) => {
        const { completionCommand } = await import('../commands/completion.ts')
        return completionCommand(shell, program, name)
      }),
    )
  program
    .command('__complete', { hidden: true })
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() =>
      run(async (shell) => {
        const { completeCommand } = await import('../commands/completion.ts')
        return completeCommand(shell, program, line.slice(line.indexOf('__complete') + 1))
      }),
    )
}
