// `holdfast simulate` starts the simulator with its options, and ends as it ends.

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
