// `npm run check`: everything that must hold besides the behaviour, which `npm test` checks.
// Runs every step even after a failure, prints the output of those that failed, then a table.
//
//   npm run check               all steps
//   npm run check -- lint types only these

import { spawn } from 'node:child_process'
import { performance } from 'node:perf_hooks'

/** @typedef {{ name: string, what: string, command: string[] }} Step */
/** @typedef {{ step: Step, ok: boolean, seconds: number, output: string }} Outcome */

/** First of all: the others need the modules it installs. @type {Step} */
const build = {
  name: 'build',
  what: 'dist/ builds, with declarations',
  command: ['node', 'scripts/setup.mjs'],
}

/** @type {Step[]} */
const steps = [
  {
    name: 'types',
    what: 'source, tests, benches, examples, scripts',
    command: ['tsc', '-p', 'tsconfig.json'],
  },
  { name: 'lint', what: 'oxlint, with types', command: ['oxlint', '--type-aware'] },
  { name: 'format', what: 'oxfmt (npm run format mends)', command: ['oxfmt', '--check'] },
  {
    name: 'imports',
    what: 'import direction, cycles',
    command: ['depcruise', '--config', '.dependency-cruiser.cjs', '--output-type', 'err', 'src'],
  },
  { name: 'dead-code', what: 'unused files, exports, packages', command: ['knip'] },
  { name: 'tidy', what: 'house rules', command: ['vitest', 'run', 'test/tidy.test.ts'] },
  {
    name: 'package',
    what: 'what is published',
    command: ['vitest', 'run', 'test/exports.test.ts'],
  },
]

/** Steps that run at the same time. */
const widthMax = 2

/** @param {Step} step @returns {Promise<Outcome>} */
function run(step) {
  const started = performance.now()
  const [command = '', ...args] = step.command
  return new Promise((resolve, reject) => {
    // npm puts node_modules/.bin on the path of its scripts; a direct run gets it here.
    const path = `node_modules/.bin${process.platform === 'win32' ? ';' : ':'}${process.env['PATH']}`
    const child = spawn(command, args, {
      env: { ...process.env, PATH: path },
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    })
    let output = ''
    const take = (/** @type {Buffer} */ chunk) => {
      output += chunk.toString()
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.once('error', reject)
    child.once('close', (code) => {
      const seconds = (performance.now() - started) / 1000
      resolve({ step, ok: code === 0, seconds, output })
    })
  })
}

/** @param {Step[]} selected @returns {Promise<Outcome[]>} */
async function runAll(selected) {
  /** @type {Outcome[]} */
  const outcomes = []
  const queue = [...selected]
  const worker = async () => {
    for (let step = queue.shift(); step !== undefined; step = queue.shift()) {
      outcomes.push(await run(step))
    }
  }
  await Promise.all(Array.from({ length: widthMax }, worker))
  return selected.flatMap((step) => outcomes.filter((outcome) => outcome.step === step))
}

/** @param {Outcome[]} outcomes */
function print(outcomes) {
  for (const { step, ok, output } of outcomes) {
    if (!ok) console.log(`\n--- ${step.name}: ${step.command.join(' ')}\n\n${output.trimEnd()}`)
  }
  console.log()
  for (const { step, ok, seconds } of outcomes) {
    const state = ok ? 'ok    ' : 'FAILED'
    const time = `${seconds.toFixed(1)} s`.padStart(7)
    console.log(`${step.name.padEnd(10)} ${state} ${time}  ${step.what}`)
  }
}

const names = process.argv.slice(2)
const unknown = names.filter((name) => ![build, ...steps].some((step) => step.name === name))
if (unknown.length > 0) {
  const known = [build, ...steps].map((step) => step.name).join(', ')
  console.error(`no such step: ${unknown.join(', ')}; there are ${known}`)
  process.exit(2)
}

const first = await run(build)
const selected = names.length === 0 ? steps : steps.filter((step) => names.includes(step.name))
const outcomes = [first, ...(await runAll(selected))]
print(outcomes)
if (outcomes.some((outcome) => !outcome.ok)) process.exitCode = 1
