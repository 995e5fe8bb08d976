// Every program in examples/ runs, and prints what is said here.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { root, runText, typeFaults } from './run-from-source.ts'

const printed: Readonly<Record<string, readonly string[]>> = {
  'first-steps': ["{ id: 'a1', owner: 'ada', balance: 5n }"],
  'idempotent-orders': ['order-1', 'order-1', 'order-2', 'stock: 5', 'IdempotencyMismatch'],
  migrations: [
    'people rows 2/2',
    'people indexes 2/2',
    'people done 2/2',
    "{ id: 1, first: 'Ada', last: 'Lovelace' }",
    "{ id: 2, first: 'Grace', last: 'Hopper' }",
  ],
  remote: [
    'Error: ada has 7',
    '[',
    "  { id: 'a', owner: 'ada', balance: 7n },",
    "  { id: 'b', owner: 'bob', balance: 3n }",
    ']',
    'insert a 10n',
    'insert b 0n',
    'update a 6n',
    'update b 4n',
    'update b 3n',
    'update a 7n',
  ],
  'schema-with-zod': [
    'tags by default: []',
    'refused: InvalidRow email, age',
    'refused: UniqueViolation no',
    "grown-ups: [ 'u1' ]",
  ],
  transactions: ['refused: true', 'total: 1000n'],
  watch: ['row attic 31', 'row cellar 12', 'update attic 33', 'delete cellar undefined'],
}

/** Of the example in the simulator, whose test vitest runs as it is. */
const simulated = ['shop/buyers', 'shop/shop', 'shop/shop-wrong', 'shop/shop.test']

describe('examples', () => {
  it('are all named here', () => {
    const files = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'))
    expect(files.toSorted()).toEqual(
      Object.keys(printed)
        .map((name) => `${name}.ts`)
        .toSorted(),
    )
  })

  // In one process, each in a folder of its own: compiling the sources is what takes time.
  it('print what they should', { timeout: 120_000 }, async () => {
    const names = Object.keys(printed)
    const urls = names.map((name) => pathToFileURL(join(root, 'examples', `${name}.ts`)).href)
    const { code, stdout, stderr } = await runText(`
      import { mkdirSync } from 'node:fs'
      const home = process.cwd()
      for (const url of ${JSON.stringify(urls)}) {
        const folder = mkdirSync(home + '/' + url.split('/').at(-1), { recursive: true })
        process.chdir(folder)
        console.log('--')
        await import(url)
      }
    `)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const parts = stdout.split('--\n').slice(1)
    expect(
      Object.fromEntries(names.map((name, i) => [name, parts[i]?.trim().split('\n')])),
    ).toEqual(printed)
  })

  it('fit the types', { timeout: 120_000 }, () => {
    const names = [...Object.keys(printed), ...simulated]
    const paths = names.map((name) => `examples/${name}.ts`)
    const programs = paths.map((path) => [path, readFileSync(join(root, path), 'utf8')] as const)
    expect(typeFaults(Object.fromEntries(programs))).toEqual([])
  })
})
