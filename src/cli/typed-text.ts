/**
 * What text on a command line may stand for. Tables do not say what type their keys have, so text
 * has several readings, the likeliest first, and the data decides: `7` is a number, then a string,
 * then a bigint; `2001-01-01` is a string, then a date.
 */
import type { Key } from '../core/key-codec.ts'
import { parseWire, WireError, type Value } from '../core/wire.ts'
import type { Comparison, Filter } from '../server/filter.ts'
import { UsageError } from './exit-codes.ts'

const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/
const INTEGER = /^-?(?:0|[1-9][0-9]*)$/
const DATE = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?Z?)?$/
/** The beginnings of JSON that is not a bare word. */
const JSON_TEXT = /^\s*[[{"]/
const CONDITION = /^([^=!<>]+)(!=|<=|>=|=|<|>)(.*)$/s

/** The readings of a value, the likeliest first; never none. Throws UsageError for broken JSON. */
export function readings(text: string): Value[] {
  if (JSON_TEXT.test(text)) return [parseJson(text)]
  const values: Value[] = []
  if (NUMBER.test(text) && Number.isFinite(Number(text))) values.push(Number(text))
  values.push(text)
  if (INTEGER.test(text)) values.push(BigInt(text))
  const date = DATE.test(text) ? new Date(withZone(text)) : undefined
  if (date !== undefined && !Number.isNaN(date.getTime())) values.push(date)
  return values
}

/** The readings of a key; several arguments are a tuple, in which all parts are read alike. */
export function keyReadings(parts: readonly string[]): Key[] {
  const each = parts.map(readings)
  const count = Math.max(...each.map((values) => values.length))
  const [only] = each
  if (each.length === 1 && only !== undefined) return only as Key[]
  const tuples = Array.from({ length: count }, (_, i) =>
    each.map((values) => values[i] ?? values[0]),
  )
  tuples.push(each.map((values, i) => values.find((value) => value === parts[i]) ?? values[0]))
  return tuples as unknown as Key[]
}

/** The condition that `field=value` (also != < <= > >=) says. Throws UsageError. */
export function parseCondition(text: string): Filter {
  const [, field, comparison, value] = CONDITION.exec(text) ?? []
  if (field === undefined || comparison === undefined || value === undefined) {
    throw new UsageError(`--where takes field=value (or != < <= > >=), not ${JSON.stringify(text)}`)
  }
  const values = readings(value)
  if (value === 'true' || value === 'false') values.push(value === 'true')
  if (value === 'null') values.push(null)
  return { field, comparison: comparison as Comparison, values }
}

/** Times without a zone are UTC. */
function withZone(text: string): string {
  return text.includes('T') && !text.endsWith('Z') ? `${text}Z` : text
}

function parseJson(text: string): Value {
  try {
    return parseWire(text)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new UsageError(`${text}: ${error.message}`)
  }
}
