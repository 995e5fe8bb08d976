/** `holdfast`: reads the command line and runs one command, whose code is loaded only then. */
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { EXIT, EXIT_HELP, exitCodeOf, Interrupted } from './exit-codes.ts'
import { Shell } from './shell.ts'
import type { ImportOptions } from './commands/import.ts'
import type { ExportOptions } from './commands/export.ts'
import type { QueryOptions } from './commands/query.ts'
import type { StartOptions } from './commands/start.ts'

interface GlobalOptions {
  readonly dir: string
  readonly json?: boolean
  readonly color: boolean
}

const FORMATS = ['csv', 'ndjson', 'json', 'parquet']

const stopping = new AbortController()
let outputClosed = false
let signalled = false

/** The first Ctrl-C ends a command in order, the second at once. */
function stop(): void {
  if (signalled) process.exit(EXIT.interrupted)
  signalled = true
  stopping.abort(new Interrupted())
}

process.on('SIGINT', stop)
process.on('SIGTERM', stop)
// Nobody reads on, as `head` does when it has enough: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  outputClosed = true
  stopping.abort(new Interrupted())
})
process.stderr.on('error', () => undefined)

function shellOf(options: GlobalOptions): Shell {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env
  const isForced = FORCE_COLOR !== undefined && FORCE_COLOR !== '' && FORCE_COLOR !== '0'
  // Undefined when it is a pipe, and picocolors would then decide by itself (in CI, for colors).
  const isTerminal = Boolean(process.stdout.isTTY) && TERM !== 'dumb'
  const isRefused = !options.color || (NO_COLOR !== undefined && NO_COLOR !== '')
  return new Shell({
    dir: resolve(options.dir),
    json: options.json === true,
    color: !isRefused && (isForced || isTerminal),
    mainFile: fileURLToPath(import.meta.url),
    signal: stopping.signal,
  })
}

function build(finish: (code: number) => void): Command {
  const program = new Command('holdfast')
    .description('A distributed data system for TypeScript: here, a database in a folder.')
    .addOption(
      new Option('--dir <folder>', 'the folder with the data')
        .env('HOLDFAST_DIR')
        .default('./data'),
    )
    .option('--json', 'data as JSON on stdout, errors as JSON on stderr')
    .option('--no-color', 'no colors (NO_COLOR does the same)')
    .option('--no-input', 'never ask (no command does so far)')
    .addHelpText('after', EXIT_HELP)
    .exitOverride()
    .showHelpAfterError('(holdfast --help shows all commands)')
  /** The shell for a command; its options may stand before or behind the command's name. */
  const run = async (work: (shell: Shell) => Promise<number>): Promise<void> => {
    const shell = shellOf(program.opts<GlobalOptions>())
    try {
      finish(await work(shell))
    } catch (error) {
      if (outputClosed) finish(EXIT.ok)
      else if (signalled) {
        shell.error(error instanceof Interrupted ? error : new Interrupted())
        finish(EXIT.interrupted)
      } else {
        shell.error(error)
        finish(exitCodeOf(error))
      }
    }
  }
  addReading(program, run)
  addFiles(program, run)
  addRunning(program, run)
  return program
}

type Run = (work: (shell: Shell) => Promise<number>) => Promise<void>

