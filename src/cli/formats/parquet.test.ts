import { readFile, writeFile } from 'node:fs/promises'
import type { SchemaElement } from 'hyparquet'
import type { ColumnSource } from 'hyparquet-writer'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, test } from 'vitest'
import { formatContract, readAll, readRows, useFolder, writeRows } from './format.contract.ts'
import type { ReadRecord, Row } from './format.ts'
import type { ReadOptions } from './open.ts'
import { openReader, openWriter } from './open.ts'

formatContract('parquet', 'parquet')

const file = useFolder()
const flights = 'node_modules/vega-datasets/data/flights-3m.parquet'

interface Foreign {
  readonly columnData: ColumnSource[]
  readonly schema?: SchemaElement[]
  readonly rowGroupSize?: number
}

/** Reads a file that another program could have written. */
async function readForeign(
  options: Foreign,
  readOptions?: ReadOptions,
): Promise<{ kinds: string[]; records: ReadRecord[] }> {
  const path = await file('foreign.parquet', new Uint8Array(parquetWriteBuffer(options)))
  const reader = await openReader(path, readOptions)
  const kinds = reader.columns?.map(({ kind }) => kind) ?? []
  return { kinds, records: await readAll(reader) }
}

function rowsOf(records: readonly ReadRecord[]): unknown[] {
  return records.map(({ error, ...record }) => error ?? (record as { row: Row }).row)
}

describe('the flights of vega-datasets', () => {
  test('columns, first and last row, number of rows', async () => {
    const reader = await openReader(flights)
    expect(reader.rowsTotal).toBe(3_000_000)
    expect(reader.columns).toEqual([
      { name: 'date', kind: 'date' },
      { name: 'delay', kind: 'number' },
      { name: 'distance', kind: 'number' },
      { name: 'origin', kind: 'string' },
      { name: 'destination', kind: 'string' },
    ])
    const date = new Date('2001-01-01T00:01:00Z')
    for await (const { records } of reader.rows()) {
      expect(records.length).toBe(1_000)
      expect(records[0]).toEqual({
        position: 0,
        line: 1,
        row: { date, delay: 33, distance: 2176, origin: 'LAS', destination: 'PHL' },
      })
      break
    }
    expect(await readAll(reader, 2_999_999)).toEqual([
      {
        position: 2_999_999,
        line: 3_000_000,
        row: {
          date: new Date('2001-07-01T00:00:00Z'),
          delay: 33,
          distance: 373,
          origin: 'ATL',
          destination: 'CVG',
        },
      },
    ])
  })

  test('a read that begins inside a row group is the tail of the whole', async () => {
    const reader = await openReader(flights)
    const some: ReadRecord[] = []
    for await (const { records } of reader.rows(271_000)) {
      some.push(...records)
      if (some.length >= 4_000) break
    }
    const others: ReadRecord[] = []
    for await (const { records } of reader.rows(272_500)) {
      others.push(...records)
      if (others.length >= 1_000) break
    }
    expect(some[0]?.position).toBe(271_000)
    expect(others.slice(0, 1_000)).toEqual(some.slice(1_500, 2_500))
  })

  test('all of it is read in bounded memory', async () => {
    const reader = await openReader(flights)
    const before = process.memoryUsage.rss()
    let peak = 0
    let count = 0
    for await (const { records } of reader.rows()) {
      count += records.length
      if (count % 50_000 === 0) peak = Math.max(peak, process.memoryUsage.rss())
    }
    expect(count).toBe(3_000_000)
    expect((peak - before) / 1024 ** 2).toBeLessThan(150)
  }, 120_000)
})

