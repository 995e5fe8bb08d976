/** Every route of the API as data: what it takes and what it answers. */
import type { HttpLimits } from './limits.ts'
import {
  BOUNDS,
  OF_CHANGES,
  OF_READS,
  OF_WRITES,
  READ,
  TOKEN,
  WRITE,
  gone,
  ok,
  written,
  type Operation,
  type RowRefs,
} from './openapi-operation.ts'
import { list, object, ref } from './openapi-schemas.ts'
import { serverOperations } from './openapi-server-operations.ts'

export function operationsOf(rows: RowRefs, limits: HttpLimits): readonly Operation[] {
  return [
    ...rowOperations(rows),
    ...keylessOperations(rows),
    ...queryOperations(rows),
    ...manyOperations(rows, limits),
    ...tableOperations(),
    ...serverOperations(),
  ]
}

function rowOperations(rows: RowRefs): Operation[] {
  const row = '/v1/tables/{table}/rows/{key}'
  return [
    {
      method: 'put',
      path: row,
      id: 'putRow',
      summary: 'Write a row, there or not',
      more: 'Its key must be that of the path. `If-None-Match: *` inserts only.',
      scope: 'write',
      parameters: [...WRITE, 'IfMatch', 'IfNoneMatch', 'Prefer'],
      body: { schema: rows.written },
      answers: { 200: written },
      problems: OF_CHANGES,
    },
    {
      method: 'get',
      path: row,
      id: 'getRow',
      summary: 'One row by its key',
      scope: 'read',
      parameters: [...READ, 'IfMatch', 'IfNoneMatch'],
      answers: {
        200: ok(rows.stored, 'The row.', [...TOKEN, 'ETag']),
        304: { description: 'The row has one of the tags given.', headers: [...TOKEN, 'ETag'] },
      },
      problems: [...OF_READS, 412],
    },
    {
      method: 'patch',
      path: row,
      id: 'patchRow',
      summary: 'Change fields of a row, all at once',
      scope: 'write',
      parameters: [...WRITE, 'IfMatch', 'IfNoneMatch', 'Prefer'],
      body: { schema: ref('Changes'), example: { set: { note: 'hello' } } },
      answers: { 200: written },
      problems: OF_CHANGES,
    },
    {
      method: 'delete',
      path: row,
      id: 'deleteRow',
      summary: 'Delete a row',
      scope: 'write',
      parameters: [...WRITE, 'IfMatch', 'IfNoneMatch'],
      answers: { 200: ok(ref('DeleteAck'), 'It is gone; `existed` says whether it was there.') },
      problems: OF_CHANGES,
    },
  ]
}

/** Rows whose key is not in the path. */
function keylessOperations(rows: RowRefs): Operation[] {
  const all = '/v1/tables/{table}/rows'
  return [
    {
      method: 'post',
      path: all,
      id: 'insertRow',
      summary: 'Insert a row',
      scope: 'write',
      parameters: [...WRITE, 'Prefer'],
      body: { schema: rows.written },
      answers: { 201: { ...written, headers: [...TOKEN, 'ETag', 'Location'] } },
      problems: OF_WRITES,
    },
    {
      method: 'put',
      path: all,
      id: 'putRowByItsKey',
      summary: 'Write a row, its key taken from the row',
      scope: 'write',
      parameters: [...WRITE, 'IfMatch', 'IfNoneMatch', 'Prefer'],
      body: { schema: rows.written },
      answers: { 200: written },
      problems: OF_CHANGES,
    },
  ]
}

function queryOperations(rows: RowRefs): Operation[] {
  const table = '/v1/tables/{table}'
  return [
    {
      method: 'get',
      path: `${table}/query`,
      id: 'query',
      summary: 'Rows in the order of the key or of an index',
      more:
        'With `cursor=start` the answer has a cursor when there are more rows; give it back as ' +
        '`cursor`, with the same other parameters, for the next page of the same moment.',
      scope: 'read',
      parameters: [...BOUNDS, 'reverse', 'limit', 'cursor', 'where', ...READ],
      answers: {
        200: ok(object({ rows: list(rows.stored), cursor: { type: 'string' } }, 'rows')),
      },
      problems: [...OF_READS, 410],
    },
    {
      method: 'get',
      path: `${table}/count`,
      id: 'count',
      summary: 'How many rows there are, or match',
      scope: 'read',
      parameters: [...BOUNDS, ...READ],
      answers: { 200: ok(object({ count: { type: 'integer', minimum: 0 } }, 'count')) },
      problems: OF_READS,
    },
    {
      method: 'get',
      path: `${table}/groups`,
      id: 'groups',
      summary: 'Rows grouped by a field, with the average of another',
      scope: 'read',
      parameters: ['by', 'avg', 'minRows', 'join', 'limit', ...BOUNDS, 'where', ...READ],
      answers: { 200: ok(object({ groups: list({ type: 'object' }) }, 'groups')) },
      problems: OF_READS,
    },
  ]
}