function addReading(program: Command, run: Run): void {
  program
    .command('get <table> <key...>')
    .description('one row by its key; several parts are a tuple (exit 1 when there is none)')
    .action((table: string, key: string[]) =>
      run(async (shell) => (await import('./commands/get.ts')).getCommand(shell, table, key)),
    )
  program
    .command('query <table>')
    .description('rows in the order of the key or of an index, or groups of them')
    .option('--index <name>', 'in the order of this index; bounds are then on its value')
    .option('--eq <value>', 'rows with this key or value')
    .option('--gt <value>', 'above it')
    .option('--gte <value>', 'from it on')
    .option('--lt <value>', 'below it')
    .option('--lte <value>', 'up to it')
    .option('--prefix <text>', 'strings that begin with it, or tuples (a JSON array)')
    .option('--reverse', 'from the end to the start')
    .option('--limit <n>', 'rows at the most (default 20 for people, none with --json)', whole)
    .option('--where <condition...>', 'field=value, also != < <= > >=; checked while scanning')
    .option('--fields <names>', 'only these fields, with commas between them', list)
    .option('--cursor <cursor>', '`start`, or what the page before said: pages of one snapshot')
    .option('--count', 'how many there are, instead of the rows')
    .option('--group <field>', 'groups of rows with the same value of the field')
    .option('--avg <field>', 'of each group the average of this field, the greatest first')
    .option('--min-rows <n>', 'only groups of at least so many rows', whole)
    .option('--join <table>', 'with the row of this table whose key the group is')
    .action((table: string, options: QueryOptions) =>
      run(async (shell) =>
        (await import('./commands/query.ts')).queryCommand(shell, table, options),
      ),
    )
  program
    .command('stats')
    .description('tables, rows, bytes, indexes, position, and who has the folder open')
    .action(() => run(async (shell) => (await import('./commands/stats.ts')).statsCommand(shell)))
  program
    .command('check')
    .description('whether what is stored is what was written, down to the last key')
    .action(() => run(async (shell) => (await import('./commands/check.ts')).checkCommand(shell)))
  program
    .command('check-child', { hidden: true })
    .action(() =>
      run(async ({ dir }) => (await import('./commands/check-child.ts')).checkChildCommand(dir)),
    )
}

function addFiles(program: Command, run: Run): void {
  const format = (): Option =>
    new Option('--format <format>', 'default: what the file name ends in').choices(FORMATS)
  program
    .command('import <table> <file>')
    .description('a file into a table; run again, it goes on where it stopped')
    .addOption(format())
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
        (await import('./commands/import.ts')).importCommand(shell, table, file, options),
      ),
    )
  program
    .command('export <table> <file>')
    .description('a table as of one moment to a file, or to stdout (-)')
    .addOption(format())
    .option('--progress', 'progress even when stderr is no terminal')
    .option('--no-progress', 'no progress')
    .action((table: string, file: string, options: ExportOptions) =>
      run(async (shell) =>
        (await import('./commands/export.ts')).exportCommand(shell, table, file, options),
      ),
    )
}

function addRunning(program: Command, run: Run): void {
  program
    .command('start')
    .description('opens the folder, imports sample data the first time, serves until Ctrl-C')
    .option('--once', 'exit after the answers')
    .option('--no-sample', 'no sample data')
    .action((options: StartOptions) =>
      run(async (shell) => (await import('./commands/start.ts')).startCommand(shell, options)),
    )
  program
    .command('bench')
    .description('benchmarks, in a source checkout: bench embedded --help')
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() =>
      run(async (shell) => {
        return (await import('./commands/bench.ts')).benchCommand(shell, argumentsOf('bench'))
      }),
    )
  program
    .command('simulate')
    .description('whole nodes under virtual time and injected faults: simulate --help')
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() =>
      run(async (shell) => {
        const { simulateCommand } = await import('./commands/simulate.ts')
        return simulateCommand(shell, argumentsOf('simulate'))
      }),
    )
}

/** All that stands behind the name of a command which reads its options itself. */
function argumentsOf(command: string): string[] {
  return process.argv.slice(process.argv.indexOf(command) + 1)
}

function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It is a whole number.')
  return Number(text)
}

function list(text: string): string[] {
  return text.split(',')
}

async function main(): Promise<void> {
  const finish = (code: number): void => {
    process.exitCode = code
  }
  try {
    await build(finish).parseAsync()
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help that was asked for is no mistake; commander has said what is wrong otherwise.
    finish(error.exitCode === 0 ? EXIT.ok : EXIT.usage)
  }
}

await main()
