/**
 * What the values of a Parquet column become, by the column's type alone (and, for INT64, by the
 * statistics in the footer), so that one column never mixes kinds:
 *
 *   BOOLEAN                                boolean
 *   INT32, FLOAT, DOUBLE, FLOAT16, TIME    number; NaN and infinities are bad records
 *   INT64, unsigned too                    number when the footer's statistics say that all values
 *                                          are safe integers, otherwise bigint
 *   DECIMAL                                number up to 15 digits of precision, otherwise string
 *   DATE, TIMESTAMP, INT96                 date; parts finer than a millisecond are cut off, a
 *                                          timestamp without zone is taken as UTC
 *   STRING, ENUM, UUID                     string
 *   JSON                                   json: the wire form (core/wire.ts)
 *   other byte arrays                      bytes
 *   lists, maps, structs, variants         json; the rule of INT64 holds for the whole column
 *
 * Files of our own name the kind of each column in their footer, and the caller may name others.
 */
import { Buffer, isUtf8 } from 'node:buffer'
import type { FileMetaData, ParquetParsers, SchemaElement, SchemaTree } from 'hyparquet'
import { DEFAULT_PARSERS } from 'hyparquet/src/convert.js'
import { unreachable } from '../../core/assert.ts'
import { copyBytes } from '../../core/bytes.ts'
import type { Value } from '../../core/wire.ts'
import { setOwn } from '../../core/wire.ts'
import { CELL_PARSERS } from './cell.ts'
import type { ColumnKind } from './format.ts'

/** Decimal digits that every double keeps. */
const DOUBLE_DIGITS = 15
const REPLACEMENT = '\ufffd'

/** Text comes as strings, undefined where it is not UTF-8; JSON comes as its text. */
export const PARSERS: ParquetParsers = {
  ...DEFAULT_PARSERS,
  stringFromBytes: textOf,
  jsonFromBytes: textOf,
}

/** The kind that a top-level column has by its type. */
export function kindOfColumn(tree: SchemaTree, metadata: FileMetaData): ColumnKind {
  const { element, children } = tree
  if (children.length > 0 || element.repetition_type === 'REPEATED') return 'json'
  if (isDecimal(element)) return precisionOf(element) <= DOUBLE_DIGITS ? 'number' : 'string'
  const logical = element.logical_type?.type
  switch (element.type) {
    case 'BOOLEAN':
      return 'boolean'
    case 'INT32':
      return element.converted_type === 'DATE' || logical === 'DATE' ? 'date' : 'number'
    case 'INT64':
      if (logical === 'TIMESTAMP' || element.converted_type?.startsWith('TIMESTAMP')) return 'date'
      return isSafeColumn(tree, metadata) ? 'number' : 'bigint'
    case 'INT96':
      return 'date'
    case 'FLOAT':
    case 'DOUBLE':
      return 'number'
    default:
      return kindOfBytes(element)
  }
}

/** Whether the footer proves that every 64-bit integer in the column is safe as a number. */
export function isSafeColumn({ path }: SchemaTree, { row_groups }: FileMetaData): boolean {
  for (const { columns } of row_groups) {
    for (const { meta_data } of columns) {
      if (meta_data?.type !== 'INT64' || meta_data.path_in_schema[0] !== path[0]) continue
      const { statistics, num_values } = meta_data
      if (num_values === 0n || statistics?.null_count === num_values) continue
      const low = statistics?.min_value ?? statistics?.min
      const high = statistics?.max_value ?? statistics?.max
      if (typeof low === 'bigint' && typeof high === 'bigint') {
        if (low < Number.MIN_SAFE_INTEGER || high > Number.MAX_SAFE_INTEGER) return false
      } else if (!(low instanceof Date)) {
        return false
      }
    }
  }
  return true
}

export function isDecimal({ converted_type, logical_type }: SchemaElement): boolean {
  return converted_type === 'DECIMAL' || logical_type?.type === 'DECIMAL'
}

/** The decimal of a raw value: a number that prints as it, or its text. */
export function decimalOf(raw: unknown, element: SchemaElement): number | string | undefined {
  const unscaled = unscaledOf(raw)
  if (unscaled === undefined) return undefined
  const logical = element.logical_type
  const scale = (logical?.type === 'DECIMAL' ? logical.scale : element.scale) ?? 0
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  const point = digits.length - scale
  const sign = unscaled < 0n ? '-' : ''
  const text = `${sign}${digits.slice(0, point)}${scale > 0 ? '.' : ''}${digits.slice(point)}`
  return precisionOf(element) <= DOUBLE_DIGITS ? Number(text) : text
}

