import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CsvRecord } from './csv-splitter.ts'
import { CsvSplitter } from './csv-splitter.ts'

/** All records, with the text handed over in pieces that end after a line feed. */
function split(text: string, delimiter = ',', charsMax = 1_000_000, lines = Infinity): CsvRecord[] {
  const splitter = new CsvSplitter(delimiter, charsMax)
  const records: CsvRecord[] = []
  const parts = text.split(/(?<=\n)/)
  for (let at = 0; at < parts.length; at += lines) {
    records.push(...splitter.push(parts.slice(at, at + lines).join(''), false))
  }
  records.push(...splitter.push('', true))
  return records
}

function cellsOf(text: string): (readonly string[] | string)[] {
  return split(text).map(({ cells, error, line }) => (error === undefined ? cells : `line ${line}`))
}

const csvText = fc.string({
  unit: fc.constantFrom('a', 'b', ' ', ',', ',', '"', '"', '\n', '\r\n', 'é'),
})

describe('records and cells', () => {
  test('where csv-parse accepts a text, the cells are the same, and the other way about', () => {
    const options = {
      relaxColumnCount: true,
      skipEmptyLines: true,
      recordDelimiter: ['\r\n', '\n'],
    }
    fc.assert(
      fc.property(csvText, (text) => {
        let expected: unknown
        try {
          expected = parse(text, options)
        } catch {
          expected = undefined
        }
        const records = split(text)
        const isGood = records.every(({ error }) => error === undefined)
        expect(isGood ? records.map(({ cells }) => cells) : undefined).toEqual(expected)
      }),
      { numRuns: 5_000 },
    )
  })

  test('records do not depend on how the text is handed over', () => {
    fc.assert(
      fc.property(csvText, fc.integer({ min: 1, max: 3 }), (text, lines) => {
        expect(split(text, ',', 1_000_000, lines)).toEqual(split(text))
      }),
      { numRuns: 2_000 },
    )
  })

  test('a line says where each record starts, through quoted line ends and blank lines', () => {
    const records = split('a,b\r\n\n"x\n\ny",1\r\n,\n"",""')
    expect(records.map(({ line, cells, quoted }) => [line, cells, quoted])).toEqual([
      [1, ['a', 'b'], undefined],
      [3, ['x\n\ny', '1'], [true, false]],
      [6, ['', ''], undefined],
      [7, ['', ''], [true, true]],
    ])
  })

  test('another delimiter', () => {
    expect(split('a\tb,c\n"\t"\t2\n', '\t').map(({ cells }) => cells)).toEqual([
      ['a', 'b,c'],
      ['\t', '2'],
    ])
  })
})

describe('bad records', () => {
  test('a quote inside a cell, or text after one, costs the record alone', () => {
    expect(cellsOf('1,2\n5" pipe,3\n4,5\n"a"b,6\n"x""y",7\n')).toEqual([
      ['1', '2'],
      'line 2',
      ['4', '5'],
      'line 4',
      ['x"y', '7'],
    ])
  })

  test('a quote that never closes costs its line alone, in a file of any length', () => {
    expect(cellsOf('1,2\n3,"4\n5,6\n7,8')).toEqual([['1', '2'], 'line 2', ['5', '6'], ['7', '8']])
    const many = Array.from({ length: 1_000 }, (_, i) => `row,${i}\n`).join('')
    const records = split(`"open\n${many}`, ',', 500, 10)
    expect(records.length).toBe(1_001)
    expect(records[0]).toMatchObject({ line: 1, error: 'a quote is never closed', raw: '"open\n' })
    expect(records[1_000]).toMatchObject({ line: 1_001, cells: ['row', '999'] })
  })
})
