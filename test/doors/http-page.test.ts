// docs/HTTP.md holds: its commands run in their order against a server and succeed, a line `# TEXT`
// behind one is what was printed, and every status and route that it names is one.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { ERRORS, HoldfastError, type ErrorCode } from '../../src/core/errors.ts'
import { open } from '../../src/index.ts'
import { serve } from '../../src/server.ts'
import { statusOf } from '../../src/server/http/problem.ts'
import { root } from '../docs/run-from-source.ts'

const page = readFileSync(join(root, 'docs/HTTP.md'), 'utf8')
const ADDRESS = 'http://127.0.0.1:4653'

it('has commands that do what it says', { timeout: 120_000 }, async () => {
  await using db = await open({ memory: true, tables: {} })
  const server = await serve(db, { port: 0 })
  const script = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1]).join('\n')
  const commands = script.replaceAll(ADDRESS, server.url.replace(/\/$/, ''))
  expect(commands.match(/^curl /gm)?.length).toBeGreaterThan(12)
  try {
    // Each answer ends its line, and one that is no success ends the script.
    const strict = 'set -eu\ncurl() { command curl -sS --fail-with-body "$@"; echo; }\n'
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', strict + commands])
    expect(stderr).toBe('')
    const said = [...script.matchAll(/^# (.*)$/gm)].map((match) => match[1])
    expect(said.length).toBeGreaterThan(0)
    for (const line of said) expect(stdout.split('\n')).toContain(line)
  } finally {
    await server.close()
  }
})

it('names each code with the status that it has', () => {
  const rows = [...page.matchAll(/^\| ([\d, ]+) \| (.*) \|$/gm)]
  expect(rows.length).toBeGreaterThan(10)
  // Of a condition, a path's methods and a body's type: the error itself says so.
  const special = [405, 412, 415]
  for (const [, statuses = '', text = ''] of rows) {
    const known = statuses.split(', ').map(Number)
    for (const [, code = ''] of text.matchAll(/`(\w+)`/g)) {
      if (!Object.hasOwn(ERRORS, code) || known.some((status) => special.includes(status))) continue
      expect([code, known]).toEqual([
        code,
        expect.arrayContaining([statusOf(new HoldfastError(code as ErrorCode, ''))]),
      ])
    }
  }
})
