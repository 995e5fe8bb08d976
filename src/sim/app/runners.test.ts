import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))

/** Each starts a test runner of its own. */
const slow = { timeout: 120_000 }

function run(args: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/VITEST|NODE_OPTIONS|TEST/.test(name)),
    )
    const child = spawn(process.execPath, args, { cwd: root, env, timeout: 90_000 })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}

it('apps are bundled and run under node:test', slow, async () => {
  const app = fileURLToPath(new URL('../../../test/sim-apps/with-node-test.ts', import.meta.url))
  const loader = pathToFileURL(join(root, 'test/child/typescript.mjs')).href
  const { code, output } = await run(['--import', loader, app])
  expect(output).toMatch(/# pass 1\n/)
  expect({ code, output }).toMatchObject({ code: 0 })
})

// This very run, and so app.test.ts beside it, is in forks.
it('apps are bundled and run under vitest, in threads', slow, async () => {
  const vitest = 'node_modules/vitest/vitest.mjs'
  const { code, output } = await run([vitest, 'run', '--pool=threads', 'src/sim/app/app.test.ts'])
  expect(output).toMatch(/1 passed/)
  expect({ code, output }).toMatchObject({ code: 0 })
})
