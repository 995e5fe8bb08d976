/** Commands that read. */
import { Option } from 'commander'
import type { QueryOptions } from '../commands/query.ts'
import type { ScanOptions } from '../commands/scan.ts'
import type { StatusOptions } from '../commands/status.ts'
import type { WatchOptions } from '../commands/watch.ts'
import { list, whole, type Parts } from './parts.ts'

export function readCommands(parts: Parts): void {
  rowCommands(parts)
  queryCommands(parts)
  stateCommands(parts)
}

function rowCommands({ program, run }: Parts): void {
  program
    .command('get <table> <key...>')
    .description('one row by its key; several parts are a tuple (exit 1 when there is none)')
    .action((table: string, key: string[]) =>
      run(async (shell) => (await import('../commands/get.ts')).getCommand(shell, table, key)),
    )
}

function queryCommands({ program, run }: Parts): void {
  program
    .command('query <table>')
    .description('rows in the order of the key or of an index, or groups of them')
    .option('--index <index>', 'in the order of this index; bounds are then on its value')
    .option('--eq <value>', 'rows with this key or value')
    .option('--gt <value>', 'above it')
    .option('--gte <value>', 'from it on')
    .option('--lt <value>', 'below it')
    .option('--lte <value>', 'up to it')
    .option('--prefix <text>', 'strings that begin with it, or tuples (a JSON array)')
    .option('--reverse', 'from the end to the start')
    .option('--limit <n>', 'rows at the most (default 20 for people, none with --json)', whole)
    .option('--where <field=value...>', 'also != < <= > >=; checked while scanning')
    .option('--fields <fields>', 'only these fields, with commas between them', list)
    .option('--cursor <cursor>', '`start`, or what the page before said: pages of one snapshot')
    .option('--count', 'how many there are, instead of the rows')
    .option('--group <field>', 'groups of rows with the same value of the field')
    .option('--avg <field>', 'of each group the average of this field, the greatest first')
    .option('--min-rows <n>', 'only groups of at least so many rows', whole)
    .option('--join <table>', 'with the row of this table whose key the group is')
    .action((table: string, options: QueryOptions) =>
      run(async (shell) =>
        (await import('../commands/query.ts')).queryCommand(shell, table, options),
      ),
    )
  program
    .command('scan <table>')
    .description('a whole table in the order of its key, row by row as it comes')
    .option('--prefix <text>', 'keys that begin with it, or tuples (a JSON array)')
    .option('--reverse', 'from the end to the start')
    .option('--limit <n>', 'rows at the most', whole)
    .option('--where <field=value...>', 'also != < <= > >=')
    .option('--fields <fields>', 'only these fields, with commas between them', list)
    .action((table: string, options: ScanOptions) =>
      run(async (shell) =>
        (await import('../commands/scan.ts')).scanCommand(shell, table, options),
      ),
    )
}

function stateCommands({ program, run }: Parts): void {
  program
    .command('watch <table>')
    .description('changes of rows as they happen, until Ctrl-C')
    .addOption(
      new Option('--from <place>', 'now on; the rows there are first; or the oldest change kept')
        .choices(['now', 'snapshot', 'start'])
        .conflicts('after'),
    )
    .option('--after <token>', 'what came after this token: that of a change, or of a write')
    .option('--limit <n>', 'ends after so many', whole)
    .action((table: string, options: WatchOptions) =>
      run(async (shell) =>
        (await import('../commands/watch.ts')).watchCommand(shell, table, options),
      ),
    )
  program
    .command('status')
    .description('nodes, log, what is survived now, what is wrong and what to do')
    .option('--watch', 'goes on, once a second, until Ctrl-C')
    .action((options: StatusOptions) =>
      run(async (shell) => (await import('../commands/status.ts')).statusCommand(shell, options)),
    )
  program
    .command('stats')
    .description('tables, rows, bytes, indexes, position, and who has the folder open')
    .action(() => run(async (shell) => (await import('../commands/stats.ts')).statsCommand(shell)))
  program
    .command('check')
    .description('whether what is stored is what was written, down to the last key')
    .action(() => run(async (shell) => (await import('../commands/check.ts')).checkCommand(shell)))
  program
    .command('check-child', { hidden: true })
    .action(() =>
      run(async ({ dir }) => (await import('../commands/check-child.ts')).checkChildCommand(dir)),
    )
}
