// `holdfast simulate` starts the simulator with its options, and ends as it ends.

import { readdirSync, readFileSync } from 'node:fs'
import { beforeAll, expect, it } from 'vitest'
import { buildHoldfast, holdfast } from './run-holdfast.ts'

beforeAll(() => buildHoldfast())

it('hands options and exit codes through', async () => {
  const help = await holdfast(['simulate', '--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  expect(help.stdout).toMatch(/^Usage: holdfast simulate \[options\]\n/)
  const clean = await holdfast(['simulate', '--seed', '1', '--workload', 'registers', '--json'])
  expect(clean).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(clean.stdout)).toMatchObject({ seeds: 1, violations: [] })
  const before = await holdfast(['--json', 'simulate', '--seed', '1', '--workload', 'registers'])
  expect(JSON.parse(before.stdout)).toMatchObject({ seeds: 1 })
  const wrong = await holdfast(['simulate', '--seeds', 'some'])
  expect(wrong).toMatchObject({ code: 2, stdout: '' })
  expect(wrong.stderr).toContain('--seeds takes a whole number above 0')
})

it('ends the simulator when it is interrupted alone', async () => {
  // As `kill` does it: not as a terminal, which would tell the simulator by itself.
  const marker = `interrupted-${process.pid}`
  const line = ['simulate', '--minutes', '10', '--workload', 'registers', '--json']
  let child: number | undefined
  const ended = await holdfast(line, {
    env: { HOLDFAST_TEST_MARKER: marker },
    kill: {
      when: () => (child = processOf(marker, 'sim/main.js')) !== undefined,
      signal: 'SIGINT',
    },
  })
  expect(ended.code).toBe(130)
  expect(child).toBeDefined()
  expect(processOf(marker, 'sim/main.js')).toBeUndefined()
})

/** A process that runs `script` and has the marker in its environment. */
function processOf(marker: string, script: string): number | undefined {
  const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const found = ids.find((id) => {
    const read = (file: string): string => {
      try {
        return readFileSync(`/proc/${id}/${file}`, 'utf8')
      } catch (error) {
        // It ended meanwhile, or is another user's.
        if (error instanceof Error) return ''
        throw error
      }
    }
    return read('environ').includes(marker) && read('cmdline').includes(script)
  })
  return found === undefined ? undefined : Number(found)
}
