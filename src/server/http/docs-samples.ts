/** Requests to try by hand: a row that a schema may take, and curl commands around it. */
import type { JsonValue } from '../../core/wire.ts'
import { fromWire } from '../../core/wire.ts'
import type { Key } from '../../core/key-codec.ts'
import { keySegment } from '../../core/key-segment.ts'
import type { Json } from './openapi-schemas.ts'

/** Schemas within schemas that are looked into: recursive ones have no end. */
const DEPTH_MAX = 6
const FORMATS: Readonly<Record<string, string>> = {
  'date-time': '2001-01-01T00:00:00.000Z',
  date: '2001-01-01',
  email: 'a@example.com',
  uri: 'https://example.com/',
  uuid: '00000000-0000-4000-8000-000000000000',
}

/** A value in wire form that a schema of the document may take. */
export function sampleOf(document: Json, schema: JsonValue | undefined, depth = 0): JsonValue {
  if (depth > DEPTH_MAX || typeof schema !== 'object' || schema === null) return null
  const given = schema as Json
  const { $ref, type, properties, required, minimum } = given
  if (typeof $ref === 'string') return sampleOf(document, resolve(document, $ref), depth + 1)
  for (const known of ['const', 'default', 'example'] as const) {
    if (given[known] !== undefined) return given[known]
  }
  for (const choices of ['examples', 'enum'] as const) {
    const [first] = (given[choices] ?? []) as readonly JsonValue[]
    if (first !== undefined) return first
  }
  for (const choices of ['anyOf', 'oneOf'] as const) {
    const [first] = (given[choices] ?? []) as readonly JsonValue[]
    if (first !== undefined) return sampleOf(document, first, depth + 1)
  }
  switch (Array.isArray(type) ? (type as string[])[0] : type) {
    case 'string':
      return FORMATS[given['format'] as string] ?? 'a'
    case 'integer':
    case 'number':
      return typeof minimum === 'number' && minimum > 0 ? minimum : 1
    case 'boolean':
      return true
    case 'array':
      return []
    case 'object': {
      const all = Object.entries((properties ?? {}) as Json)
      const needed = all.filter(([name]) => ((required ?? []) as string[]).includes(name))
      return Object.fromEntries(
        needed.map(([name, member]) => [name, sampleOf(document, member, depth + 1)]),
      )
    }
    default:
      return 'a'
  }
}

/** The key, as part of a path, of a row that is a sample. */
export function sampleKey(row: JsonValue, fields: readonly string[]): string {
  const parts = fields.map((field) => fromWire((row as Json)[field] ?? 'a'))
  return keySegment((parts.length === 1 ? parts[0] : parts) as Key)
}

export function resolve(document: Json, path: string): JsonValue | undefined {
  let found: JsonValue | undefined = document
  for (const name of path.replace('#/', '').split('/')) {
    found = (found as Json | undefined)?.[name]
  }
  return found
}

export interface Request {
  readonly method: string
  readonly url: string
  readonly body?: JsonValue | undefined
  readonly withToken: boolean
}

export function curl({ method, url, body, withToken }: Request): string {
  const parts = ['curl']
  if (method !== 'get') parts.push('-X', method.toUpperCase())
  parts.push(quoted(url))
  if (withToken) parts.push('-H', '"Authorization: Bearer $TOKEN"')
  if (body !== undefined) {
    parts.push('-H', quoted('content-type: application/json'), '-d', quoted(JSON.stringify(body)))
  }
  return parts.join(' ')
}

/** For a POSIX shell. */
function quoted(text: string): string {
  return /^[\w:/.~-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