describe('files of others', () => {
  test('INT64 is number when the footer proves that all are safe, otherwise bigint', async () => {
    const { kinds, records } = await readForeign({
      columnData: [
        { name: 'safe', data: [1n, -(2n ** 53n) + 1n], type: 'INT64' },
        { name: 'big', data: [1n, 2n ** 53n], type: 'INT64' },
        { name: 'unproven', data: [1n, 2n], type: 'INT64', statistics: false },
        { name: 'empty', data: [null, null], type: 'INT64' },
      ],
    })
    expect(kinds).toEqual(['number', 'bigint', 'bigint', 'number'])
    expect(rowsOf(records)).toEqual([
      { safe: 1, big: 1n, unproven: 1n, empty: null },
      { safe: -(2 ** 53) + 1, big: 2n ** 53n, unproven: 2n, empty: null },
    ])
  })

  test('the types of the caller win, and null can mean missing', async () => {
    const columnData: ColumnSource[] = [
      { name: 'id', data: [1, null], type: 'INT32' },
      { name: 'at', data: ['2001-01-01', 'x'], type: 'STRING' },
      { name: 'raw', data: [Uint8Array.of(0xc3, 0xa9), Uint8Array.of(0xff)], type: 'BYTE_ARRAY' },
    ]
    const types = { id: 'string', at: 'date', raw: 'string' } as const
    const { records } = await readForeign({ columnData }, { types, nulls: 'missing' })
    expect(records).toEqual([
      { position: 0, line: 1, row: { id: '1', at: new Date('2001-01-01T00:00:00Z'), raw: 'é' } },
      { position: 1, line: 2, error: 'column "raw" holds no valid string', raw: '' },
    ])
    await expect(readForeign({ columnData }, { types: { x: 'date' } })).rejects.toThrow('"x"')
  })

  test('bytes that no text annotation covers stay bytes', async () => {
    const data = [Uint8Array.of(1, 2), Uint8Array.of()]
    const { kinds, records } = await readForeign({
      columnData: [{ name: 'b', data, type: 'BYTE_ARRAY' }],
    })
    expect(kinds).toEqual(['bytes'])
    expect(rowsOf(records)).toStrictEqual(data.map((b) => ({ b })))
  })

  test('NaN and text that is not UTF-8 are bad rows', async () => {
    const { records } = await readForeign({
      columnData: [
        { name: 'n', data: [1.5, Number.NaN, Infinity, 2], type: 'DOUBLE' },
        {
          name: 's',
          data: ['a', 'b', 'c', Uint8Array.of(0xff)],
          type: 'STRING',
          statistics: false,
        },
      ],
    })
    expect(rowsOf(records)).toEqual([
      { n: 1.5, s: 'a' },
      'column "n" holds no valid number',
      'column "n" holds no valid number',
      'column "s" holds no valid string',
    ])
  })

  test('decimals are numbers that print as they should, long ones text', async () => {
    const decimal = (precision: number): Omit<SchemaElement, 'name'> => {
      return {
        type: 'INT64',
        converted_type: 'DECIMAL',
        scale: 2,
        precision,
        repetition_type: 'REQUIRED',
      }
    }
    const data = [57n, -5n, 110n, 0n]
    const { kinds, records } = await readForeign({
      schema: [
        { name: 'root', num_children: 2 },
        { name: 'short', ...decimal(15) },
        { name: 'long', ...decimal(18) },
      ],
      columnData: [
        { name: 'short', data },
        { name: 'long', data },
      ],
    })
    expect(kinds).toEqual(['number', 'string'])
    expect(rowsOf(records)).toEqual([
      { short: 0.57, long: '0.57' },
      { short: -0.05, long: '-0.05' },
      { short: 1.1, long: '1.10' },
      { short: 0, long: '0.00' },
    ])
  })

  test('lists and structs, over several row groups', async () => {
    const schema: SchemaElement[] = [
      { name: 'root', num_children: 2 },
      { name: 'list', repetition_type: 'OPTIONAL', num_children: 1, converted_type: 'LIST' },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      { name: 'element', repetition_type: 'OPTIONAL', type: 'INT64' },
      { name: 'point', repetition_type: 'OPTIONAL', num_children: 2 },
      { name: 'x', repetition_type: 'OPTIONAL', type: 'DOUBLE' },
      { name: 's', repetition_type: 'OPTIONAL', type: 'BYTE_ARRAY', converted_type: 'UTF8' },
    ]
    const list = Array.from({ length: 10 }, (_, i) => (i % 3 === 0 ? null : [BigInt(i), null]))
    const point = Array.from({ length: 10 }, (_, i) => (i % 4 === 0 ? null : { x: i, s: `${i}` }))
    const columnData = [
      { name: 'list', data: list },
      { name: 'point', data: point },
    ]
    const { kinds, records } = await readForeign({ schema, columnData, rowGroupSize: 4 })
    expect(kinds).toEqual(['json', 'json'])
    expect(rowsOf(records)).toEqual(
      list.map((items, i) => ({
        list: items === null ? null : [i, null],
        point: point[i] ?? null,
      })),
    )
    const reader = await openReader(await file('foreign.parquet'))
    expect(await readAll(reader, 6)).toEqual(records.slice(6))
  })
})

