/** What the database is, and how it is. */
import type { Value } from '../../core/wire.ts'
import { VERSION } from '../../core/version.ts'
import { isHidden } from '../any-rows.ts'
import { valueAnswer } from './answer.ts'
import type { HttpApp, HttpParts } from './parts.ts'
import { noParameters } from './request.ts'
import { scoped } from './route.ts'

export function statusRoutes(app: HttpApp, parts: HttpParts): void {
  app.get(
    '/v1/status',
    scoped(parts, 'read', async (c) => {
      noParameters(c)
      // Its folder is nobody's business outside.
      const { dir: _dir, tables, problems, ...stats } = parts.db.stats()
      const status = {
        ...stats,
        tables: tables.filter(({ name }) => !isHidden(name)),
        problems: problems.filter(({ table }) => table === undefined || !isHidden(table)),
        version: VERSION,
      }
      return valueAnswer(status as unknown as Value, 200, parts.db.token)
    }),
  )
  app.get(
    '/v1/cluster',
    scoped(parts, 'read', async (c) => {
      noParameters(c)
      return valueAnswer((await parts.db.status()) as unknown as Value)
    }),
  )
}
