// Lines as a shell reads them, and JSON as it is.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { quoteWord, scanWords } from './words.ts'

const words = (text: string): string[] => scanWords(text).words.map(({ value }) => value)

describe('the words of a line', () => {
  it.each([
    ['  get  t 1 ', ['get', 't', '1']],
    [`a 'b c' "d \\"e\\" \\\\ \\f" g\\ h ''`, ['a', 'b c', 'd "e" \\ \\f', 'g h', '']],
    [`x'y'"z" 'it'\\''s'`, ['xyz', "it's"]],
    ['# all', []],
    ['a # rest', ['a']],
    ['a#b', ['a#b']],
    [
      'put t {"a": "} \\" {", "b": [1, 2]} --json',
      ['put', 't', '{"a": "} \\" {", "b": [1, 2]}', '--json'],
    ],
    ['--set a:=[1, "x y"] b', ['--set', 'a:=[1, "x y"]', 'b']],
    ['get t ["a", 1]', ['get', 't', '["a", 1]']],
    ['name=a[1] x', ['name=a[1]', 'x']],
    ['one \\\n two', ['one', 'two']],
  ])('%s', (text, expected) => {
    expect(words(text)).toEqual(expected)
    expect(scanWords(text).unfinished).toBe(undefined)
  })

  it.each([
    ['put t {"a": 1', 'JSON'],
    ['put t {"a": "}', 'JSON'],
    ["get t 'a", 'quote'],
    ['get t "a\\"', 'quote'],
    ['get t \\', 'backslash'],
  ])('%s goes on in the next line', (text, what) => {
    expect(scanWords(text).unfinished).toBe(what)
  })

  it('come back from what quoteWord makes of them, whatever they are', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (all) => {
        const text = all.map(quoteWord).join(' ')
        expect(words(text)).toEqual(all)
        expect(scanWords(text).unfinished).toBe(undefined)
      }),
    )
  })
})
