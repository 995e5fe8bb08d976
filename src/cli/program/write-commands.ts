/** Commands that change rows. */
import type { UpdateOptions } from '../commands/update.ts'
import type { WriteOptions } from '../commands/put.ts'
import type { Parts } from './parts.ts'

const KEY_OPTION = [
  '--idempotency-key <text>',
  'makes the command exactly once however often it is run',
] as const

export function writeCommands({ program, run }: Parts): void {
  program
    .command('put <table> <row...>')
    .description(
      'stores a row: JSON, field=value ..., @FILE or - (stdin); overwrites the one there',
    )
    .option(...KEY_OPTION)
    .action((table: string, row: string[], options: WriteOptions) =>
      run(async (shell) =>
        (await import('../commands/put.ts')).putCommand(shell, 'put', table, row, options),
      ),
    )
  program
    .command('insert <table> <row...>')
    .description('stores a row that is not there yet (exit 4 when it is)')
    .option(...KEY_OPTION)
    .action((table: string, row: string[], options: WriteOptions) =>
      run(async (shell) =>
        (await import('../commands/put.ts')).putCommand(shell, 'insert', table, row, options),
      ),
    )
  program
    .command('update <table> <key...>')
    .description('changes fields of a row, all at once or none')
    .option('--set <field=value...>', 'field=value as it looks, or field:=JSON exactly')
    .option('--unset <field...>', 'removes fields')
    .option('--increment <field=value...>', 'adds to numbers')
    .option('--decrement <field=value...>', 'takes from numbers')
    .option('--min <field=value...>', 'keeps the lesser of what is there and this')
    .option('--max <field=value...>', 'keeps the greater')
    .option('--append <field=value...>', 'adds to the end of arrays')
    .option('--create <row>', 'the row to start from when there is none: JSON')
    .option(...KEY_OPTION)
    .action((table: string, key: string[], options: UpdateOptions) =>
      run(async (shell) =>
        (await import('../commands/update.ts')).updateCommand(shell, table, key, options),
      ),
    )
  program
    .command('delete <table> <key...>')
    .description('deletes a row by its key (exit 1 when there is none)')
    .option(...KEY_OPTION)
    .action((table: string, key: string[], options: WriteOptions) =>
      run(async (shell) =>
        (await import('../commands/delete.ts')).deleteCommand(shell, table, key, options),
      ),
    )
}
