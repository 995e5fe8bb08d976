/** Writes NDJSON: one JSON object a line, in wire form (core/wire.ts). */
import { writeJsonRow } from './json-row.ts'
import type { TextForm } from './text-writer.ts'

export const NDJSON_FORM: TextForm = {
  head: '',
  row: (row, index) => `${writeJsonRow(row, index)}\n`,
  tail: '',
}
