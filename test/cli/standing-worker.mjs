/**
 * Runs one command after the other as bin/holdfast does: dist/command/main.js, evaluated anew for each,
 * with a command line, environment, folder, stdin and outputs of its own. What loads for all of them
 * loads once.
 */
import { dirname, join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** @typedef {{ args: string[], env: Record<string, string>, cwd: string, input: string }} Order */

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const main = pathToFileURL(join(root, 'dist', 'command', 'main.js')).href
/** What main.js listens for, once an evaluation. */
const SIGNALS = ['SIGINT', 'SIGTERM']

/** @param {'stdin' | 'stdout' | 'stderr'} name @param {Readable | Writable} value */
function replace(name, value) {
  Object.defineProperty(process, name, { value, configurable: true })
}

/** @param {'stdout' | 'stderr'} name */
function collect(name) {
  /** @type {Buffer[]} */
  const pieces = []
  const stream = new Writable({
    write(/** @type {Buffer} */ piece, _encoding, done) {
      pieces.push(piece)
      done()
    },
  })
  replace(name, stream)
  return () => Buffer.concat(pieces).toString('utf8')
}

let runs = 0

/** @param {Order} order */
async function run({ args, env, cwd, input }) {
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
  process.chdir(cwd)
  process.argv.splice(2, Number.POSITIVE_INFINITY, ...args)
  replace('stdin', Readable.from(input === '' ? [] : [Buffer.from(input)]))
  const [stdout, stderr] = [collect('stdout'), collect('stderr')]
  runs++
  await import(`${main}?run=${runs}`)
  const code = process.exitCode ?? 0
  process.exitCode = undefined
  for (const signal of SIGNALS) process.removeAllListeners(signal)
  return { code, signal: null, stdout: stdout(), stderr: stderr() }
}

// One at a time, as the parent sends them; the process ends when it closes the channel.
process.on('message', (/** @type {Order} */ order) => {
  void run(order).then((ended) => process.send?.(ended))
})
