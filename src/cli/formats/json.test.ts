import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ReadRecord } from './format.ts'
import { formatContract, readAll, readRows, useFolder, writeRows } from './format.contract.ts'
import type { JsonElement } from './json-splitter.ts'
import { JsonArraySplitter } from './json-splitter.ts'
import { openReader } from './open.ts'

formatContract('json', 'json')

const file = useFolder()

async function read(content: string | Uint8Array): Promise<ReadRecord[]> {
  return readAll(await openReader(await file('read.json', content)))
}

/** Line and text of each element, with the text handed over in pieces. */
function split(text: string, sizes: readonly number[] = []): JsonElement[] {
  const splitter = new JsonArraySplitter(1_000)
  const found: JsonElement[] = []
  let at = 0
  for (const size of sizes) {
    splitter.push(text.slice(at, at + size), found)
    at += size
  }
  splitter.push(text.slice(at), found)
  splitter.end()
  return found
}

describe('elements', () => {
  test('those of any array, however it is written and handed over', () => {
    const space = fc.constantFrom('', ' ', '\n', '\r\n\t')
    const sizes = fc.array(fc.integer({ min: 1, max: 5 }))
    fc.assert(
      fc.property(
        fc.array(fc.jsonValue()),
        sizes,
        space,
        fc.nat(2),
        (array, parts, gap, indent) => {
          const items = array.map((item) => `${gap}${JSON.stringify(item, null, indent)}${gap}`)
          const text = `${gap}[${items.join(',')}${gap}]${gap}`
          const found = split(text, parts)
          expect(found.map((element) => JSON.parse(element.text) as unknown)).toEqual(
            JSON.parse(text),
          )
          expect(found).toEqual(split(text))
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test('have the line where they start', () => {
    const text = '[{"a":\n1},\n\n{"b":"]}\\"\\\\"}, 5\n,"x,\ny"]'
    expect(split(text, [3, 5, 1, 1, 20])).toEqual([
      { line: 1, text: '{"a":\n1}' },
      { line: 4, text: '{"b":"]}\\"\\\\"}' },
      { line: 4, text: '5' },
      { line: 5, text: '"x,\ny"' },
    ])
  })
})

describe('files', () => {
  test('a pretty one, with a byte order mark', async () => {
    expect(await read('\ufeff[\n  {\n    "a": 1\n  },\n  {"a": {"$bigint": "2"}}\n]\n')).toEqual([
      { position: 0, line: 2, row: { a: 1 } },
      { position: 1, line: 5, row: { a: 2n } },
    ])
    expect(await read(' [ ] ')).toEqual([])
  })

  test('a minified one of many blocks', async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => ({ id: i, text: 'é😀'.repeat(i % 10) }))
    const path = await file('mini.json', JSON.stringify(rows))
    expect(await readRows(path)).toEqual(rows)
  })

  test('what is written is a JSON array, a row a line', async () => {
    const path = await file('out.json')
    await writeRows(path, [{ a: 1n }, { b: null }])
    expect(await readFile(path, 'utf8')).toBe('[\n{"a":{"$bigint":"1"}},\n{"b":null}\n]\n')
    await writeRows(path, [])
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual([])
  })
})

describe('bad rows', () => {
  test('an element that is not JSON, or no object, costs itself alone', async () => {
    const records = await read(
      '[{"a":1},\n{a:2},\nundefined,\n{"a":[3}],"x",[4],\n{"a":{"$x":1}},{"a":5}]',
    )
    expect(records.map(({ position, line, error }) => [position, line, error])).toEqual([
      [0, 1, undefined],
      [1, 2, expect.stringMatching(/^not JSON/)],
      [2, 3, expect.stringMatching(/^not JSON/)],
      [3, 4, expect.stringMatching(/^not JSON/)],
      [4, 4, 'a row is an object'],
      [5, 4, 'a row is an object'],
      [6, 5, expect.stringMatching(/^\.a: unknown form \$x/)],
      [7, 5, undefined],
    ])
  })

  test('bytes that are not UTF-8', async () => {
    const bytes = Buffer.concat([
      Buffer.from('[{"a":"'),
      Buffer.of(0xff),
      Buffer.from('"},\n{"a":1}]'),
    ])
    expect((await read(bytes)).map(({ error }) => error)).toEqual(['is not UTF-8 text', undefined])
  })
})

describe('a broken array ends the read with its line, after the rows before', () => {
  test.each<[string, string, string, number[]]>([
    ['an empty file', '', 'line 1: the file is empty, not a JSON array', []],
    ['an object', '\n{"a":1}', 'line 2: expected an array, found {; read objects one a line', []],
    ['no comma', '[{}\n{"a":2}]', 'line 2: expected a comma or ] after an element, found {', [1]],
    ['a last comma', '[{},\n]', 'line 2: expected an element, found ]', [1]],
    ['two commas', '[{},\n\n,{}]', 'line 3: expected an element, found ,', [1]],
    ['text after it', '[{}]\n]', 'line 2: found ] after the end of the array', [1]],
    ['no end', '[{},\n{"a":2}\n', 'line 3: the file ends inside the array', [1, 2]],
    ['a row without end', '[{},\n{"a":', 'line 2: the file ends inside the array', [1]],
    ['a long row', `[{},\n{"a":"${'x'.repeat(300_000)}"}]`, 'line 2: the element is longer', [1]],
  ])('%s', async (_, content, message, lines) => {
    const reader = await openReader(await file('broken.json', content), { recordBytesMax: 10_000 })
    const found: number[] = []
    const reading = (async () => {
      for await (const { records } of reader.rows()) found.push(...records.map(({ line }) => line))
    })()
    await expect(reading).rejects.toThrow(message)
    expect(found).toEqual(lines)
  })
})
