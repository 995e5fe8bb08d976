/** One row of the two JSON formats. */
import type { Value } from '../../core/wire.ts'
import { parseWire, stringifyWire, WireError } from '../../core/wire.ts'
import type { ReadRecord, Row } from './format.ts'
import { badRow, FormatError } from './format.ts'
import { NOT_UTF8 } from './text-source.ts'

/** The record that `source`, in wire form, is; a bad one for anything but an object. */
export function readJsonRow(
  source: string,
  position: number,
  line: number,
  isDamaged: boolean,
): ReadRecord {
  if (isDamaged) return badRow(position, line, NOT_UTF8, source)
  let value: Value
  try {
    value = parseWire(source)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return badRow(position, line, error.message, source)
  }
  if (isRow(value)) return { position, line, row: value }
  return badRow(position, line, 'a row is an object', source)
}

/** The JSON text of a row. Throws FormatError for what has no wire form. */
export function writeJsonRow(row: Row, index: number): string {
  try {
    return stringifyWire(row)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new FormatError(`row ${index + 1}: ${error.message}`, undefined, error)
  }
}

function isRow(value: Value): value is Row {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return !(value instanceof Date || value instanceof Uint8Array)
}
