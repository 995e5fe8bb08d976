// Export, then import, gives identical rows, or export refuses.

import { readdirSync, readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { open, strong } from '../../src/index.ts'
import { buildHoldfast, holdfast, whileHeld, Workplace } from './run-holdfast.ts'
import { standing } from './standing.ts'

beforeAll(buildHoldfast)

interface Odd {
  id: string
  [field: string]: unknown
}

const odd: Odd[] = [
  { id: 'a', n: 1.5, big: 12345678901234567890n, when: new Date(0), raw: new Uint8Array([0, 255]) },
  { id: 'b', n: null, text: 'ü "quoted",\nline', list: [1, null, { $date: 'x' }], yes: true },
  { id: 'c,1', text: '', list: [], yes: false, n: -7, big: -1n },
  ...Array.from({ length: 1_500 }, (_, i) => ({ id: `row${i}`, n: i, text: `t${i}` })),
]

async function fill(place: Workplace, rows: readonly Odd[]): Promise<void> {
  const tables = { odd: strong({ key: 'id' } as never) }
  await using db = await open({ dir: place.data, tables })
  for (const result of await db.table('odd').insertMany(rows as never)) {
    expect(result.ok).toBe(true)
  }
}

async function rowsOf(place: Workplace, table: string): Promise<unknown[]> {
  await using db = await open({ dir: place.data })
  return await db.table(table).query().toArray()
}

describe.each(['ndjson', 'json', 'csv', 'parquet'])('as %s', (format) => {
  it('gives back what it was given', async () => {
    using place = new Workplace()
    await fill(place, odd)
    const file = place.path(`odd.${format}`)
    // One way out and the other in, so that both are covered with half the processes.
    const isHeldOut = format === 'ndjson' || format === 'csv'
    await whileHeld(place.data, isHeldOut, async () => {
      const out = await standing(['export', 'odd', file, '--json', '--dir', place.data])
      expect(out).toMatchObject({ code: 0, stderr: '' })
      expect(JSON.parse(out.stdout)).toMatchObject({ table: 'odd', format, rows: odd.length })
    })
    await whileHeld(place.data, !isHeldOut, async () => {
      const into = ['import', 'copy', file, '--create', '--key', 'id', '--dir', place.data]
      const back = await standing(into)
      expect(back.stderr).toContain('1,503 rows imported, 0 rejected')
    })
    expect(await rowsOf(place, 'copy')).toEqual(await rowsOf(place, 'odd'))
    expect(readdirSync(place.folder).sort()).toEqual(['data', `odd.${format}`])
  })
})

it('writes to stdout, and refuses what a format cannot hold', async () => {
  using place = new Workplace()
  await fill(place, [{ id: 'a' }, { id: 'b', ['\ufeffn']: 1 }])
  const pipe = await holdfast(['export', 'odd', '-', '--dir', place.data])
  expect(pipe.stdout).toBe(`{"id":"a"}\n{"id":"b","\ufeffn":1}\n`)
  expect(pipe.stderr).toContain('2 rows exported')
  const file = place.path('odd.parquet')
  const refused = await holdfast(['export', 'odd', file, '--dir', place.data])
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain('error NotRepresentable')
  expect(readdirSync(place.folder)).toEqual(['data'])
  const unnamed = await standing(['export', 'odd', place.path('odd.xyz'), '--dir', place.data])
  expect(unnamed.stderr).toContain('error FileFormat')
  expect(readFileSync(`${place.data}/data.mdb`).length).toBeGreaterThan(0)
})
