/** Real data for the first start: flights and airports of the package vega-datasets, when it is there. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ImportOptions } from './commands/import.ts'

export interface SampleTable {
  readonly table: string
  readonly file: string
  readonly options: ImportOptions
}

const FLIGHTS_ROWS = 200_000

/** The sample's tables, from the package nearest to `from`; undefined when it is not installed. */
export function sampleTables(from: string): readonly SampleTable[] | undefined {
  const data = findPackage(from)
  if (data === undefined) return undefined
  return [
    {
      table: 'airports',
      file: join(data, 'airports.csv'),
      options: { create: true, key: ['iata'], index: ['byState=state'] },
    },
    {
      table: 'flights',
      file: join(data, 'flights-3m.parquet'),
      options: {
        create: true,
        rowNumber: 'row',
        limit: FLIGHTS_ROWS,
        index: ['byOrigin=origin', 'byDate=date'],
      },
    },
  ]
}

function findPackage(from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const data = join(folder, 'node_modules', 'vega-datasets', 'data')
    if (existsSync(join(data, 'flights-3m.parquet'))) return data
    if (folder === dirname(folder)) return undefined
  }
}
