import fc from 'fast-check'
import { expect, test } from 'vitest'
import { useFolder } from './format.contract.ts'
import type { TextOptions } from './text-source.ts'
import { hasDamage, readText } from './text-source.ts'

const file = useFolder()

async function blocks(path: string, options: Partial<TextOptions>): Promise<string[]> {
  const texts: string[] = []
  for await (const { text } of readText(path, { cut: 'line', lineBytesMax: 1_000, ...options })) {
    texts.push(text)
  }
  return texts
}

test('blocks of any size make up the text, and end where they should', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'é', '日', '😀', '\n', '\r\n') })
  await fc.assert(
    fc.asyncProperty(text, fc.integer({ min: 4, max: 20 }), async (content, blockBytes) => {
      const path = await file('text', content)
      const lines = await blocks(path, { blockBytes })
      expect(lines.join('')).toBe(content)
      expect(lines.slice(0, -1).every((block) => block.endsWith('\n'))).toBe(true)
      expect((await blocks(path, { blockBytes, cut: 'char' })).join('')).toBe(content)
    }),
  )
})

test('only lines with bytes that are not UTF-8 are damaged', async () => {
  const path = await file(
    'damaged',
    Buffer.concat([Buffer.from('é\ufffd\nx'), Buffer.of(0xe9, 10)]),
  )
  const [text = ''] = await blocks(path, {})
  expect(text.split('\n').map(hasDamage)).toEqual([false, true, false])
})

test('a byte order mark is dropped, also one alone; bytesRead counts it', async () => {
  const path = await file('mark', '\ufeffab\ncd')
  const found: [string, number][] = []
  for await (const { text, bytesRead } of readText(path, { cut: 'line', lineBytesMax: 100 })) {
    found.push([text, bytesRead])
  }
  expect(found).toEqual([
    ['ab\n', 6],
    ['cd', 8],
  ])
  expect(await blocks(await file('alone', '\ufeff'), {})).toEqual([])
  expect(await blocks(await file('short', 'a'), {})).toEqual(['a'])
})