/**
 * A value of hyparquet's as one of `kind`; undefined when it is none. Texts, and bytes where no
 * bytes are wanted, are read as cells are (cell.ts). With `isSafe`, integers inside nested values become numbers.
 */
export function adapt(raw: unknown, kind: ColumnKind, isSafe: boolean): Value | undefined {
  switch (kind) {
    case 'string':
      return stringOf(raw)
    case 'number':
      if (typeof raw === 'number' && Number.isFinite(raw)) return raw === 0 ? 0 : raw
      if (typeof raw !== 'bigint') break
      return Number.isSafeInteger(Number(raw)) ? Number(raw) : undefined
    case 'bigint':
      if (typeof raw === 'bigint') return raw
      if (typeof raw !== 'number') break
      return Number.isSafeInteger(raw) ? BigInt(raw) : undefined
    case 'boolean':
      if (typeof raw === 'boolean') return raw
      break
    case 'date':
      if (raw instanceof Date) return Number.isNaN(raw.getTime()) ? undefined : raw
      break
    case 'bytes':
      return raw instanceof Uint8Array ? copyBytes(raw) : undefined
    case 'json':
      if (raw === undefined || typeof raw === 'string' || raw instanceof Uint8Array) break
      return nested(raw, isSafe)
    default:
      return unreachable(kind)
  }
  const text = raw instanceof Uint8Array ? textOf(raw) : raw
  return typeof text === 'string' ? CELL_PARSERS[kind](text) : undefined
}

function kindOfBytes({ converted_type, logical_type }: SchemaElement): ColumnKind {
  switch (logical_type?.type ?? converted_type) {
    case 'STRING':
    case 'UTF8':
    case 'ENUM':
    case 'UUID':
      return 'string'
    case 'FLOAT16':
      return 'number'
    case 'JSON':
    case 'GEOMETRY':
    case 'GEOGRAPHY':
      return 'json'
    default:
      return 'bytes'
  }
}

function stringOf(raw: unknown): string | undefined {
  if (typeof raw === 'string') return raw
  if (raw instanceof Uint8Array) return textOf(raw)
  if (raw instanceof Date) return Number.isNaN(raw.getTime()) ? undefined : raw.toISOString()
  const isPlain = typeof raw === 'number' || typeof raw === 'bigint' || typeof raw === 'boolean'
  return isPlain ? String(raw) : undefined
}

/** Lists, maps and structs; a null in them stays null. */
function nested(raw: unknown, isSafe: boolean): Value | undefined {
  if (raw === null || raw === undefined) return null
  if (typeof raw === 'bigint') return isSafe ? adapt(raw, 'number', true) : raw
  if (typeof raw === 'number') return adapt(raw, 'number', true)
  if (typeof raw === 'string' || typeof raw === 'boolean') return raw
  if (raw instanceof Date) return adapt(raw, 'date', true)
  if (raw instanceof Uint8Array) return copyBytes(raw)
  if (Array.isArray(raw) || ArrayBuffer.isView(raw)) {
    const items = Array.from(raw as ArrayLike<unknown>, (item) => nested(item, isSafe))
    return items.includes(undefined) ? undefined : (items as Value[])
  }
  const object: Record<string, Value> = {}
  for (const [key, member] of Object.entries(raw)) {
    const value = nested(member, isSafe)
    if (value === undefined) return undefined
    setOwn(object, key, value)
  }
  return object
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined
  const { buffer, byteOffset, byteLength } = bytes
  const text = Buffer.from(buffer, byteOffset, byteLength).toString('utf8')
  return text.includes(REPLACEMENT) && !isUtf8(bytes) ? undefined : text
}

function precisionOf({ logical_type, precision }: SchemaElement): number {
  const given = logical_type?.type === 'DECIMAL' ? logical_type.precision : precision
  return given ?? Infinity
}

function unscaledOf(raw: unknown): bigint | undefined {
  if (typeof raw === 'bigint') return raw
  if (typeof raw === 'number') return BigInt(raw)
  if (!(raw instanceof Uint8Array)) return undefined
  if (raw.length === 0) return 0n
  const { buffer, byteOffset, byteLength } = raw
  const hex = Buffer.from(buffer, byteOffset, byteLength).toString('hex')
  return BigInt.asIntN(raw.length * 8, BigInt(`0x${hex}`))
}
