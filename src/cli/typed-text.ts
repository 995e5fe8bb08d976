/** Text of a command line: what `server/readings.ts` makes of it, as keys and conditions. */
import type { Key } from '../core/key-codec.ts'
import { WireError, type Value } from '../core/wire.ts'
import type { Filter } from '../server/filter.ts'
import { conditionOf, readings as readingsOf } from '../server/readings.ts'
import { UsageError } from './exit-codes.ts'

/** The readings of a value, the likeliest first; never none. Throws UsageError for broken JSON. */
export function readings(text: string): Value[] {
  return typed(text, () => readingsOf(text))
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

/** What a prefix may mean: the beginning of a string, unless it is the head of a tuple. */
export function prefixReadings(text: string): Key[] {
  return text.trimStart().startsWith('[') ? (readings(text) as Key[]) : [text]
}

/** The condition that `field=value` (also != < <= > >=) says. Throws UsageError. */
export function parseCondition(text: string): Filter {
  const condition = typed(text, () => conditionOf(text))
  if (condition !== undefined) return condition
  throw new UsageError(`--where takes field=value (or != < <= > >=), not ${JSON.stringify(text)}`)
}

function typed<T>(text: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new UsageError(`${text}: ${error.message}`)
  }
}
