/** `POST /v1/backup`: a backup as one archive, while writes go on. */
import type { HttpApp, HttpContext, HttpParts } from './parts.ts'
import { asError } from './problem.ts'
import { invalid, numberOf, parametersOf } from './request.ts'
import { scoped } from './route.ts'

const ARCHIVE_TYPE = 'application/octet-stream'

export function backupRoutes(app: HttpApp, parts: HttpParts): void {
  app.post(
    '/v1/backup',
    scoped(parts, 'operate', async (c) => streamBackup(c, parts)),
  )
}

function streamBackup(c: HttpContext, { db, stopping, onProblem }: HttpParts): Response {
  const after = numberOf(parametersOf(c, ['after']), 'after', 0)
  const { position } = db.stats()
  // What can be refused is refused before the answer begins.
  if (after !== undefined && after > position) {
    throw invalid(`there is no position ${after} yet: this database is at ${position}`)
  }
  // Before the first position there is nothing: whoever has that wants everything.
  const from = after === 0 ? undefined : after
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const signal = AbortSignal.any([c.req.raw.signal, stopping])
  // One that fails aborts the stream: the answer breaks off, and its reader learns no more.
  db.backup({ stream: writable, after: from, signal }).catch((cause: unknown) => {
    if (!signal.aborted) onProblem(asError(cause))
  })
  return new Response(readable, {
    headers: {
      'content-type': ARCHIVE_TYPE,
      'content-disposition': 'attachment; filename="backup.hfb"',
      'cache-control': 'no-store',
    },
  })
}
