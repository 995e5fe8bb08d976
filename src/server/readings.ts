/**
 * What text that a person typed may stand for. Tables do not say what type their fields have, so text
 * has several readings, the likeliest first, and the data decides: `7` is a number, then a string,
 * then a bigint; `2001-01-01` is a string, then a date.
 */
import { parseWire, survivesDouble, type Value } from '../core/wire.ts'
import type { Comparison, Filter } from './filter.ts'

const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/
const INTEGER = /^-?(?:0|[1-9][0-9]*)$/
/** Longer whole numbers are read as text alone: making a bigint of digits takes their square. */
const INTEGER_CHARS = 400
const DATE = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?Z?)?$/
/** The beginnings of JSON that is not a bare word. */
const JSON_TEXT = /^\s*[[{"]/
const CONDITION = /^([^=!<>]+)(!=|<=|>=|=|<|>)(.*)$/s

/** The readings of a value, the likeliest first; never none. Throws WireError for broken JSON. */
export function readings(text: string): Value[] {
  if (JSON_TEXT.test(text)) return [parseWire(text)]
  const values: Value[] = []
  const isInteger = text.length <= INTEGER_CHARS && INTEGER.test(text)
  // Digits that a double would change are those of a bigint alone.
  const isExact = !isInteger || survivesDouble(text)
  if (isExact && NUMBER.test(text) && Number.isFinite(Number(text))) values.push(Number(text))
  values.push(text)
  if (isInteger) values.push(BigInt(text))
  const date = DATE.test(text) ? new Date(withZone(text)) : undefined
  if (date !== undefined && !Number.isNaN(date.getTime())) values.push(date)
  return values
}

/** What `field=value` (also != < <= > >=) says; undefined for other text. Throws WireError. */
export function conditionOf(text: string): Filter | undefined {
  const [, field, comparison, value] = CONDITION.exec(text) ?? []
  if (field === undefined || comparison === undefined || value === undefined) return undefined
  const values = readings(value)
  if (value === 'true' || value === 'false') values.push(value === 'true')
  if (value === 'null') values.push(null)
  return { field, comparison: comparison as Comparison, values }
}

/** Times without a zone are UTC. */
function withZone(text: string): string {
  return text.includes('T') && !text.endsWith('Z') ? `${text}Z` : text
}
