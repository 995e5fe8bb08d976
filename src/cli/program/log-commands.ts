/** Commands that have a database go on under another log. */
import type { AdoptCommandOptions } from '../commands/adopt.ts'
import type { RefoundCommandOptions } from '../commands/refound.ts'
import { natsOptions, type Parts } from './parts.ts'

export function logCommands({ program, run }: Parts): void {
  const adopt = program
    .command('adopt')
    .description("carries the folder's database to a cluster, which goes on with it")
    .requiredOption('--cluster <urls>', 'the NATS servers')
    .option('--database <name>', 'its name there (default holdfast)')
  natsOptions(adopt).action((options: AdoptCommandOptions) =>
    run(async (shell) => (await import('../commands/adopt.ts')).adoptCommand(shell, options)),
  )
  const refound = program
    .command('refound')
    .description('founds the log of a cluster anew from the folders of its stopped nodes')
    .requiredOption('--cluster <urls>', 'the NATS servers')
    .option('--database <name>', 'of the cluster (default holdfast)')
    .requiredOption('--node <folder...>', 'the folders of its nodes')
    .option(
      '--accept-loss <node...>',
      "nodes whose writes may be lost, by their ids; 'log': the old log's own",
    )
  natsOptions(refound).action((options: RefoundCommandOptions) =>
    run(async (shell) => (await import('../commands/refound.ts')).refoundCommand(shell, options)),
  )
}
