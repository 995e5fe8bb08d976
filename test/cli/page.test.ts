// docs/CLI.md is true: its command lines work as they stand, one after the other, in an empty folder.

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import { buildHoldfast, serveHttp, Workplace, type Serving } from './run-holdfast.ts'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const page = readFileSync(join(root, 'docs/CLI.md'), 'utf8')
const lines = [...page.matchAll(/^ {4}(\S.*)$/gm)].map(([, line]) => line ?? '')

/** It serves until Ctrl-C: the test starts it beside, on a free port, and sends the rest there. */
const SERVE = 'holdfast start'
const PAGE_URL = 'http://127.0.0.1:4653'

beforeAll(() => buildHoldfast())

/** What the page takes for granted: the command on the path, and the files that it names. */
function prepare(place: Workplace): Record<string, string | undefined> {
  const bin = place.path('bin')
  mkdirSync(bin)
  const command = join(bin, 'holdfast')
  const main = join(root, 'dist/command/main.js')
  writeFileSync(command, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`)
  chmodSync(command, 0o755)
  mkdirSync(place.path('work'))
  writeFileSync(place.path('work/row.json'), '{"id":"a5","owner":"eve"}')
  writeFileSync(place.path('work/staging.token'), 'hf_abcd1234_secret\n')
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_'))
  return {
    ...Object.fromEntries(kept),
    PATH: `${bin}:${process.env['PATH']}`,
    XDG_CONFIG_HOME: place.path('config'),
  }
}

it('has command lines that work as they stand', async () => {
  using place = new Workplace()
  const env = prepare(place)
  const cwd = place.path('work')
  expect(lines.length).toBeGreaterThan(40)
  let serving: Serving | undefined
  try {
    for (const line of lines) {
      if (line === SERVE) {
        serving = await serveHttp(join(cwd, 'data'))
        continue
      }
      const asked = serving === undefined ? line : line.replaceAll(PAGE_URL, serving.url)
      const { status, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', asked], {
        cwd,
        env,
        encoding: 'utf8',
        timeout: 100_000,
        input: '',
      })
      expect(`${line} ends with ${status}: ${stderr}`).toContain(`${line} ends with 0: `)
    }
  } finally {
    await serving?.kill('SIGTERM')
  }
  expect(existsSync(join(cwd, 'items.parquet'))).toBe(true)
}, 600_000)
