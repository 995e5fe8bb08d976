/**
 * The OpenAPI 3.1 document of a database as it is now: every route for any table, and once more for
 * each table there is, with the schema of its rows.
 */
import { VERSION } from '../../core/version.ts'
import type { JsonValue } from '../../core/wire.ts'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { TableStats } from '../../table/handles.ts'
import type { HttpLimits } from './limits.ts'
import type { Answer, Operation, RowRefs } from './openapi-operation.ts'
import { operationsOf } from './openapi-operations.ts'
import { HEADERS, PARAMETERS } from './openapi-parameters.ts'
import { ref, rowSchemas, SCHEMAS, type Json } from './openapi-schemas.ts'
import { PROBLEM_TYPE } from './problem.ts'

/** Tables with paths of their own; a document of thousands helps nobody. */
const TABLES_SHOWN = 100
const TABLE_PART = '{table}'
/** Every route may be refused so: wrongly asked, without a token, too often, while it stops. */
const ANY_PROBLEM = [400, 401, 403, 429, 500, 503]
/** What is answered without being asked who asks. */
const PUBLIC_PROBLEM = [403, 429, 500, 503]

const STATUSES: Readonly<Record<number, string>> = {
  400: 'The request is wrong.',
  401: 'A token is needed, or this one is not good.',
  403: 'The token, the host or the origin may not do this.',
  404: 'There is no such table, index, row or token.',
  409: 'What is stored says no.',
  410: 'It is no longer kept.',
  412: 'The row is not as If-Match or If-None-Match ask.',
  413: 'The body, the key or the row is too large.',
  415: 'The body is not JSON, or is compressed.',
  422: "The row does not fit the table's schema.",
  429: 'Too much at once; try again.',
  500: 'A fault of the server.',
  503: 'Not now; try again.',
  504: 'It may or may not have been done; read to learn.',
}
const WAITS = [429, 503]

export interface DescribedTable {
  readonly stats: TableStats
  readonly schema: StandardSchemaV1 | undefined
}

export function openapiDocument(tables: readonly DescribedTable[], limits: HttpLimits): Json {
  const anyRow: RowRefs = { written: ref('Row'), stored: ref('Row') }
  const paths: Record<string, Record<string, JsonValue>> = {}
  const schemas: Record<string, JsonValue> = { ...SCHEMAS }
  for (const operation of operationsOf(anyRow, limits)) {
    add(paths, operation.path, operation, operationObject(operation, undefined))
  }
  const shown = tables.slice(0, TABLES_SHOWN)
  for (const { stats, schema } of shown) {
    const name = `Row.${stats.name}`
    const rows = rowSchemas(stats, name, schema)
    Object.assign(schemas, rows.written, rows.stored)
    const refs = { written: ref(`${name}.written`), stored: ref(`${name}.stored`) }
    for (const operation of operationsOf(refs, limits)) {
      if (!operation.path.includes(TABLE_PART)) continue
      const path = operation.path.replace(TABLE_PART, stats.name)
      add(paths, path, operation, operationObject(operation, stats.name))
    }
  }
  return {
    openapi: '3.1.1',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: {
      title: 'Holdfast',
      version: VERSION,
      description: 'Tables, rows, queries, transactions and feeds of a Holdfast database.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [
      { name: 'Any table', description: 'Every route of a table, whatever its rows are.' },
      ...shown.map(({ stats }) => ({ name: tagOf(stats.name), description: keyText(stats) })),
      { name: 'Server', description: 'The server, its tokens, transactions and imports.' },
    ],
    security: [{ token: [] }],
    paths,
    components: {
      schemas,
      parameters: PARAMETERS,
      headers: HEADERS,
      responses: Object.fromEntries(Object.keys(STATUSES).map(problemResponse)),
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description: 'A token of `holdfast token create`. On loopback none is needed by default.',
        },
      },
    },
  }
}

function keyText({ key, indexes }: TableStats): string {
  const named = indexes.map(
    ({ name, fields, unique }) => `${unique ? 'unique ' : ''}${name} (${fields.join(', ')})`,
  )
  return `Key: ${key.join(', ')}.${named.length === 0 ? '' : ` Indexes: ${named.join('; ')}.`}`
}

function tagOf(table: string): string {
  return `Table ${table}`
}

function add(
  paths: Record<string, Record<string, JsonValue>>,
  path: string,
  { method }: Operation,
  operation: Json,
): void {
  paths[path] ??= {}
  paths[path][method] = operation
}

function operationObject(operation: Operation, table: string | undefined): Json {
  const { path, id, summary, more, scope, body, answers, problems = [] } = operation
  const parts = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string)
  const inPath = table === undefined ? parts : parts.filter((name) => name !== 'table')
  const parameters = [...inPath.map((name) => `path.${name}`), ...(operation.parameters ?? [])]
  const ofTable = parts.includes('table') ? 'Any table' : 'Server'
  const responses: Record<string, Json> = {}
  for (const status of [...(scope === 'none' ? PUBLIC_PROBLEM : ANY_PROBLEM), ...problems]) {
    responses[status] = { $ref: `#/components/responses/${status}` }
  }
  for (const [status, answer] of Object.entries(answers)) responses[status] = answerObject(answer)
  const needs = scope === 'none' ? 'Needs no token.' : `Needs the scope \`${scope}\`.`
  return {
    operationId: table === undefined ? id : `${id}.${table}`,
    summary,
    description: more === undefined ? needs : `${more} ${needs}`,
    tags: [table === undefined ? ofTable : tagOf(table)],
    ...(scope === 'none' ? { security: [] } : {}),
    ...(parameters.length === 0
      ? {}
      : { parameters: parameters.map((name) => ({ $ref: `#/components/parameters/${name}` })) }),
    ...(body === undefined ? {} : { requestBody: bodyObject(body) }),
    responses,
  }
}

function bodyObject({ schema, optional, example }: NonNullable<Operation['body']>): Json {
  const media = example === undefined ? { schema } : { schema, example }
  return { required: optional !== true, content: { 'application/json': media } }
}

function answerObject({ description, schema, type, headers = [] }: Answer): Json {
  const named = headers.map((name): [string, Json] => [
    name,
    { $ref: `#/components/headers/${name}` },
  ])
  return {
    description,
    ...(named.length === 0 ? {} : { headers: Object.fromEntries(named) }),
    ...(schema === undefined ? {} : { content: { [type ?? 'application/json']: { schema } } }),
  }
}

function problemResponse(status: string): [string, Json] {
  const headers: Json = WAITS.includes(Number(status))
    ? { headers: { 'Retry-After': { $ref: '#/components/headers/Retry-After' } } }
    : {}
  const schema = ref('Problem')
  const description = STATUSES[Number(status)] ?? ''
  return [status, { description, ...headers, content: { [PROBLEM_TYPE]: { schema } } }]
}
