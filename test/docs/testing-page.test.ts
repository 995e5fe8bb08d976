// docs/TESTING.md holds: what it quotes stands in the example, and its programs compile, run and
// print what they say.
//
// A block ```ts from=PATH stands in that file, word by word. All other TypeScript blocks, one after
// another, are one program. A line `console.log(...) // prints TEXT` prints TEXT.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root, runText, typeFaults } from './run-from-source.ts'

const read = (path: string) => readFileSync(join(root, path), 'utf8')
const page = read('docs/TESTING.md')
const quotes = [...page.matchAll(/^```ts from=(\S+)\n(.*?)^```$/gms)]
const program = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1]).join('\n')

describe('the page on testing', () => {
  it('quotes the example as it is', () => {
    expect(quotes.length).toBeGreaterThan(4)
    for (const [, path = '', text = ''] of quotes) expect(read(path)).toContain(text)
  })

  it('has programs that fit the types', { timeout: 120_000 }, () => {
    expect(typeFaults({ 'testing-blocks.ts': program })).toEqual([])
  })

  it('has programs that print what it says', { timeout: 120_000 }, async () => {
    const said = [...program.matchAll(/\/\/ prints (.*)$/gm)].map((match) => match[1])
    expect(said.length).toBeGreaterThan(1)
    const { code, stdout, stderr } = await runText(program)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.trimEnd().split('\n')).toEqual(said)
  })

  it('names every kind of fault', async () => {
    const { FAULT_KINDS } = await import('../../src/sim/fault-plan.ts')
    const missing = FAULT_KINDS.filter((kind) => !page.includes(`\`${kind}\``))
    expect(missing).toEqual([])
  })
})
