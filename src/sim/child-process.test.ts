import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Kernel } from './kernel.ts'

/** The kernel as JavaScript, since a child has no TypeScript. */
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-kernel-'))
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  const src = fileURLToPath(new URL('..', import.meta.url))
  const waiting = [join(src, 'sim/kernel.ts'), join(src, 'sim/watchdog.ts')]
  for (const file of waiting) {
    const text = readFileSync(file, 'utf8')
    const { outputText } = ts.transpileModule(text, { compilerOptions: COMPILER })
    const target = join(folder, 'dist', relative(src, file).replace(/ts$/, 'js'))
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, outputText)
    for (const [, path = ''] of outputText.matchAll(/ from "([.][^"]+)[.]js"/g)) {
      const imported = `${join(dirname(file), path)}.ts`
      if (!waiting.includes(imported)) waiting.push(imported)
    }
  }
})

afterAll(() => rmSync(folder, { recursive: true }))

const COMPILER: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  rewriteRelativeImportExtensions: true,
  verbatimModuleSyntax: true,
}

interface Ended {
  readonly status: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `body` in a process of its own, with Kernel and Watchdog there. */
function inChild(body: string): Ended {
  const script = `
    import { Kernel } from './dist/sim/kernel.js'
    import { Watchdog } from './dist/sim/watchdog.js'
    ${body}`
  const file = join(folder, 'child.js')
  writeFileSync(file, script)
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [file], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status, signal, stdout, stderr }
}

/** Owners that wait, draw, note and await at random; taken to the child by its text. */
async function scenario(kernel: Kernel): Promise<string> {
  let left = 2_000
  await kernel.run(
    new Promise<void>((resolve) => {
      const owners = ['a', 'b', 'c'].map((name) => kernel.owner(name))
      const act = async (i: number): Promise<void> => {
        const draw = kernel.random(`act ${i}`)
        for (let i = 0; i < draw.int(0, 3); i++) await Promise.resolve()
        if (draw.chance(0.3)) kernel.note(`drew ${draw.float()} at ${Date.now()}`)
        if (--left <= 0) return resolve()
        for (let next = 0; next < draw.int(1, 2); next++) {
          const owner = draw.pick(owners)
          const delayMs = draw.pick([0, 1, 1, draw.exponential(3), Math.random()])
          kernel.after(delayMs, 'act', owner, () => void act(2 * i + next))
        }
      }
      kernel.after(0, 'start', kernel.world, () => void act(1))
    }),
  )
  return `${kernel.hash} ${kernel.events} ${kernel.nowMs}`
}

describe('kernel: across processes', () => {
  it('gives the same hash for the same seed', async () => {
    const seeds = Array.from({ length: 20 }, (_, seed) => seed)
    const here: string[] = []
    for (const seed of seeds) here.push(await scenario(new Kernel(seed)))
    const { stdout, stderr } = inChild(`
      const scenario = ${scenario.toString()}
      for (const seed of ${JSON.stringify(seeds)}) console.log(await scenario(new Kernel(seed)))`)
    expect(stderr).toBe('')
    expect(stdout.trim().split('\n')).toEqual(here)
    expect(new Set(here).size).toBe(seeds.length)
  })
})

describe('watchdog', () => {
  const hangs: [how: string, body: string][] = [
    ['a loop', 'for (;;);'],
    ['microtasks', 'void (async () => { for (;;) await Promise.resolve() })()'],
    ['ticks', 'const again = () => process.nextTick(again); again()'],
  ]

  for (const [how, body] of hangs) {
    it(`ends the process at ${how} that calls nothing, and says which event it was`, () => {
      const { signal, stderr } = inChild(`
        const kernel = new Kernel(77, { watchdog: new Watchdog({ seconds: 0.5 }) })
        kernel.after(12, 'hang', kernel.owner('node-3#1'), () => { ${body} })
        await kernel.run(new Promise(() => {}))`)
      expect(stderr).toBe(
        'holdfast: a simulated step has been running for 0.5 s without end: seed 77, event "hang" of node-3#1 at 12 ms\n',
      )
      expect(signal).toBe('SIGKILL')
    })
  }

  it('leaves alone a run that goes on for longer than its limit, and the process may end', () => {
    const { status, stdout, stderr } = inChild(`
      const kernel = new Kernel(77, { watchdog: new Watchdog({ seconds: 0.2 }) })
      setTimeout(() => (over = true), 1_000)
      let over = false
      await kernel.run(new Promise((resolve) => {
        const again = () => over ? resolve() : kernel.after(1, 'again', kernel.world, again)
        again()
      }))
      // Idle and outside of the run nothing is watched.
      await new Promise((resolve) => setTimeout(resolve, 600))
      console.log('done')`)
    expect([status, stdout, stderr]).toEqual([0, 'done\n', ''])
  })
})
