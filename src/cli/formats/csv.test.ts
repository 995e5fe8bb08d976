import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { formatContract, readAll, readRows, useFolder, writeRows } from './format.contract.ts'
import type { ReadOptions } from './open.ts'
import { openReader, openWriter } from './open.ts'
import type { ReadRecord } from './format.ts'

formatContract('csv', 'csv')

const file = useFolder()
const airports = 'node_modules/vega-datasets/data/airports.csv'

async function read(content: string | Uint8Array, options?: ReadOptions): Promise<ReadRecord[]> {
  return readAll(await openReader(await file('read.csv', content), options))
}

/** Rows, and for bad ones their line and reason. */
async function outline(content: string | Uint8Array, options?: ReadOptions): Promise<unknown[]> {
  const records = await read(content, options)
  return records.map((record) =>
    record.error === undefined ? record.row : `${record.line}: ${record.error}`,
  )
}

describe('files of others', () => {
  test('numbers are numbers, postcodes and long ids stay text', async () => {
    expect(
      await outline('zip,price,id,ok\n00501,1.50,12345678901234567890,true\n10001,-2,1,false\n'),
    ).toEqual([
      { zip: '00501', price: 1.5, id: '12345678901234567890', ok: true },
      { zip: '10001', price: -2, id: '1', ok: false },
    ])
  })

  test('without inference everything is text', async () => {
    expect(await outline('a,b\n1,true\n', { infer: false })).toEqual([{ a: '1', b: 'true' }])
  })

  test('an empty cell is missing, quotes make it the empty string, \\N is null', async () => {
    expect(await outline('a,b,c,d\n,"",\\N,"\\N"\n')).toEqual([{ b: '', c: null, d: '\\N' }])
  })

  test('types in the header, and none is guessed beside them', async () => {
    const head = 'id:string,n:number,big:bigint,ok:boolean,at:date,raw:bytes,tags:json,plain\n'
    expect(
      await outline(`${head}1,2,3,true,2001-01-01,AAE=,"[1,{""$bigint"":""4""}]",5\n`),
    ).toEqual([
      {
        id: '1',
        n: 2,
        big: 3n,
        ok: true,
        at: new Date('2001-01-01T00:00:00Z'),
        raw: Uint8Array.of(0, 1),
        tags: [1, 4n],
        plain: '5',
      },
    ])
  })

  test('the types of the caller win', async () => {
    expect(await outline('a:number,b\n1,2\n', { types: { a: 'bigint', b: 'number' } })).toEqual([
      { a: 1n, b: 2 },
    ])
    await expect(read('a\n1\n', { types: { b: 'number' } })).rejects.toThrow('no column "b"')
  })

  test('files without a header', async () => {
    expect(await outline('x,1\n', { header: false })).toEqual([{ column1: 'x', column2: 1 }])
    expect(await outline('x,1\n', { header: ['a', 'b:bigint'] })).toEqual([{ a: 'x', b: 1n }])
  })

  test('CRLF, a byte order mark, no line end at the end, blank lines', async () => {
    const records = await read('\ufeffa,b\r\n\r\n"1\r\n2",x\r\n3,y')
    expect(records).toEqual([
      { position: 0, line: 3, row: { a: '1\r\n2', b: 'x' } },
      { position: 1, line: 5, row: { a: '3', b: 'y' } },
    ])
  })

  test('a field name that starts with a byte order mark is no mark', async () => {
    const path = await file('mark.csv')
    await writeRows(path, [{ '\ufeffa': 'x' }])
    expect(await readRows(path)).toEqual([{ '\ufeffa': 'x' }])
  })

  test('tabs for .tsv', async () => {
    const path = await file('t.tsv', 'a\tb\n1\tx,y\n')
    expect(await readRows(path)).toEqual([{ a: 1, b: 'x,y' }])
    await writeRows(path, [{ a: 'x\ty', b: 'p,q' }])
    expect(await readFile(path, 'utf8')).toBe('a:string\tb\n"x\ty"\tp,q\n')
  })

  test('an empty file, and one with a header alone', async () => {
    expect(await outline('')).toEqual([])
    expect(await outline('a,b\n')).toEqual([])
    const reader = await openReader(await file('head.csv', 'a,b:date\n'))
    expect(reader.columns).toEqual([
      { name: 'a', kind: 'string' },
      { name: 'b', kind: 'date' },
    ])
  })

  test('the airports of vega-datasets', async () => {
    const reader = await openReader(airports)
    expect(reader.columns?.map(({ name, kind }) => `${name}:${kind}`).join(' ')).toBe(
      'iata:string name:string city:string state:string country:string latitude:number longitude:number',
    )
    const records = await readAll(reader)
    expect(records.length).toBe(3_376)
    expect(records[0]).toEqual({
      position: 0,
      line: 2,
      row: {
        iata: '00M',
        name: 'Thigpen',
        city: 'Bay Springs',
        state: 'MS',
        country: 'USA',
        latitude: 31.95376472,
        longitude: -89.23450472,
      },
    })
  })
})

