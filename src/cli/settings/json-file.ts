/** Configuration files: JSON objects whose every key is known. What is wrong is `InvalidConfig`. */
import { readFileSync } from 'node:fs'
import { HoldfastError } from '../../core/errors.ts'
import { nearest } from '../nearest.ts'

type JsonObject = Readonly<Record<string, unknown>>

interface More {
  readonly cause?: unknown
  /** What to do about it. */
  readonly next?: string | undefined
}

export function invalidConfig(path: string, what: string, more: More = {}): HoldfastError {
  const { cause, next } = more
  return new HoldfastError('InvalidConfig', `${path}: ${what}`, {
    cause,
    details: { path, ...(next !== undefined && { next }) },
  })
}

/** The object in the file; undefined when there is no file. `next` says how to mend it. */
export function readJson(path: string, next: string): JsonObject | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw invalidConfig(path, 'the file cannot be read', { cause, next })
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw invalidConfig(path, 'the file is damaged: it is no JSON', { cause, next })
  }
  if (!isPlainObject(json)) throw invalidConfig(path, 'the file holds no JSON object', { next })
  return json
}

/** Refuses keys by name: a misspelt one would otherwise do nothing, silently. */
export function onlyKeys(
  path: string,
  where: string,
  object: JsonObject,
  known: readonly string[],
): void {
  for (const key of Object.keys(object)) {
    if (known.includes(key)) continue
    const meant = nearest(key, known)
    const hint = meant === undefined ? `known are ${known.join(', ')}` : `did you mean ${meant}?`
    throw invalidConfig(path, `${where} has the unknown key ${JSON.stringify(key)}; ${hint}`)
  }
}

export function textAt(path: string, object: JsonObject, key: string): string | undefined {
  const value = object[key]
  if (value === undefined || (typeof value === 'string' && value !== '')) return value
  throw invalidConfig(path, `${JSON.stringify(key)} is a text`)
}

export function isPlainObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
