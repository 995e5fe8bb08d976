// README.md and docs/ hold: their programs compile, run and print what they say, their links lead
// somewhere, and no place for figures is empty.
//
// The first TypeScript block of README.md is examples/first-steps.ts; all others, one after another,
// are one program. A line `console.log(...) // prints TEXT` prints TEXT.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import { root, runText, typeFaults } from './run-from-source.ts'

const read = (path: string) => readFileSync(join(root, path), 'utf8')
const pages = [
  'README.md',
  ...['docs', 'docs/adr'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
]

const blocksOf = (page: string) =>
  [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1] ?? '')

describe('the README', () => {
  const [first, ...others] = blocksOf(read('README.md'))
  const program = others.join('\n')

  it('starts with the first example, and with what that prints', () => {
    expect(first).toBe(read('examples/first-steps.ts'))
    expect(read('README.md')).toContain("{ id: 'a1', owner: 'ada', balance: 5n }")
  })

  it('has programs that fit the types', { timeout: 120_000 }, () => {
    expect(typeFaults({ 'readme-blocks.ts': program })).toEqual([])
  })

  it('has programs that print what it says', { timeout: 120_000 }, async () => {
    const said = [...program.matchAll(/\/\/ prints (.*)$/gm)].map((match) => match[1])
    expect(said.length).toBeGreaterThan(10)
    const { code, stdout, stderr } = await runText(program)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.trimEnd().split('\n')).toEqual(said)
  })

  it('gives the limits as they are', () => {
    const table = [...read('README.md').matchAll(/^\|.*<!-- (\w+) -->.*\|\s*([\d,]+) ([^|]*)\|$/gm)]
    const units: Record<string, number> = { bytes: 1, KiB: 1024, '': 1, s: 1000, min: 60_000 }
    expect(table.length).toBeGreaterThan(10)
    for (const [, name = '', figure = '', unit = ''] of table) {
      const limit = (LIMITS as Record<string, number>)[name]
      expect([name, Number(figure.replaceAll(',', '')) * (units[unit.trim()] ?? 0)]).toEqual([
        name,
        limit,
      ])
    }
  })
})

describe('pages', () => {
  it.each(pages)('%s has links that lead somewhere', (path) => {
    const links = [...read(path).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? '')
    const dead = links.filter((link) => {
      if (/^https?:/.test(link)) return false
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : join(dirname(path), file)
      if (!existsSync(join(root, target))) return true
      return anchor !== undefined && !anchorsOf(read(target)).includes(anchor)
    })
    expect(dead).toEqual([])
  })

  it.each(pages)('%s has figures where it promises them', (path) => {
    const places = read(path).split('<!-- figures -->').slice(1)
    for (const after of places) expect(after.trimStart()).toMatch(/^\|.*\|\n\|[ :|-]+\|\n\|.*\d/)
  })
})

/** The names that a page's headings can be linked by. */
function anchorsOf(page: string): string[] {
  return [...page.matchAll(/^#+ (.*)$/gm)].map((match) =>
    (match[1] ?? '')
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}