describe('bad rows', () => {
  test('have their line and reason, and the others are read', async () => {
    expect(await outline('a:number,b\n1,x\n2\n"3",y,z\nfour,x\n5,"x\n"\n6,a"b\n7,z\n')).toEqual([
      { a: 1, b: 'x' },
      '3: the record has 1 cells, the header 2',
      '4: the record has 3 cells, the header 2',
      '5: column "a": "four" is not a number',
      { a: 5, b: 'x\n' },
      expect.stringMatching(/^8: a quote inside an unquoted cell/),
      { a: 7, b: 'z' },
    ])
  })

  test('a cell beyond the sample that breaks an inferred kind says what to do', async () => {
    const good = Array.from({ length: 1_000 }, (_, i) => `${i}\n`).join('')
    const records = await read(`zip\n${good}00501\n5\n`)
    expect(records[1_000]).toEqual({
      position: 1_000,
      line: 1_002,
      error:
        'column "zip": "00501" is not a number, as its first cells were; give the column a type (zip:string)',
      raw: '00501',
    })
    expect(records[1_001]).toMatchObject({ position: 1_001, row: { zip: 5 } })
  })

  test('bytes that are not UTF-8 are a bad row, a replacement character is not', async () => {
    const bytes = Buffer.concat([
      Buffer.from('a\nx\ny'),
      Buffer.of(0xff),
      Buffer.from('\n\ufffd\n'),
    ])
    expect(await outline(bytes)).toEqual([{ a: 'x' }, '3: is not UTF-8 text', { a: '\ufffd' }])
  })

  test('a truncated file: what was cut off is a bad row', async () => {
    const path = await file('whole.csv')
    await writeRows(path, [
      { a: 'x', b: 'line\nend' },
      { a: 'y', b: 'line\nend' },
    ])
    const whole = await readFile(path)
    expect(await outline(whole.subarray(0, -3))).toEqual([
      { a: 'x', b: 'line\nend' },
      '4: a quote is never closed',
      '5: the record has 1 cells, the header 2',
    ])
  })
})

describe('what cannot be read or written is refused', () => {
  test.each([
    ['a,a\n', 'the header has the column "a" twice'],
    ['a:number,a:string\n', 'the header has the column "a" twice'],
    ['"a\n1,2\n', 'line 1: the header is bad: a quote is never closed'],
    ['a,b\rc,d\r', 'a line ends in CR alone'],
    ['\xff\xfea\0,\0b\0', 'the file is UTF-16; convert it to UTF-8'],
  ])('%j', async (content, message) => {
    await expect(read(Buffer.from(content, 'latin1'))).rejects.toThrow(message)
  })

  test('delimiters that are none', async () => {
    await expect(read('a\n', { delimiter: ',,' })).rejects.toThrow('a delimiter is one character')
    const path = await file('none.csv')
    await expect(openWriter(path, { columns: [], delimiter: '"' })).rejects.toThrow('a delimiter')
  })

  test('a line longer than the limit', async () => {
    await expect(read(`a\n${'x'.repeat(600_000)}`, { recordBytesMax: 100_000 })).rejects.toThrow(
      'the line that starts at byte 2 is longer than 100000 bytes',
    )
  })

  test('rows that would not come back', async () => {
    const path = await file('refused.csv')
    const columns = [{ name: 'a', kind: 'string', hasNull: false, hasMissing: false }] as const
    const writer = await openWriter(path, { columns })
    await expect(writer.write([{}])).rejects.toThrow('row 1 has no field')
    await expect(writer.write([{ a: 'x', b: 1 }])).rejects.toThrow('row 1 has a field that')
    await expect(writer.write([{ a: 1 }])).rejects.toThrow('row 1: field "a" is not a string')
    await expect(writer.write([{ a: '\ud800' }])).rejects.toThrow('not valid Unicode text')
    await writer.abort()
    await expect(openWriter(path)).rejects.toThrow('the columns are needed')
    await expect(writeRows(path, [{ '\ud800': 1 }])).rejects.toThrow('field name "\\ud800"')
  })
})

test('the header of a file of text has one type, so that nothing in it is guessed at', async () => {
  const path = await file('text.csv')
  await writeRows(path, [{ zip: '10001', 'a:number': '5', city: 'x' }])
  expect(await readFile(path, 'utf8')).toBe('zip:string,a:number:string,city\n10001,5,x\n')
  expect(await readRows(path)).toEqual([{ zip: '10001', 'a:number': '5', city: 'x' }])
})
