/** Commands about tables: what there is, and their definitions. */
import type { AlterOptions, CreateOptions } from '../commands/tables-change.ts'
import type { DropOptions } from '../commands/tables-drop.ts'
import { list, type Parts } from './parts.ts'

export function tableCommands({ program, run }: Parts): void {
  const tables = program.command('tables').description('tables: show, create, alter, drop')
  tables
    .command('show [table]', { isDefault: true })
    .description('all tables, or one with its key and indexes')
    .action((table: string | undefined) =>
      run(async (shell) =>
        (await import('../commands/tables-show.ts')).tablesShowCommand(shell, table),
      ),
    )
  tables
    .command('create <name>')
    .description('makes a table whose rows no schema checks')
    .requiredOption('--key <fields>', 'the field that is the key, or several with commas', list)
    .option('--index <name=field...>', 'an index: name=field, or name=field,field')
    .option('--unique <name=field...>', 'an index whose values no two rows share')
    .option('--dry-run', 'says what it would do, and does nothing')
    .action((name: string, options: CreateOptions) =>
      run(async (shell) =>
        (await import('../commands/tables-change.ts')).tablesCreateCommand(shell, name, options),
      ),
    )
  tables
    .command('alter <table>')
    .description('adds indexes, filling them with the rows there are, and drops indexes')
    .option('--add-index <name=field...>', 'an index: name=field, or name=field,field')
    .option('--add-unique <name=field...>', 'an index whose values no two rows share')
    .option('--drop-index <index...>', 'indexes to drop')
    .option('--progress', 'progress even when stderr is no terminal')
    .option('--no-progress', 'no progress')
    .option('--dry-run', 'says what it would do, and does nothing')
    .action((table: string, options: AlterOptions) =>
      run(async (shell) =>
        (await import('../commands/tables-change.ts')).tablesAlterCommand(shell, table, options),
      ),
    )
  tables
    .command('drop <table>')
    .description('drops a table and its rows; asks for its name first')
    .option('--yes', 'does not ask')
    .option('--dry-run', 'says what it would do, and does nothing')
    .action((table: string, options: DropOptions) =>
      run(async (shell) =>
        (await import('../commands/tables-drop.ts')).tablesDropCommand(shell, table, options),
      ),
    )
}
