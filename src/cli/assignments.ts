/**
 * Fields with their values as they are typed: `field=value` is read as it looks, a number, true,
 * false, null or JSON where it is one and text otherwise; `field:=JSON` says exactly what is meant.
 */
import { parseWire, setOwn, WireError, type Value } from '../core/wire.ts'
import { readings } from '../server/readings.ts'
import { UsageError } from './exit-codes.ts'

const WORDS: Readonly<Record<string, Value>> = { true: true, false: false, null: null }
const JSON_TEXT = /^\s*[[{"]/

export function isAssignment(text: string): boolean {
  return text.indexOf('=') > 0 && !JSON_TEXT.test(text)
}

/** Throws UsageError for what is no assignment, and for a field that is given twice. */
export function parseAssignments(texts: readonly string[]): Record<string, Value> {
  const fields: Record<string, Value> = {}
  for (const text of texts) {
    const at = text.indexOf('=')
    const isExact = text[at - 1] === ':'
    const field = text.slice(0, isExact ? at - 1 : Math.max(at, 0))
    if (field === '') {
      throw new UsageError(`${JSON.stringify(text)} is neither field=value nor field:=JSON`)
    }
    if (Object.hasOwn(fields, field)) throw new UsageError(`field ${field} is given twice`)
    const value = text.slice(at + 1)
    setOwn(fields, field, isExact ? parseJson(value) : looksLike(text, value))
  }
  return fields
}

/** JSON in wire form. Throws UsageError. */
export function parseJson(text: string): Value {
  try {
    return parseWire(text)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new UsageError(`${text}: ${error.message}`)
  }
}

const DIGITS = /^-?\d+$/

function looksLike(assignment: string, text: string): Value {
  if (DIGITS.test(text) && !Number.isSafeInteger(Number(text))) {
    throw new UsageError(
      `${assignment}: the number is too large to be exact; as text it is :='"${text}"', ` +
        `as a bigint :='{"$bigint":"${text}"}'`,
    )
  }
  const word = Object.hasOwn(WORDS, text) ? WORDS[text] : undefined
  if (word !== undefined) return word
  let value: Value | undefined
  try {
    ;[value] = readings(text)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
  }
  return value ?? text
}
