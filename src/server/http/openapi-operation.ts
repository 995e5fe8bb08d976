/** What an operation of the API document is told as, and what many of them share. */
import type { JsonValue } from '../../core/wire.ts'
import type { Scope } from '../scopes.ts'
import { ref, type Json } from './openapi-schemas.ts'

export interface Operation {
  readonly method: 'get' | 'put' | 'post' | 'patch' | 'delete'
  /** As in the document: `{table}` and `{key}` stand for parts. */
  readonly path: string
  readonly id: string
  readonly summary: string
  readonly more?: string
  /** None: without a token too. */
  readonly scope: Scope | 'none'
  /** Names of component parameters, headers included. */
  readonly parameters?: readonly string[]
  readonly body?: { readonly schema: Json; readonly optional?: true; readonly example?: JsonValue }
  readonly answers: Readonly<Record<number, Answer>>
  /** Statuses of problems beside those that every route may give. */
  readonly problems?: readonly number[]
}

export interface Answer {
  readonly description: string
  readonly schema?: Json
  /** Default application/json. */
  readonly type?: string
  /** Names of component headers. */
  readonly headers?: readonly string[]
}

/** The schemas of the rows that an operation is about. */
export interface RowRefs {
  readonly written: Json
  readonly stored: Json
}

export const READ = ['ReadLevel', 'After', 'Deadline']
export const WRITE = ['IdempotencyKey', 'Deadline']
export const BOUNDS = ['index', 'eq', 'gt', 'gte', 'lt', 'lte', 'prefix']
export const TOKEN = ['Holdfast-Token']

/** What reads of a table may be refused with, and writes to it. */
export const OF_READS = [404, 413]
export const OF_WRITES = [404, 409, 413, 415, 422, 504]
export const OF_CHANGES = [...OF_WRITES, 412]

export const ok = (schema: Json, description = 'As asked.', headers = TOKEN): Answer => ({
  description,
  schema,
  headers,
})
export const written: Answer = {
  description: 'Written and durable.',
  schema: ref('RowAck'),
  headers: [...TOKEN, 'ETag'],
}
export const gone: Answer = { description: 'Done.', headers: TOKEN }
export const plain = (description: string): Answer => ({
  description,
  schema: { type: 'string' },
  type: 'text/plain',
})
