/** Each method of server/operations.ts as a request of the HTTP API. */
import { keySegment } from '../core/key-segment.ts'
import type { CallTypes } from '../server/operations.ts'
import type { Door, HttpRequest } from './http-door.ts'
import { conditionText, rangeParameters } from './http-rows.ts'

type HttpCalls = {
  readonly [M in keyof CallTypes]: (
    params: CallTypes[M]['params'],
  ) => Promise<CallTypes[M]['result']>
}

export function httpCalls({ ask }: Door): HttpCalls {
  /** The server's answers have the shapes of the operations, or are put into them here. */
  const as = async <T>(request: HttpRequest): Promise<T> => (await ask(request)) as T
  const none = async (request: HttpRequest): Promise<null> => {
    await ask(request)
    return null
  }
  return {
    ...reads(as),
    ...writes(as),
    ...imports(as, none),
    ...tokens(as, none),
    define: ({ table, key, indexes }) =>
      none({ method: 'PUT', path: tablePath(table), body: { key, indexes }, isLong: true }),
    drop: ({ table }) => none({ method: 'DELETE', path: tablePath(table) }),
    dropIndex: ({ table, index }) =>
      none({ method: 'DELETE', path: `${tablePath(table)}/indexes/${encodeURIComponent(index)}` }),
  }
}

type As = <T>(request: HttpRequest) => Promise<T>
type None = (request: HttpRequest) => Promise<null>

function reads(
  as: As,
): Pick<HttpCalls, 'stats' | 'status' | 'get' | 'count' | 'page' | 'aggregate'> {
  return {
    stats: () => as({ method: 'GET', path: '/v1/status' }),
    status: () => as({ method: 'GET', path: '/v1/cluster' }),
    get: async ({ table, keys }) => {
      const path = `${tablePath(table)}/get-many`
      const { rows } = await as<{ rows: readonly (CallTypes['get']['result']['row'] | null)[] }>({
        method: 'POST',
        path,
        body: { keys },
      })
      const at = rows.findIndex((row) => row !== null)
      return at < 0 ? { at } : { row: rows[at] ?? undefined, at }
    },
    count: async ({ table, query }) => {
      const { reverse: _reverse, limit: _limit, ...range } = query
      const path = `${tablePath(table)}/count?${rangeParameters(range).toString()}`
      return (await as<{ count: number }>({ method: 'GET', path })).count
    },
    page: ({ table, query, limit, cursor }) => {
      const parameters = rangeParameters(query)
      parameters.set('limit', String(limit))
      parameters.set('cursor', cursor ?? 'start')
      return as({ method: 'GET', path: `${tablePath(table)}/query?${parameters.toString()}` })
    },
    aggregate: async ({ table, query, where, group, average, minRows, limit, join }) => {
      const parameters = rangeParameters(query)
      for (const filter of where) parameters.append('where', conditionText(filter))
      const given = { by: group, avg: average, join, minRows, limit }
      for (const [name, value] of Object.entries(given)) {
        if (value !== undefined) parameters.set(name, String(value))
      }
      const path = `${tablePath(table)}/groups?${parameters.toString()}`
      return (await as<{ groups: CallTypes['aggregate']['result'] }>({ method: 'GET', path }))
        .groups
    },
  }
}

function writes(as: As): Pick<HttpCalls, 'write' | 'modify' | 'delete' | 'bulk' | 'transaction'> {
  return {
    write: ({ table, kind, row, idempotencyKey: key }) => {
      const method = kind === 'insert' ? 'POST' : 'PUT'
      const path = `${tablePath(table)}/rows`
      return as({ method, path, body: row, key, representation: true })
    },
    modify: ({ table, key, changes, idempotencyKey }) =>
      as({
        method: 'PATCH',
        path: `${tablePath(table)}/rows/${keySegment(key)}`,
        body: changes,
        key: idempotencyKey,
        representation: true,
      }),
    delete: ({ table, key, idempotencyKey }) =>
      as({
        method: 'DELETE',
        path: `${tablePath(table)}/rows/${keySegment(key)}`,
        key: idempotencyKey,
      }),
    bulk: async ({ table, ...work }) => {
      type Result = { ok: true } | { ok: false; problem: { code: string; detail: string } }
      const { results } = await as<{ results: readonly Result[] }>({
        method: 'POST',
        path: `${tablePath(table)}/bulk`,
        body: work,
      })
      return {
        results: results.map((result) =>
          result.ok
            ? { ok: true }
            : { ok: false, code: result.problem.code, message: result.problem.detail },
        ),
      }
    },
    transaction: ({ idempotencyKey: key, ...body }) =>
      as({ method: 'POST', path: '/v1/transactions', body, key }),
  }
}

function imports(
  as: As,
  none: None,
): Pick<HttpCalls, 'importState' | 'importBatch' | 'importFinish' | 'importForget'> {
  const path = (id: string): string => `/v1/imports/${encodeURIComponent(id)}`
  return {
    importState: ({ importId }) => as({ method: 'GET', path: path(importId) }),
    importBatch: ({ importId, ...body }) =>
      as({ method: 'POST', path: `${path(importId)}/batches`, body }),
    importFinish: ({ importId, ...body }) =>
      as({ method: 'POST', path: `${path(importId)}/finish`, body }),
    importForget: ({ importId }) => none({ method: 'DELETE', path: path(importId) }),
  }
}

function tokens(
  as: As,
  none: None,
): Pick<HttpCalls, 'tokenCreate' | 'tokenList' | 'tokenRotate' | 'tokenRevoke'> {
  const path = (id: string): string => `/v1/tokens/${encodeURIComponent(id)}`
  return {
    tokenCreate: (body) => as({ method: 'POST', path: '/v1/tokens', body }),
    tokenList: async () =>
      (
        await as<{ tokens: CallTypes['tokenList']['result'] }>({
          method: 'GET',
          path: '/v1/tokens',
        })
      ).tokens,
    tokenRotate: ({ id, ...body }) => as({ method: 'POST', path: `${path(id)}/rotate`, body }),
    tokenRevoke: ({ id }) => none({ method: 'DELETE', path: path(id) }),
  }
}

function tablePath(table: string): string {
  return `/v1/tables/${encodeURIComponent(table)}`
}
