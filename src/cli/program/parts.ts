/**
 * What the groups of commands are made of. The tree is the one description of the command line: the
 * parser, `--help`, the REPL and the completion scripts read it. What an argument or an option's
 * value stands for is in its name:
 *
 *   <table> <index> <field> <fields>   names in the database; <fields> with commas between them
 *   <file> <folder>                    paths
 *   <context>                          a name of the user's configuration
 *   <field=value>                      a field's name, then `=` and a value
 *
 * and `choices` of an argument or an option are complete.
 */
import { InvalidArgumentError, type Command } from 'commander'
import type { Shell } from '../shell.ts'

/** Options that stand before or behind any command's name. */
export interface GlobalOptions {
  readonly dir?: string | undefined
  readonly url?: string | undefined
  readonly context?: string | undefined
  readonly token?: string | undefined
  readonly json?: boolean | undefined
  /** False: no colors. */
  readonly color?: boolean | undefined
  /** False: never ask. */
  readonly input?: boolean | undefined
}

export type Work = (shell: Shell) => Promise<number>

/** Runs one command with a shell made of the options given, and keeps what it ends with. */
export type Run = (work: Work, options: GlobalOptions) => Promise<void>

/** As `buildProgram` of program.ts, which the groups cannot import. */
export type BuildProgram = (run: Run, line: readonly string[]) => Command

export interface Parts {
  readonly program: Command
  /** Runs a command's work with the global options of this line. */
  readonly run: (work: Work) => Promise<void>
  /** The line as it was typed, the command's name included. */
  readonly line: readonly string[]
  /** Makes the tree anew, for another line: the REPL's. */
  readonly build: BuildProgram
}

/** Who a node is to the NATS servers of `--cluster`, and whom it trusts there. */
export function natsOptions(command: Command): Command {
  return command
    .option('--nats-user <name>', 'who this is to them; the password is in HOLDFAST_NATS_PASSWORD')
    .option('--nats-password-file <file>', 'or in a file')
    .option('--nats-token-file <file>', 'or a token, in a file or HOLDFAST_NATS_TOKEN')
    .option('--nats-nkey-file <file>', 'or the seed of an NKey, in a file or HOLDFAST_NATS_NKEY')
    .option('--nats-creds <file>', 'or a credentials file: JWT and seed')
    .option('--nats-tls', 'TLS or nothing')
    .option('--nats-ca <file>', 'TLS with servers that this certificate vouches for (PEM)')
    .option('--nats-cert <file>', "and this node's own certificate (PEM)")
    .option('--nats-key <file>', 'and its private key')
    .option('--nats-inbox <prefix>', 'subjects that answers come back on')
}

/** A whole number, from 0. */
export function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It is a whole number.')
  return Number(text)
}

/** Names with commas between them. */
export function list(text: string): string[] {
  const names = text.split(',')
  if (names.includes('')) throw new InvalidArgumentError('It is names with commas between them.')
  return names
}
