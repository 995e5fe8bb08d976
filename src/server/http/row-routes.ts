/** One row at a time: get, put, insert, delete. */
import { stringifyWire } from '../../core/wire.ts'
import { ackAnswer, etagOf, readAnswer } from './answer.ts'
import type { HttpApp, HttpParts } from './parts.ts'
import { bodyOf, keyOf, readOptionsOf, tableOf, writeOptionsOf } from './request.ts'
import { HoldfastError } from '../../core/errors.ts'

export function rowRoutes(app: HttpApp, parts: HttpParts): void {
  const { limits, scope } = parts
  app.get('/v1/tables/:table/rows/:key', scope('read'), async (c) => {
    const table = tableOf(parts, c.req.param('table'))
    const row = await table.get(keyOf(c), readOptionsOf(c, parts))
    if (row === undefined) {
      throw new HoldfastError('NotFound', `${table.name} has no row with this key`)
    }
    const text = stringifyWire(row)
    return readAnswer(parts, text, etagOf(text))
  })
  app.post('/v1/tables/:table/rows', scope('write'), async (c) => {
    const table = tableOf(parts, c.req.param('table'))
    const row = await bodyOf(c, limits.bodyBytes)
    const written = await table.insert(row as never, writeOptionsOf(c, parts))
    return ackAnswer(written, {}, 201, { etag: etagOf(stringifyWire(written.row)) })
  })
}
