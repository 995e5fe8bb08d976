/** What an operator asks for: is what is stored sound, and do now what is done in the background. */
import { HoldfastError } from '../../core/errors.ts'
import { turn } from '../../core/env.ts'
import type { Value } from '../../core/wire.ts'
import { emptyAnswer, valueAnswer } from './answer.ts'
import type { HttpApp, HttpContext, HttpParts } from './parts.ts'
import { noParameters } from './request.ts'
import { scoped } from './route.ts'

export function upkeepRoutes(app: HttpApp, parts: HttpParts): void {
  let isChecking = false
  app.post(
    '/v1/check',
    scoped(parts, 'operate', async (c) => {
      noParameters(c)
      // Each reads everything, and holds a snapshot, which makes the data file grow.
      if (isChecking) throw new HoldfastError('Overloaded', 'a check is under way; wait for it')
      isChecking = true
      try {
        return await check(c, parts)
      } finally {
        isChecking = false
      }
    }),
  )
  app.post(
    '/v1/upkeep',
    scoped(parts, 'operate', async (c) => {
      noParameters(c)
      // Of a schema's work that failed, it is tried again.
      await parts.db.ready()
      await parts.db.upkeep()
      return emptyAnswer(204, { 'holdfast-token': parts.db.token })
    }),
  )
}

/** It takes as long as it takes: until it is done, its client goes, or the server stops. */
async function check(c: HttpContext, { db, env, stopping }: HttpParts): Promise<Response> {
  const over = AbortSignal.any([c.req.raw.signal, stopping])
  const report = await db.check({
    pause: async () => {
      await turn(env)
      if (!over.aborted) return
      if (stopping.aborted) throw new HoldfastError('ShuttingDown', 'the server is stopping')
      throw new HoldfastError('Cancelled', 'the client went away')
    },
  })
  return valueAnswer(report as unknown as Value)
}
