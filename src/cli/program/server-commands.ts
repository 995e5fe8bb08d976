/** Commands that go on for long: the server, and the programs beside it. */
import { Option } from 'commander'
import type { StartOptions } from '../commands/start.ts'
import { natsOptions, whole, type Parts } from './parts.ts'

export function serverCommands(parts: Parts): void {
  const { program, run } = parts
  const start = program
    .command('start')
    .description('opens the folder, imports sample data the first time, serves until Ctrl-C')
    .option('--once', 'exit after the answers')
    .option('--no-sample', 'no sample data')
    .option('--cluster <urls>', 'as a node of a cluster, whose log is on these NATS servers')
    .option('--database <name>', 'of the cluster (default holdfast)')
    .option('--node <name>', 'what people call this node (default: the beginning of its id)')
    .option('--monitor <url...>', 'monitoring endpoints of those servers: whether acks are synced')
  natsOptions(start)
    .option('--port <n>', 'of the HTTP API (default 4653; 0 takes a free one)', whole)
    .option('--host <address>', 'to listen on (default 127.0.0.1; others need tokens)')
    .option('--no-http', 'no HTTP: for commands of this machine alone')
    .addOption(
      new Option('--access <who>', 'loopback: whoever is on this machine; or with a token').choices(
        ['loopback', 'tokens'],
      ),
    )
    .option('--tls-cert <file>', 'serves HTTPS with this certificate (PEM), read again on change')
    .option('--tls-key <file>', 'and its private key')
    .option('--allow-origin <origin...>', 'origins whose web pages may use it')
    .option('--allow-host <host...>', 'further values of the Host header')
    .action((options: StartOptions) =>
      run(async (shell) => (await import('../commands/start.ts')).startCommand(shell, options)),
    )
  ownOptions(parts, 'bench', 'benchmarks, in a source checkout: bench --help').action(() =>
    run(async (shell) => {
      const { benchCommand } = await import('../commands/bench.ts')
      return benchCommand(shell, argumentsOf(parts, 'bench'))
    }),
  )
  ownOptions(
    parts,
    'simulate',
    'whole nodes under virtual time and injected faults: simulate --help',
  ).action(() =>
    run(async (shell) => {
      const { simulateCommand } = await import('../commands/simulate.ts')
      return simulateCommand(shell, argumentsOf(parts, 'simulate'))
    }),
  )
  ownOptions(
    parts,
    'verify',
    'real processes under injected faults, and judged as in the simulation: verify --help',
  ).action(() =>
    run(async (shell) => {
      const { verifyCommand } = await import('../commands/verify.ts')
      return verifyCommand(shell, argumentsOf(parts, 'verify'))
    }),
  )
}

/** A command that reads its options itself. */
function ownOptions(
  { program }: Parts,
  name: string,
  description: string,
): ReturnType<Parts['program']['command']> {
  return program
    .command(name)
    .description(description)
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
}

function argumentsOf({ line }: Parts, command: string): readonly string[] {
  return line.slice(line.indexOf(command) + 1)
}
