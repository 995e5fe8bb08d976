import { expect, test } from 'vitest'
import { detectDelimiter, detectFormat } from './format.ts'
import { openReader, openWriter } from './open.ts'

test.each([
  ['a.csv', 'csv', ','],
  ['dir.x/a.TSV', 'csv', '\t'],
  ['a.b.ndjson', 'ndjson', ','],
  ['a.jsonl', 'ndjson', ','],
  ['a.json', 'json', ','],
  ['/x/a.parquet', 'parquet', ','],
  ['csv', undefined, ','],
  ['x.csv/a', undefined, ','],
  ['a.constructor', undefined, ','],
])('%s', (path, format, delimiter) => {
  expect(detectFormat(path)).toBe(format)
  expect(detectDelimiter(path)).toBe(delimiter)
})

test('what is no file is neither read nor replaced', async () => {
  const options = { format: 'csv', columns: [] } as const
  for (const path of ['/', '/dev/null']) {
    await expect(openReader(path, options)).rejects.toThrow('is not a regular file')
    await expect(openWriter(path, options)).rejects.toThrow('is not a regular file')
  }
})

test('a name that says nothing is refused', async () => {
  expect(() => openReader('rows.xlsx')).toThrow('name the format')
  await expect(openWriter('rows')).rejects.toThrow('name the format')
})
