/** Commands that copy a database away and back. */
import type { BackupCreateOptions, BackupVerifyOptions } from '../commands/backup.ts'
import type { RestoreCommandOptions } from '../commands/restore.ts'
import { whole, type Parts } from './parts.ts'

const FOLDER = './backups'
const SCRATCH = "where there is room to restore into for a while (default: the system's)"

export function backupCommands({ program, run }: Parts): void {
  const backup = program.command('backup').description('backups: made while writes go on')
  backup
    .command('create')
    .description('one moment of the database; in a folder it goes on from the backup before')
    .option('--to <folder>', 'a folder for backups, or - for stdout', FOLDER)
    .option('--full', 'everything, even where what was written since the last would do')
    .option('--after <position>', 'with --to -: only what was written behind this position', whole)
    .option('--progress', 'progress even when stderr is no terminal')
    .option('--no-progress', 'no progress')
    .action((options: BackupCreateOptions) =>
      run(async (shell) =>
        (await import('../commands/backup.ts')).backupCreateCommand(shell, options),
      ),
    )
  backup
    .command('list')
    .description('what backups there are, and what moment each is of')
    .option('--from <folder>', 'the folder with the backups', FOLDER)
    .action((options: { from: string }) =>
      run(async (shell) =>
        (await import('../commands/backup.ts')).backupListCommand(shell, options),
      ),
    )
  backup
    .command('verify')
    .description('proves backups: reads every part, restores, checks and compares')
    .option('--from <folder>', 'the folder with the backups, or - for stdin', FOLDER)
    .option('--backup <id>', 'the backup to restore (default: the one made last)')
    .option('--scratch <folder>', SCRATCH)
    .option('--progress', 'progress even when stderr is no terminal')
    .option('--no-progress', 'no progress')
    .action((options: BackupVerifyOptions) =>
      run(async (shell) =>
        (await import('../commands/backup.ts')).backupVerifyCommand(shell, options),
      ),
    )
  program
    .command('restore')
    .description('a backup into an empty folder (--dir), or one table under another name')
    .option('--from <folder>', 'the folder with the backups, or - for stdin', FOLDER)
    .option('--at <moment>', 'a position, or a time such as 2026-11-22T10:00:00Z')
    .option(
      '--backup <id>',
      'the end of this backup, or with --at a moment before it (default: the one made last)',
    )
    .option('--table <table>', 'only this table, into the database there is')
    .option('--as <name>', 'with --table: the name that it gets')
    .option('--scratch <folder>', SCRATCH)
    .option('--progress', 'progress even when stderr is no terminal')
    .option('--no-progress', 'no progress')
    .action((options: RestoreCommandOptions) =>
      run(async (shell) => (await import('../commands/restore.ts')).restoreCommand(shell, options)),
    )
}
