/** What every format keeps: rows come back as they were, and a read can begin anywhere. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Value } from '../../core/wire.ts'
import { setOwn } from '../../core/wire.ts'
import { ColumnPlan } from './column-plan.ts'
import type { Format, ReadRecord, Row, RowReader, WriteSummary } from './format.ts'
import { detectFormat } from './format.ts'
import { openReader, openWriter } from './open.ts'

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '\\N', '"', '""', 'a,b', 'x\ty', 'a\nb', 'a\r\nb', '\r', '\ufeff', ' a '),
  fc.constantFrom('007', '1', 'true', 'null', '\ufffd', '\ud800', '\udc80', '[1]', '{"$date":1}'),
)

const { json } = fc.letrec<{ json: Value }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<Value>(null, true, 1.5, 'x', 2n ** 70n, new Date(0), Uint8Array.of(1)),
    text,
    fc.array(tie('json'), { maxLength: 3 }),
    fc
      .dictionary(text, tie('json'), { maxKeys: 3 })
      .map((o) => Object.fromEntries(Object.entries(o))),
  ),
}))

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const kinds: readonly fc.Arbitrary<Value>[] = [
  text,
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n)),
  fc.integer(),
  int64,
  fc.bigInt(),
  fc.boolean(),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array({ maxLength: 20 }),
  json,
]

const names = [
  ...['__proto__', 'constructor', '', ' ', 'a:number', 'b,c', 'd"e', '\\N', 'é日本'],
  ...['f\ng', 'h\ufeff', 'i:', 'j:null', 'j', '$date', 'k.l', 'list', '0'],
]

/** Some rows of some fields, each field of a kind or mixed, present, null or missing. */
const rowsArbitrary: fc.Arbitrary<Row[]> = fc
  .tuple(
    fc.uniqueArray(fc.constantFrom(...names), { maxLength: 5 }),
    fc.array(fc.oneof(...kinds.map((kind) => fc.constant(kind)), fc.constant(fc.oneof(...kinds))), {
      minLength: 5,
      maxLength: 5,
    }),
    fc.array(fc.record({ hasNull: fc.boolean(), hasMissing: fc.boolean() }), {
      minLength: 5,
      maxLength: 5,
    }),
  )
  .chain(([fields, arbitraries, gaps]) => {
    const cells = fields.map((_, i) => {
      const choices: fc.Arbitrary<Value | undefined>[] = [arbitraries[i] ?? text]
      if (gaps[i]?.hasNull === true) choices.push(fc.constant(null))
      if (gaps[i]?.hasMissing === true) choices.push(fc.constant(undefined))
      return fc.oneof(...choices)
    })
    return fc.array(fc.tuple(...cells), { maxLength: 30 }).map((rows) =>
      rows.map((values, at) => {
        const row: Row = { id: at }
        for (const [i, value] of values.entries()) {
          if (value !== undefined) setOwn(row, fields[i] ?? '', value)
        }
        return row
      }),
    )
  })

/** Writes rows as an export does: a pass for the columns, one for the rows. */
export async function writeRows(
  target: string | Writable,
  rows: readonly Row[],
  format = detectFormat(typeof target === 'string' ? target : ''),
): Promise<WriteSummary> {
  const plan = new ColumnPlan()
  plan.add(rows)
  const columns = plan.columns(format === 'parquet' ? 'parquet' : 'csv')
  const writer = await openWriter(target, { columns, format })
  try {
    for (let at = 0; at < rows.length; at += 7) await writer.write(rows.slice(at, at + 7))
    return await writer.close()
  } catch (error) {
    await writer.abort()
    throw error
  }
}

/** All records from a position on. */
export async function readAll(reader: RowReader, from?: number): Promise<ReadRecord[]> {
  const records: ReadRecord[] = []
  for await (const batch of reader.rows(from)) {
    expect(batch.records.length).toBeGreaterThan(0)
    expect(batch.bytesRead).toBeLessThanOrEqual(reader.bytesTotal)
    records.push(...batch.records)
  }
  return records
}

