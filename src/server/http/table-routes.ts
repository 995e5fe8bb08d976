/** Tables: what there is, defining, dropping. */
import type { TableStats } from '../../table/handles.ts'
import type { Value } from '../../core/wire.ts'
import { isHidden } from '../any-rows.ts'
import { invalid, listOf, membersOf, textOf } from '../members.ts'
import type { IndexSpec } from '../operations.ts'
import { emptyAnswer, valueAnswer } from './answer.ts'
import type { HttpApp, HttpContext, HttpParts } from './parts.ts'
import { bodyOf, noParameters, pathPart, tableIn } from './request.ts'
import { scoped } from './route.ts'

const TABLES = '/v1/tables'
const TABLE = '/v1/tables/:table'
const INDEX = '/v1/tables/:table/indexes/:index'

export function tableRoutes(app: HttpApp, parts: HttpParts): void {
  app.get(
    TABLES,
    scoped(parts, 'read', async (c) => {
      noParameters(c)
      return valueAnswer({ tables: tablesShown(parts) as unknown as Value })
    }),
  )
  app.get(
    TABLE,
    scoped(parts, 'read', async (c) => {
      noParameters(c)
      return valueAnswer(statsOf(parts, tableIn(c, parts).name))
    }),
  )
  app.put(
    TABLE,
    scoped(parts, 'operate', (c) => defineTable(c, parts)),
  )
  app.delete(
    TABLE,
    scoped(parts, 'operate', async (c) => {
      noParameters(c)
      await parts.db.drop(tableIn(c, parts).name)
      return emptyAnswer(204, { 'holdfast-token': parts.db.token })
    }),
  )
  app.delete(
    INDEX,
    scoped(parts, 'operate', async (c) => {
      noParameters(c)
      const [table, index] = [tableIn(c, parts).name, pathPart(c, 5)]
      await parts.operations.calls.dropIndex({ table, index }, { signal: c.req.raw.signal })
      return emptyAnswer(204, { 'holdfast-token': parts.db.token })
    }),
  )
}

/** The tables that are not the database's own. */
export function tablesShown(parts: HttpParts): readonly TableStats[] {
  return parts.db.stats().tables.filter(({ name }) => !isHidden(name))
}

async function defineTable(c: HttpContext, parts: HttpParts): Promise<Response> {
  const table = pathPart(c, 3)
  noParameters(c)
  if (isHidden(table)) throw invalid('a name that begins with _ is the database\u2019s own')
  const body = membersOf('a table', await bodyOf(c, parts.limits.bodyBytes), ['key', 'indexes'])
  const key = typeof body['key'] === 'string' ? [body['key']] : namesOf('key', body['key'])
  const given = Object.entries(indexesOf(body['indexes']))
  const indexes = Object.fromEntries(
    given.map(([name, spec]) => [name, indexOf(`index ${name}`, spec)]),
  )
  const isNew = !tablesShown(parts).some(({ name }) => name === table)
  const { define } = parts.operations.calls
  await define({ table, key, indexes }, { signal: c.req.raw.signal })
  return valueAnswer(statsOf(parts, table), isNew ? 201 : 200, parts.db.token)
}

function indexesOf(value: Value | undefined): Readonly<Record<string, unknown>> {
  if (value === undefined) return {}
  const isList = Array.isArray(value) || value instanceof Date || value instanceof Uint8Array
  if (typeof value !== 'object' || value === null || isList) {
    throw invalid('indexes are an object: their fields by their names')
  }
  if (Object.hasOwn(value, '__proto__')) throw invalid('an index cannot be named __proto__')
  return value as Readonly<Record<string, unknown>>
}

function indexOf(what: string, value: unknown): IndexSpec {
  if (typeof value === 'string' || Array.isArray(value)) return fieldsIn(what, value)
  const { unique } = membersOf(what, value, ['unique'])
  return { unique: fieldsIn(what, unique) }
}

function fieldsIn(what: string, value: unknown): string | readonly string[] {
  return typeof value === 'string' ? value : namesOf(what, value)
}

function namesOf(what: string, value: unknown): readonly string[] {
  return listOf(what, value).map((name) => textOf(`${what}: a field`, name))
}

function statsOf(parts: HttpParts, table: string): Value {
  return (tablesShown(parts).find(({ name }) => name === table) ?? null) as unknown as Value
}
