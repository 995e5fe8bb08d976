/**
 * For whoever restarts and routes: is the process alive, is it ready for requests, has it started.
 * They need no token. `/livez` says nothing of the database: restarting cures no full disk.
 */
import { isHoldfastError } from '../../core/errors.ts'
import type { HttpApp, HttpParts } from './parts.ts'

export function healthRoutes(app: HttpApp, { db, stopping }: HttpParts): void {
  app.get('/livez', () => answer('alive', 200))
  // Whoever is answered has a handler, and a handler is over a database that is open.
  app.get('/startupz', () => answer('started', 200))
  app.get('/readyz', () => {
    if (stopping.aborted) return answer('stopping', 503)
    try {
      const { halted } = db.stats()
      return halted === undefined ? answer('ready', 200) : answer(`halted: ${halted}`, 503)
    } catch (error) {
      if (isHoldfastError(error)) return answer(error.code, 503)
      throw error
    }
  })
}

function answer(text: string, status: number): Response {
  return new Response(`${text}\n`, {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
  })
}