describe('files of our own', () => {
  test('say in the footer what Parquet cannot, and hide the column that says where nulls are', async () => {
    const rows: Row[] = [{ a: 1n, 'a:null': 'x' }, { a: null }, {}, { 'a:null': null }]
    const path = await file('own.parquet')
    await writeRows(path, rows)
    const reader = await openReader(path)
    expect(reader.columns).toEqual([
      { name: 'a', kind: 'bigint' },
      { name: 'a:null', kind: 'string' },
    ])
    expect(rowsOf(await readAll(reader))).toEqual(rows)
    expect(rowsOf(await readAll(reader, 2))).toEqual(rows.slice(2))
  })

  test('several row groups and pages, with nulls in them', async () => {
    const rows: Row[] = Array.from({ length: 120_000 }, (_, i) => {
      const row: Row = { id: i, text: `text ${i} ${'x'.repeat(i % 50)}` }
      if (i % 3 > 0) row['n'] = i % 3 === 1 ? null : BigInt(i)
      return row
    })
    const path = await file('groups.parquet')
    await writeRows(path, rows)
    const reader = await openReader(path)
    expect(rowsOf(await readAll(reader))).toEqual(rows)
    expect(rowsOf(await readAll(reader, 99_999))).toEqual(rows.slice(99_999))
  })

  test('bigints that 64 bits do not hold are kept as JSON', async () => {
    const rows = [{ n: 1n }, { n: 2n ** 63n }]
    const path = await file('wide.parquet')
    await writeRows(path, rows)
    expect((await openReader(path)).columns).toEqual([{ name: 'n', kind: 'json' }])
    expect(await readRows(path)).toEqual(rows)
  })
})

describe('what cannot be read or written is refused', () => {
  test('files that are none, or not whole', async () => {
    const path = await file('whole.parquet')
    await writeRows(path, [{ a: 1 }, { a: 2 }])
    const whole = await readFile(path)
    for (const bytes of [new Uint8Array(0), whole.subarray(0, -1), whole.subarray(0, 20)]) {
      await expect(openReader(await file('cut.parquet', bytes))).rejects.toThrow(
        'not a whole Parquet file',
      )
    }
  })

  test('damaged data', async () => {
    const path = await file('damaged.parquet')
    await writeRows(
      path,
      Array.from({ length: 1_000 }, (_, i) => ({ a: `text ${i}` })),
    )
    const bytes = await readFile(path)
    bytes.fill(0xff, 4, 2_000)
    await writeFile(path, bytes)
    await expect(readRows(path)).rejects.toThrow('the file cannot be read')
  })

  test('a footer of a later version', async () => {
    const kvMetadata = [{ key: 'holdfast', value: '{"version":2}' }]
    const columnData = [{ name: 'a', data: [1] }]
    const bytes = new Uint8Array(parquetWriteBuffer({ columnData, kvMetadata }))
    await expect(openReader(await file('later.parquet', bytes))).rejects.toThrow('of a version')
  })

  test('rows that would not come back', async () => {
    const path = await file('refused.parquet')
    const columns = [{ name: 'a', kind: 'bigint', hasNull: false, hasMissing: false }] as const
    const writer = await openWriter(path, { columns })
    await expect(writer.write([{ a: 1 }])).rejects.toThrow('row 1: field "a": not a bigint')
    await expect(writer.write([{ a: 2n ** 63n }])).rejects.toThrow(
      'not a bigint that Parquet holds',
    )
    await expect(writer.write([{ b: 1n }])).rejects.toThrow('row 1 has a field that')
    await writer.abort()
    await expect(writeRows(path, [{}])).rejects.toThrow('row 1 has no field')
    await expect(writeRows(path, [{ '\ud800': 1 }])).rejects.toThrow('field name "\\ud800"')
  })
})
