/** Writes one JSON array of objects, in wire form (core/wire.ts), one a line. */
import { writeJsonRow } from './json-row.ts'
import type { TextForm } from './text-writer.ts'

export const JSON_FORM: TextForm = {
  head: '[',
  row: (row, index) => `${index === 0 ? '\n' : ',\n'}${writeJsonRow(row, index)}`,
  tail: '\n]\n',
}