/** The rows of a file without bad ones. */
export async function readRows(path: string): Promise<Row[]> {
  return (await readAll(await openReader(path))).map((record) => {
    if (record.error !== undefined) throw new Error(`line ${record.line}: ${record.error}`)
    return record.row
  })
}

/** Gives each test file a folder of its own. */
export function useFolder(): (name: string, content?: string | Uint8Array) => Promise<string> {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-formats-'))
  })
  afterAll(() => rm(folder, { recursive: true }))
  return async (name, content) => {
    const path = join(folder, name)
    if (content !== undefined) await writeFile(path, content)
    return path
  }
}

export function formatContract(format: Format, extension: string): void {
  const file = useFolder()

  describe(`${format}: the contract of formats`, () => {
    test('what was written comes back as it was', async () => {
      const path = await file(`rows.${extension}`)
      await fc.assert(
        fc.asyncProperty(rowsArbitrary, async (rows) => {
          await writeRows(path, rows)
          expect(isDeepStrictEqual(await readRows(path), rows)).toBe(true)
        }),
        { numRuns: 200 },
      )
    })

    test('a read from any position is the tail of the whole', async () => {
      const path = await file(`many.${extension}`)
      const rows = Array.from({ length: 2_500 }, (_, i) => sample(i))
      const summary = await writeRows(path, rows)
      const reader = await openReader(path)
      const all = await readAll(reader)
      expect(summary).toEqual({ rows: rows.length, bytes: reader.bytesTotal })
      expect(all.map(({ position }) => position)).toEqual(rows.map((_, i) => i))
      expect(all.map((record) => record.error ?? record.row)).toEqual(rows)
      for (const from of [0, 1, 999, 1_000, 1_001, 2_000, 2_499, 2_500, 9_999]) {
        expect(await readAll(reader, from)).toEqual(all.slice(from))
      }
    })

    test('no rows come back as no rows', async () => {
      const path = await file(`none.${extension}`)
      await writeRows(path, [])
      expect(await readRows(path)).toEqual([])
    })

    test('a stream gets the same bytes as a file, and is left open', async () => {
      const path = await file(`stream.${extension}`)
      const rows = Array.from({ length: 100 }, (_, i) => sample(i))
      await writeRows(path, rows)
      const chunks: Uint8Array[] = []
      const stream = new Writable({
        write(chunk: Uint8Array, _, done) {
          chunks.push(Uint8Array.from(chunk))
          done()
        },
      })
      await writeRows(stream, rows, format)
      expect(Buffer.concat(chunks).equals(await readFile(path))).toBe(true)
      expect(stream.writableEnded).toBe(false)
    })

    test('a failing stream rejects, and ends nothing else', async () => {
      const stream = new Writable({
        write(_chunk, _, done) {
          done(new Error('the pipe is closed'))
        },
      })
      await expect(writeRows(stream, [sample(1)], format)).rejects.toThrow('the pipe is closed')
    })

    test('an aborted or failed file leaves what was there', async () => {
      const path = await file(`old/rows.${extension}`)
      await mkdir(join(path, '..'))
      await writeRows(path, [sample(1)])
      const bad: Row[] = [sample(2), { ...sample(3), n: Number.NaN }]
      await expect(writeRows(path, bad)).rejects.toThrow(/^row 2\b/)
      expect(await readRows(path)).toEqual([sample(1)])
      expect(await readdir(join(path, '..'))).toEqual([`rows.${extension}`])
    })
  })
}

function sample(i: number): Row {
  const row: Row = { id: `k${i}`, n: i / 4, big: BigInt(i) ** 3n, at: new Date(i * 86_400_000) }
  if (i % 3 === 0) row['note'] = i % 2 === 0 ? null : `line\n"${i}"`
  if (i % 5 === 0) row['tags'] = ['a', { b: BigInt(i) }]
  return row
}
