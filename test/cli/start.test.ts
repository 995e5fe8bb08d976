// The first start fills the folder with real data, also when it was killed on the way.

import { beforeAll, expect, it } from 'vitest'
import { buildHoldfast, bytesOf, holdfast, jsonLines, Workplace } from './run-holdfast.ts'
import { standing } from './standing.ts'

beforeAll(buildHoldfast)

it('goes on with the first import, answers, and says at the next start what it found', async () => {
  using place = new Workplace()
  const start = ['start', '--once', '--dir', place.data]
  const killed = await holdfast(start, {
    kill: { when: () => bytesOf(`${place.data}/data.mdb`) > 20_000_000, signal: 'SIGKILL' },
  })
  expect(killed.signal).toBe('SIGKILL')
  expect(killed.stderr).toContain(`your data lives in ${place.data}`)
  const first = await holdfast(start)
  expect(first.code).toBe(0)
  expect(first.stderr).toContain('imported 200,000 rows into flights')
  expect(first.stdout).toContain('San Francisco International')
  expect(first.stdout).toContain(`bin/holdfast --dir ${place.data} get airports SFO`)
  const second = await holdfast([...start, '--json'])
  expect(second.stderr).toMatch(/found 2 tables, .* at position .* here since /)
  expect(second.stderr).toContain('flights: 200,000 rows, indexes byOrigin, byDate')
  const answers = jsonLines(second.stdout) as { command: string; rows: object[] }[]
  expect(answers.map(({ rows }) => rows.length)).toEqual([1, 3, 5])
  // What it says asks the same, asks the same.
  for (const { command, rows } of answers) {
    const asked = await standing([...command.split(' '), '--json', '--dir', place.data])
    expect(asked.code).toBe(0)
    const found = jsonLines(asked.stdout)
    expect(found.map((row) => row['iata'] ?? row['row'] ?? row['origin'])).toEqual(
      (rows as Record<string, unknown>[]).map((row) => row['iata'] ?? row['row'] ?? row['origin']),
    )
  }
})
