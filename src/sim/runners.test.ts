// The documented example under the runners that users have, with the time limits these have.
import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Each starts a test runner of its own. */
const slow = { timeout: 180_000 }

interface Ran {
  readonly code: number | null
  readonly output: string
}

function run(args: readonly string[], extra: Readonly<Record<string, string>> = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const kept = Object.entries(process.env).filter(
      ([name]) => !/VITEST|NODE_OPTIONS|TEST|FORCE_COLOR|^CI$|HOLDFAST/.test(name),
    )
    const env = { ...Object.fromEntries(kept), NO_COLOR: '1', ...extra }
    const child = spawn(process.execPath, args, { cwd: root, env, timeout: 150_000 })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}

const vitest = (file: string, ...more: readonly string[]): readonly string[] => [
  'node_modules/vitest/vitest.mjs',
  'run',
  ...['--config', 'test/sim-apps/default-limits.config.ts'],
  ...more,
  file,
]

describe('the shop of examples/', () => {
  it.each(['forks', 'threads'])('runs under vitest, in %s', slow, async (pool) => {
    const { code, output } = await run(vitest('examples/shop', `--pool=${pool}`))
    expect(output).toMatch(/Tests {2}2 passed/)
    expect({ code, output }).toMatchObject({ code: 0 })
  })

  it('runs under node:test', slow, async () => {
    const loaders = ['test/child/typescript.mjs', 'test/docs/from-source.mjs']
    const flags = loaders.flatMap((path) => ['--import', pathToFileURL(join(root, path)).href])
    const { code, output } = await run([...flags, 'test/sim-apps/shop-with-node-test.ts'])
    expect(output).toMatch(/# pass 3\n/)
    expect({ code, output }).toMatchObject({ code: 0 })
  })
})

/** What does not depend on the machine, the seed or the moment. */
function shapeOf(output: string): string {
  const from = output.indexOf('SimulationFailed:')
  const lines = output.slice(from, output.indexOf('shrink:', from)).split('\n')
  const kinds = lines.map((line) =>
    line
      .replace(/^ +[\d.]+s {2}(node|client)-\d .*!! .*$/, 'TIME NODE !! FAULT')
      .replace(/^ +[\d.]+s {2}\S+ .*!! VIOLATED no oversell: sold \d+ of 10$/, 'TIME !! VIOLATED')
      .replace(/^ +[\d.]+s {2}world .*!! .*$/, 'TIME WORLD !! FAULT')
      .replace(
        /^ +[\d.]+s {2}client-\d +POST \/items\/tea\/orders at node-\d: .* \(.* ms\)$/,
        'TIME BUY',
      )
      .replace(/^ +[\d.]+s {2}driver +GET .*$/, 'TIME DRIVER')
      .replace(/^ +[\d.]+s {2}node-\d +(starts|is up).*$/, 'TIME NODE')
      .replace(/^ +\.\.\. \d+ more$/, 'MORE')
      .replace(/sold \d+ of/, 'sold N of')
      .replace(/HOLDFAST_SEED=\d+/, 'HOLDFAST_SEED=N'),
  )
  return kinds.filter((kind, i) => kind !== kinds[i - 1]).join('\n')
}

describe('a failure', () => {
  const file = 'test/sim-apps/shop-wrong.fails.ts'

  it(
    'tells the property, the story and how to have it again; its seed gives the same',
    slow,
    async () => {
      const { code, output } = await run(vitest(file))
      expect(code).toBe(1)
      const shape = shapeOf(output).split('\n')
      expect(shape[0]).toBe('SimulationFailed: VIOLATED no oversell: sold N of 10')
      expect(shape.at(-2)).toBe(`replay: HOLDFAST_SEED=N npx vitest run ${file}`)
      expect(new Set(shape.slice(1, -2))).toEqual(
        new Set(['', 'MORE', 'TIME BUY', 'TIME DRIVER', 'TIME NODE', ...faultsIn(shape)]),
      )
      const seed = /HOLDFAST_SEED=(\d+)/.exec(output)?.[1] ?? ''
      const again = await run(vitest(file), { HOLDFAST_SEED: seed })
      expect(storyOf(again.output)).toBe(storyOf(output))
    },
  )

  it('of a rejection that nobody handled has the name of the run, and no other', slow, async () => {
    const { code, output } = await run(vitest('test/sim-apps/unhandled.fails.ts'))
    expect(code).toBe(1)
    expect(output).toContain('VIOLATED no-unhandled-rejection: RangeError: nobody looks')
    // What vitest says of those that it cannot tell whose they are.
    expect(output).not.toMatch(/Unhandled (Rejection|Errors)/)
  })
})

const faultsIn = (shape: readonly string[]): readonly string[] => {
  const faults = shape.filter((line) => line.includes('!!'))
  expect(faults).toContain('TIME NODE !! FAULT')
  expect(faults).toContain('TIME !! VIOLATED')
  return ['TIME NODE !! FAULT', 'TIME WORLD !! FAULT', 'TIME !! VIOLATED'].filter((line) =>
    faults.includes(line),
  )
}

const storyOf = (output: string): string => {
  const from = output.indexOf('SimulationFailed:')
  return output.slice(from, output.indexOf('shrink:', from))
}
