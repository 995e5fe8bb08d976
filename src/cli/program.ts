/** The whole command line as a tree: for the parser, the REPL and the completion scripts. */
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { EXIT_HELP } from './exit-codes.ts'
import { assistCommands } from './program/assist-commands.ts'
import { backupCommands } from './program/backup-commands.ts'
import { fileCommands } from './program/file-commands.ts'
import { labCommands } from './program/lab-commands.ts'
import { logCommands } from './program/log-commands.ts'
import { wantsJson } from './shell-from.ts'
import type { GlobalOptions, Parts, Run } from './program/parts.ts'
import { readCommands } from './program/read-commands.ts'
import { serverCommands } from './program/server-commands.ts'
import { settingsCommands } from './program/settings-commands.ts'
import { tableCommands } from './program/table-commands.ts'
import { tokenCommands } from './program/token-commands.ts'
import { writeCommands } from './program/write-commands.ts'

const GROUPS: readonly ((parts: Parts) => void)[] = [
  readCommands,
  writeCommands,
  tableCommands,
  fileCommands,
  backupCommands,
  serverCommands,
  labCommands,
  logCommands,
  tokenCommands,
  settingsCommands,
  assistCommands,
]

/**
 * The program, its commands loaded only when one runs. `line` is what was typed, without the name of
 * the program. Parsing throws CommanderError, as commander's `exitOverride` says.
 */
export function buildProgram(run: Run, line: readonly string[]): Command {
  const program = new Command('holdfast')
    // What is wrong with the line is in the error that parsing throws, for who wants it as JSON.
    .configureOutput(wantsJson(line) ? { writeErr: () => undefined } : {})
    .description('A distributed data system for TypeScript: here, a database in a folder.')
    .option('--dir <folder>', 'the folder with the data (default ./data; HOLDFAST_DIR)')
    .option('--url <url>', 'a server instead of a folder (HOLDFAST_URL)')
    .option(
      '--context <context>',
      'a folder or URL by its name: holdfast context (HOLDFAST_CONTEXT)',
    )
    .option('--token <token>', 'for --url; better HOLDFAST_TOKEN, which other users cannot see')
    .option('--json', 'data as JSON on stdout, errors as JSON on stderr (HOLDFAST_JSON=1)')
    .option('--no-color', 'no colors (NO_COLOR does the same)')
    .option('--no-input', 'never ask (HOLDFAST_NO_INPUT=1)')
    .version(version(), '-V, --version', 'the version of holdfast and of Node')
    .addHelpText('after', EXIT_HELP)
    .exitOverride()
    .showHelpAfterError('(holdfast --help shows all commands)')
  const parts: Parts = {
    program,
    run: (work) => run(work, program.opts<GlobalOptions>()),
    line,
    build: buildProgram,
  }
  for (const group of GROUPS) group(parts)
  return program
}

/** Of the package that this file is in. */
function version(): string {
  const path = new URL('../../package.json', import.meta.url)
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string }
  return `holdfast ${manifest.version}, Node ${process.versions.node}`
}
