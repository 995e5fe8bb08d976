/** Commands that do to a cluster of `npm run cluster` what happens to clusters. */
import { Option } from 'commander'
import type { LabCall } from '../../verify/lab.ts'
import { CLUSTER_DIR } from '../lab-folder.ts'
import type { Direction } from '../../verify/network.ts'
import { list, whole, type GlobalOptions, type Parts } from './parts.ts'

/** On one process alone. */
const ONE = {
  kill: 'ends a process at once, by SIGKILL',
  restart: 'starts one that is dead again, on its folder',
  pause: 'stops a process for a while, by SIGSTOP',
  resume: 'lets it go on',
  cut: 'resets its connections to the others, until heal',
} as const

export function labCommands(parts: Parts): void {
  const lab = parts.program
    .command('lab')
    .description('a cluster that runs here (npm run cluster): kill, pause, partition, heal')
  const call = (asked: LabCall): Promise<void> => {
    const { dir = CLUSTER_DIR } = parts.program.opts<GlobalOptions>()
    return parts.run(async (shell) =>
      (await import('../commands/lab.ts')).labCommand(shell, dir, asked),
    )
  }
  lab
    .command('show', { isDefault: true })
    .description('its processes, who leads the log, what is wrong with the network')
    .action(() => call({ action: 'show' }))
  for (const action of Object.keys(ONE) as (keyof typeof ONE)[]) {
    lab
      .command(`${action} <process>`)
      .description(ONE[action])
      .action((name: string) => call({ action, name }))
  }
  lab
    .command('partition <process>')
    .description('parts it from the others: nothing arrives and connections stay, until heal')
    .addOption(
      new Option('--one-way <direction>', 'holds only what it is told, or only what it says')
        .choices(['in', 'out'])
        .default('both', 'both'),
    )
    .option('--from <processes>', 'from these alone, with commas between them', list)
    .action((name: string, { oneWay, from }: PartitionOptions) =>
      call({ action: 'partition', name, direction: oneWay, others: from }),
    )
  lab
    .command('slow <process>')
    .description('delays what it says and is told, until heal')
    .requiredOption('--ms <n>', 'milliseconds each way', whole)
    .action((name: string, { ms }: { readonly ms: number }) => call({ action: 'slow', name, ms }))
  lab
    .command('heal')
    .description('makes the network whole; processes stay as they are')
    .action(() => call({ action: 'heal' }))
}

interface PartitionOptions {
  readonly oneWay: Direction
  readonly from?: readonly string[] | undefined
}
