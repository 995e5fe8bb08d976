/** `holdfast verify`: the simulator's workloads and checkers against real processes. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isHoldfastError } from '../core/errors.ts'
import { combineVerdicts, type Verdict } from '../sim/check/verdict.ts'
import { judge } from '../sim/check/judge.ts'
import { HELP, readArguments, Usage, type Options } from './arguments.ts'
import { readCases } from './history-file.ts'
import { verify, type Report } from './verify.ts'

const EXIT = { clean: 0, violated: 1, usage: 2, interrupted: 130 } as const

const { stdout, stderr } = process

async function main(): Promise<number> {
  const options = readArguments(process.argv.slice(2), Date.now() % 1_000_000_000)
  if (options.help) {
    stdout.write(HELP)
    return EXIT.clean
  }
  if (options.check !== undefined) return checkAgain(options.check, options.json)
  const binary = options.natsServer ?? (await foundServer())
  if (existsSync(options.out))
    throw new Usage(`${options.out} is there already: give another --out`)
  const interrupted = new AbortController()
  process.on('SIGTERM', () => interrupted.abort())
  process.on('SIGINT', () => {
    // The second one ends this at once, and with it all that it started.
    if (interrupted.signal.aborted) process.exit(EXIT.interrupted)
    interrupted.abort()
  })
  const { signal } = interrupted
  const out = options.json ? stderr : stdout
  const report = await verify({
    ...options,
    ...{ binary, signal },
    say: (text) => void out.write(`${text}\n`),
  })
  stdout.write(
    options.json ? `${JSON.stringify(report, undefined, 2)}\n` : reportText(report, options),
  )
  if (report.violations.length > 0) return EXIT.violated
  return signal.aborted ? EXIT.interrupted : EXIT.clean
}

/** @throws Usage where there is none, with the way to one */
async function foundServer(): Promise<string> {
  const script = new URL('../../scripts/nats-server.mjs', import.meta.url)
  if (!existsSync(script)) {
    throw new Usage('no nats-server is known here: give its path by --nats-server')
  }
  const { findNatsServer } = (await import(script.href)) as {
    readonly findNatsServer: () => { readonly path: string }
  }
  try {
    return findNatsServer().path
  } catch (cause) {
    throw new Usage(`nothing can be verified: ${(cause as Error).message}`)
  }
}

function checkAgain(path: string, json: boolean): number {
  const files = statSync(path).isDirectory()
    ? readdirSync(path)
        .filter((name) => name.endsWith('.jsonl'))
        .toSorted()
        .map((name) => join(path, name))
    : [path]
  const verdicts: Verdict[] = []
  for (const file of files) {
    for (const { workload, part } of readCases(file)) {
      const verdict = judge(part)
      verdicts.push(verdict)
      if (json) continue
      for (const { property, message, timeline } of verdict.violations) {
        stdout.write(`VIOLATED ${property} (${workload}, ${file}): ${message}\n${timeline}\n`)
      }
    }
  }
  const { result, checks, unknown, violations } = combineVerdicts(verdicts)
  if (json) stdout.write(`${JSON.stringify({ checks, unknown, violations }, undefined, 2)}\n`)
  else
    stdout.write(`${files.length} files, ${checks} checks, ${unknown} out of budget: ${result}\n`)
  return violations.length === 0 ? EXIT.clean : EXIT.violated
}

function reportText(report: Report, { out }: Options): string {
  const { minutes, rounds, operations, acked, refused, unanswered, checks, unknown } = report
  const faults = Object.entries(report.faults).map(([name, count]) => `${name} ${count}`)
  const lines = [
    '',
    `${minutes} minutes, ${rounds} rounds, seed ${report.seed}`,
    `${operations} operations: ${acked} acked, ${refused} refused, ${unanswered} unanswered`,
    `faults: ${faults.join(', ') || 'none'}`,
    `${checks} checks, ${unknown} out of budget`,
    `history in ${out}; holdfast verify --check ${out} judges it again`,
    report.violations.length === 0 ? 'clean' : `${report.violations.length} violations`,
  ]
  return `${lines.join('\n')}\n`
}

try {
  process.exitCode = await main()
} catch (cause) {
  if (!(cause instanceof Usage) && !isHoldfastError(cause, 'InvalidArgument')) throw cause
  stderr.write(`${cause.message}\n(holdfast verify --help shows all options)\n`)
  process.exitCode = EXIT.usage
}
// Connections that nobody answers any more do not keep it.
process.exit()
