/**
 * Values as text cells, one kind a column:
 *
 *   string    the text itself
 *   number    12, -0.5, 1e+21: finite, and a whole number only when its digits survive
 *   bigint    decimal digits
 *   boolean   true, false
 *   date      2001-01-01T00:00:00.000Z; read also 2001-01-01 (midnight UTC), without seconds, or
 *             with another offset. Never without any: that would depend on this machine. Parts
 *             finer than a millisecond are cut off.
 *   bytes     base64 with padding
 *   json      the wire form (core/wire.ts)
 */
import { unreachable } from '../../core/assert.ts'
import { formatBase64, parseBase64 } from '../../core/base64.ts'
import type { Value } from '../../core/wire.ts'
import {
  parseIsoDate,
  parseWire,
  stringifyWire,
  survivesDouble,
  WireError,
} from '../../core/wire.ts'
import type { ColumnKind } from './format.ts'

/** The value of a cell, or undefined when the cell is none of its kind. */
export type CellParser = (cell: string) => Value | undefined

const NUMBER = /^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/
const INTEGER = /^-?[0-9]+$/
const PLAIN_NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$/
const DATE =
  /^([+-][0-9]{6}|[0-9]{4})-([0-9]{2})-([0-9]{2})(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:[0-9]{2}))?$/

/** Digits that every double keeps. */
const DOUBLE_DIGITS = 15

export const CELL_PARSERS: Readonly<Record<ColumnKind, CellParser>> = {
  string: (cell) => cell,
  number: parseNumber,
  bigint: (cell) => (INTEGER.test(cell) ? BigInt(cell) : undefined),
  boolean: parseBoolean,
  date: parseDate,
  bytes: parseBase64,
  json: parseJson,
}

/**
 * A number as a program writes it, and only when nothing of the text is lost but zeros at the end
 * of a fraction: no leading zeros, no plus, no exponent, no more digits than a double holds. What
 * else looks like a number (a postcode, a phone number, a long id) stays text.
 */
export function parsePlainNumber(cell: string): number | undefined {
  if (!PLAIN_NUMBER.test(cell)) return undefined
  const number = Number(cell)
  if (number === 0 && cell.startsWith('-')) return undefined
  if (cell.length <= DOUBLE_DIGITS) return number
  const text = cell.includes('.') ? cell.replace(/\.?0+$/, '') : cell
  const digits = text.replace(/^-?[0.]*/, '').replace('.', '')
  return digits.length <= DOUBLE_DIGITS || String(number) === text ? number : undefined
}

export function parseBoolean(cell: string): boolean | undefined {
  return cell === 'true' ? true : cell === 'false' ? false : undefined
}

/** The cell of a value that is not null, or undefined when the value is none of its kind. */
export function formatCell(kind: ColumnKind, value: Value): string | undefined {
  switch (kind) {
    case 'string':
      return typeof value === 'string' ? value : undefined
    case 'number':
      return typeof value === 'number' && Number.isFinite(value) ? String(value) : undefined
    case 'bigint':
      return typeof value === 'bigint' ? String(value) : undefined
    case 'boolean':
      return typeof value === 'boolean' ? String(value) : undefined
    case 'date':
      return value instanceof Date && !Number.isNaN(value.getTime())
        ? value.toISOString()
        : undefined
    case 'bytes':
      return value instanceof Uint8Array ? formatBase64(value) : undefined
    case 'json':
      return stringifyWire(value)
    default:
      return unreachable(kind)
  }
}

function parseNumber(cell: string): number | undefined {
  if (!NUMBER.test(cell)) return undefined
  if (cell.length > DOUBLE_DIGITS && INTEGER.test(cell) && !survivesDouble(cell)) return undefined
  const number = Number(cell)
  if (!Number.isFinite(number)) return undefined
  return number === 0 ? 0 : number
}

function parseDate(cell: string): Date | undefined {
  const canonical = parseIsoDate(cell)
  if (canonical !== undefined) return canonical
  const [, year, month, day] = DATE.exec(cell) ?? []
  if (year === undefined || Number(day) > daysOf(Number(year), Number(month))) return undefined
  const date = new Date(cell)
  return Number.isNaN(date.getTime()) ? undefined : date
}

/** Engines read the 30th of February as a day in March. */
function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function parseJson(cell: string): Value | undefined {
  try {
    return parseWire(cell)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}