/** Many rows by their keys, and all that happens to them. */
function manyOperations(rows: RowRefs, limits: HttpLimits): Operation[] {
  const table = '/v1/tables/{table}'
  return [
    {
      method: 'post',
      path: `${table}/get-many`,
      id: 'getMany',
      summary: 'Rows by their keys, all as of one moment',
      scope: 'read',
      parameters: READ,
      body: {
        schema: object({ keys: { ...list(ref('Key')), maxItems: limits.pageRows } }, 'keys'),
        example: { keys: ['a', 'b'] },
      },
      answers: {
        200: ok(
          object({ rows: list({ anyOf: [rows.stored, { type: 'null' }] }) }, 'rows'),
          'The rows in the order of the keys, null for one that is not there.',
        ),
      },
      problems: [...OF_READS, 415],
    },
    {
      method: 'post',
      path: `${table}/bulk`,
      id: 'bulk',
      summary: 'Many rows, each written on its own',
      scope: 'write',
      parameters: WRITE,
      body: {
        schema: {
          oneOf: [
            object({ insert: list(rows.written) }, 'insert'),
            object({ put: list(rows.written) }, 'put'),
            object({ delete: list(ref('Key')) }, 'delete'),
          ],
        },
        example: { delete: ['a', 'b'] },
      },
      answers: { 200: ok(object({ results: list(ref('BulkResult')) }, 'results')) },
      problems: OF_WRITES,
    },
    {
      method: 'get',
      path: `${table}/feed`,
      id: 'feed',
      summary: 'Changes as they happen, as server-sent events',
      more:
        'Events `insert`, `update` and `delete`, and `row` for each row of a snapshot, with data ' +
        '`{key, row?, position}`; `live` once what was there is through. Their id is a token to ' +
        'resume from. `end` and `problem` are the last.',
      scope: 'read',
      parameters: ['from', 'after', 'LastEventId'],
      answers: {
        200: {
          description: 'Events without end.',
          schema: { type: 'string' },
          type: 'text/event-stream',
          headers: TOKEN,
        },
      },
      problems: [...OF_READS, 410],
    },
  ]
}

function tableOperations(): Operation[] {
  const table = '/v1/tables/{table}'
  return [
    {
      method: 'get',
      path: '/v1/tables',
      id: 'listTables',
      summary: 'All tables',
      scope: 'read',
      answers: {
        200: ok(object({ tables: list(ref('TableStats')) }, 'tables'), 'The tables.', []),
      },
    },
    {
      method: 'get',
      path: table,
      id: 'getTable',
      summary: 'One table',
      scope: 'read',
      answers: { 200: ok(ref('TableStats'), 'The table.', []) },
      problems: [404],
    },
    {
      method: 'put',
      path: table,
      id: 'defineTable',
      summary: 'Define a table, or add indexes to it',
      more: 'Not for tables with a schema: the program that declares it changes them.',
      scope: 'operate',
      body: { schema: ref('TableSpec'), example: { key: 'id', indexes: { byName: 'name' } } },
      answers: {
        200: ok(ref('TableStats'), 'The table has these indexes too now.'),
        201: ok(ref('TableStats'), 'The table is new.'),
      },
      problems: [...OF_WRITES],
    },
    {
      method: 'delete',
      path: table,
      id: 'dropTable',
      summary: 'Drop a table and its rows',
      scope: 'operate',
      answers: { 204: gone },
      problems: [404, 504],
    },
    {
      method: 'delete',
      path: `${table}/indexes/{index}`,
      id: 'dropIndex',
      summary: 'Drop an index',
      scope: 'operate',
      answers: { 204: gone },
      problems: [404, 409, 504],
    },
  ]
}
