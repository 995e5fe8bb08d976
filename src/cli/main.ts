/** `holdfast`: reads the command line and runs one command, whose code is loaded only then. */
import { fileURLToPath } from 'node:url'
import { CommanderError } from 'commander'
import { EXIT, exitCodeOf, Interrupted } from './exit-codes.ts'
import { buildProgram } from './program.ts'
import type { GlobalOptions, Work } from './program/parts.ts'
import { usageJson } from './shell.ts'
import { shellFrom, wantsJson } from './shell-from.ts'
import { stayAlive } from './stay-alive.ts'

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

function finish(code: number): void {
  process.exitCode = code
}

async function run(work: Work, options: GlobalOptions): Promise<void> {
  const shell = shellFrom(options, {
    mainFile: fileURLToPath(import.meta.url),
    signal: stopping.signal,
  })
  const release = stayAlive()
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
  } finally {
    release()
  }
}

async function main(): Promise<void> {
  const line = process.argv.slice(2)
  try {
    await buildProgram(run, line).parseAsync(line, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help that was asked for is no mistake; commander has said what is wrong otherwise, to people.
    finish(error.exitCode === 0 ? EXIT.ok : EXIT.usage)
    if (error.exitCode === 0 || !wantsJson(line)) return
    // Commander shows its help and calls that a mistake where the command itself is missing.
    const isHelp = error.code === 'commander.help'
    const message = isHelp ? 'a command is missing' : error.message.replace(/^error: /, '')
    process.stderr.write(`${JSON.stringify(usageJson(message))}\n`)
  }
}

await main()
