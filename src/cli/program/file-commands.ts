/** Commands between files and tables. */
import { Option } from 'commander'
import type { ExportOptions } from '../commands/export.ts'
import type { ImportOptions } from '../commands/import.ts'
import { list, whole, type Parts } from './parts.ts'

const FORMATS = ['csv', 'ndjson', 'json', 'parquet']

export function fileCommands({ program, run }: Parts): void {
  program
    .command('import <table> <file>')
    .description('a file into a table; run again, it goes on where it stopped')
    .addOption(formatOption())
    .option('--key <fields>', 'the field that is the key, or several with commas', list)
    .option('--row-number <field>', 'a field for the number of the row in the file, from 1')
    .option('--create', 'make the table, or add indexes to it')
    .option('--index <spec...>', 'with --create: name=field or name=field,field')
    .option('--limit <n>', 'records read at the most', whole)
    .addOption(
      new Option('--mode <mode>', 'put overwrites rows, insert rejects those that are there')
        .choices(['put', 'insert'])
        .default('put'),
    )
    .option('--rejects <file>', 'where bad records go (default: FILE.rejects.ndjson)')
    .option('--progress', 'progress even when stderr is no terminal')
    .option('--no-progress', 'no progress')
    .option('--again', 'import again what was imported before')
    .action((table: string, file: string, options: ImportOptions) =>
      run(async (shell) =>
        (await import('../commands/import.ts')).importCommand(shell, table, file, options),
      ),
    )
  program
    .command('export <table> <file>')
    .description('a table as of one moment to a file, or to stdout (-)')
    .addOption(formatOption())
    .option('--progress', 'progress even when stderr is no terminal')
    .option('--no-progress', 'no progress')
    .action((table: string, file: string, options: ExportOptions) =>
      run(async (shell) =>
        (await import('../commands/export.ts')).exportCommand(shell, table, file, options),
      ),
    )
}

function formatOption(): Option {
  return new Option('--format <format>', 'default: what the file name ends in').choices(FORMATS)
}
