/** Tokens over HTTP: make, list, rotate, revoke. All need the scope `operate`. */
import { stringifyWire, type Value } from '../../core/wire.ts'
import { invalid, listOf, membersOf, textOf } from '../members.ts'
import type { Scope } from '../scopes.ts'
import { tokenCalls } from '../token-operations.ts'
import type { HttpApp, HttpParts } from './parts.ts'
import { headerOf, bodyOf, noParameters, pathPart } from './request.ts'
import { scoped } from './route.ts'

const JSON_TYPE = 'application/json'

export function tokenRoutes(app: HttpApp, parts: HttpParts): void {
  const { limits } = parts
  const calls = tokenCalls(parts.db, parts.env)

  app.post(
    '/v1/tokens',
    scoped(parts, 'operate', async (c) => {
      noParameters(c)
      const body = membersOf('the body', await bodyOf(c, limits.bodyBytes), [
        'name',
        'scopes',
        'expiresAt',
      ])
      const { expiresAt } = body
      if (!(expiresAt === undefined || expiresAt instanceof Date)) {
        throw invalid('expiresAt is a date: {"$date":"2030-01-01T00:00:00.000Z"}')
      }
      const name = textOf('name', body['name'])
      const scopes = listOf('scopes', body['scopes']) as readonly Scope[]
      const made = await calls.tokenCreate({ name, scopes, expiresAt })
      return answer(made, 201, { location: `/v1/tokens/${made.id}` })
    }),
  )
  app.get(
    '/v1/tokens',
    scoped(parts, 'operate', async (c) => {
      noParameters(c)
      return answer({ tokens: await calls.tokenList({}) })
    }),
  )
  app.post(
    '/v1/tokens/:id/rotate',
    scoped(parts, 'operate', async (c) => {
      noParameters(c)
      const hasBody = c.req.raw.body !== null && headerOf(c, 'content-length') !== '0'
      const body = hasBody
        ? membersOf('the body', await bodyOf(c, limits.bodyBytes), ['graceMs'])
        : {}
      const { graceMs } = body
      if (!(graceMs === undefined || typeof graceMs === 'number')) {
        throw invalid('graceMs is a number of milliseconds')
      }
      const id = pathPart(c, 3)
      const rotated = await calls.tokenRotate({ id, graceMs })
      parts.tokenChanged(id)
      return answer(rotated)
    }),
  )
  app.delete(
    '/v1/tokens/:id',
    scoped(parts, 'operate', async (c) => {
      noParameters(c)
      const id = pathPart(c, 3)
      await calls.tokenRevoke({ id })
      parts.tokenChanged(id)
      return new Response(null, { status: 204 })
    }),
  )
}

/** No cache keeps it: a new token's text may be in it. */
function answer(value: object, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(stringifyWire(value as unknown as Value), {
    status,
    headers: { 'content-type': JSON_TYPE, 'cache-control': 'no-store', ...headers },
  })
}
