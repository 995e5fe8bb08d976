/** A row as it stands on a command line: JSON, fields with values, a file, or stdin. */
import { readFile } from 'node:fs/promises'
import { text as textOf } from 'node:stream/consumers'
import { HoldfastError } from '../core/errors.ts'
import { parseWire, WireError } from '../core/wire.ts'
import type { AnyRow } from '../server/any-rows.ts'
import { UsageError } from './exit-codes.ts'
import { isAssignment, parseAssignments, parseJson } from './assignments.ts'

/** The row that the words say. @throws HoldfastError `FileFormat`; UsageError */
export async function rowOf(words: readonly string[]): Promise<AnyRow> {
  const [first = ''] = words
  if (words.every(isAssignment)) return parseAssignments(words)
  if (words.length > 1) {
    throw new UsageError(`a row is JSON, or field=value pairs; ${JSON.stringify(first)} is neither`)
  }
  if (first === '-') return rowIn('stdin', await textOf(process.stdin))
  if (first.startsWith('@')) return rowIn(first.slice(1), await readText(first.slice(1)))
  const value = first.trimStart().startsWith('{') ? parseJson(first) : undefined
  if (!isRow(value)) {
    throw new UsageError(
      `a row is JSON, field=value pairs, @FILE or - (stdin), not ${JSON.stringify(first)}`,
    )
  }
  return value
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw fileError(path, 'cannot be read', cause)
  }
}

function rowIn(path: string, text: string): AnyRow {
  let value: unknown
  try {
    value = parseWire(text)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw fileError(path, `holds no row: ${cause.message}`, cause)
  }
  if (isRow(value)) return value
  throw fileError(path, 'holds no row: a row is a JSON object', undefined)
}

function fileError(path: string, what: string, cause: unknown): HoldfastError {
  const next = 'one row as a JSON object; for many: holdfast import TABLE FILE'
  return new HoldfastError('FileFormat', `${path} ${what}`, { cause, details: { path, next } })
}

function isRow(value: unknown): value is AnyRow {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return !(value instanceof Date) && !(value instanceof Uint8Array)
}
