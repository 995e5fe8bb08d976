import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { ReadRecord } from './format.ts'
import { formatContract, readAll, useFolder, writeRows } from './format.contract.ts'
import { openReader } from './open.ts'

formatContract('ndjson', 'ndjson')

const file = useFolder()

async function read(content: string | Uint8Array): Promise<ReadRecord[]> {
  return readAll(await openReader(await file('read.jsonl', content)))
}

describe('lines', () => {
  test('CRLF, a byte order mark, blank lines, no line end at the end', async () => {
    expect(await read('\ufeff{"a":1}\r\n\r\n \t\n{"a":{"$bigint":"2"}}')).toEqual([
      { position: 0, line: 1, row: { a: 1 } },
      { position: 1, line: 4, row: { a: 2n } },
    ])
  })

  test('an empty file', async () => {
    expect(await read('')).toEqual([])
  })

  test('a row is a line, in wire form', async () => {
    const path = await file('out.ndjson')
    await writeRows(path, [{ a: 'x\ny', at: new Date(0) }, { $date: 1 }])
    expect(await readFile(path, 'utf8')).toBe(
      '{"a":"x\\ny","at":{"$date":"1970-01-01T00:00:00.000Z"}}\n{"$object":{"$date":1}}\n',
    )
  })
})

describe('bad rows', () => {
  test('have their line, position, reason and text, and the others are read', async () => {
    const records = await read(
      '{"a":1}\n{"a":\n[1]\n{"a":{"$date":"x"}}\n{"n":123456789012345678901}\n7\n{}',
    )
    expect(records.map(({ position, line, error }) => [position, line, error])).toEqual([
      [0, 1, undefined],
      [1, 2, expect.stringMatching(/^not JSON: /)],
      [2, 3, 'a row is an object'],
      [3, 4, expect.stringMatching(/^\.a: \$date takes a UTC time/)],
      [4, 5, expect.stringMatching(/^123456789012345678901 is not exact as a number/)],
      [5, 6, 'a row is an object'],
      [6, 7, undefined],
    ])
    expect(records[1]).toMatchObject({ raw: '{"a":' })
  })

  test('values that are no rows', async () => {
    const records = await read('{"$bytes":""}\n{"$date":"1970-01-01T00:00:00.000Z"}\nnull\n"x"\n')
    expect(records.map(({ error }) => error)).toEqual(Array(4).fill('a row is an object'))
  })

  test('bytes that are not UTF-8', async () => {
    const bytes = Buffer.concat([
      Buffer.from('{"a":"'),
      Buffer.of(0xff),
      Buffer.from('"}\n{"a":1}'),
    ])
    expect((await read(bytes)).map(({ error }) => error)).toEqual(['is not UTF-8 text', undefined])
  })

  test('a truncated file: the last line is bad', async () => {
    const path = await file('whole.ndjson')
    await writeRows(path, [{ a: 1 }, { a: 2 }])
    const whole = await readFile(path)
    expect((await read(whole.subarray(0, -2))).map(({ error }) => error)).toEqual([
      undefined,
      expect.stringMatching(/^not JSON/),
    ])
  })

  test('a long one is cut to 400 characters', async () => {
    const [record] = await read(`{"a":"${'x'.repeat(1_000)}`)
    expect(record).toMatchObject({ raw: `{"a":"${'x'.repeat(394)}` })
  })
})
