/** Data on terminals: it says what it is, and does nothing. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { columnsIn, cutTo, printable, printableLines } from './printable.ts'
import { showValue, tableLines } from './text-table.ts'

const BAD = '\u001b[31m \u009b2J \u007f \u202e \u2066 \u200f \u2028 \ud800 \r \n \t'

describe('text of others', () => {
  test('never reaches a terminal as commands', () => {
    const shown = [
      showValue(BAD),
      showValue({ deep: [BAD, { [BAD]: 1 }] }),
      ...tableLines([{ [BAD]: BAD, key: 1 }], {}),
      printable(BAD),
    ]
    for (const line of shown) {
      expect(line).toMatch(/^[ -~…]*$/)
      expect(line).toContain(String.raw`\u009b2J`)
      expect(line).toContain(String.raw`\u202e`)
    }
    expect(printableLines(`a\n${'\u009b'}b`)).toBe('a\n\\u009bb')
  })

  test('is the same JSON as before', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(JSON.parse(printable(JSON.stringify({ [text]: text })))).toEqual({ [text]: text })
      }),
    )
  })

  test('that is wide stands in its column, and is cut within it', () => {
    const rows = [
      { a: '漢字', b: 1 },
      { a: '👩‍👩‍👧', b: 1 },
      { a: 'e\u0301', b: 1 },
      { a: 'plain', b: 1 },
    ]
    const [, ...lines] = tableLines(rows, {})
    expect(new Set(lines.map(columnsIn)).size).toBe(1)
    expect(cutTo('漢字漢字', 5)).toBe('漢字…')
    expect(cutTo('漢字漢字', 8)).toBe('漢字漢字')
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.integer({ min: 1, max: 40 }),
        (text, width) => {
          expect(columnsIn(cutTo(text, width))).toBeLessThanOrEqual(width)
        },
      ),
    )
  })

  test('may be a table of any number of rows', () => {
    const rows = Array.from({ length: 200_000 }, (_, n) => ({ n }))
    expect(tableLines(rows, {})).toHaveLength(200_001)
  })
})
