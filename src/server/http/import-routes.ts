/** Imports that are exactly once, batch by batch: the doors to `import-operations.ts`. */
import type { Value } from '../../core/wire.ts'
import type { ImportBatch, Rejected } from '../import-operations.ts'
import { invalid, listOf, membersOf, textOf } from '../members.ts'
import { emptyAnswer, valueAnswer } from './answer.ts'
import { checkRows } from './bulk-routes.ts'
import type { HttpApp, HttpContext, HttpParts } from './parts.ts'
import { bodyOf, noParameters, pathPart, tableOf } from './request.ts'
import { scoped } from './route.ts'

const IMPORT = '/v1/imports/:id'
const BATCH = ['table', 'start', 'end', 'mode', 'rows', 'unread'] as const

export function importRoutes(app: HttpApp, parts: HttpParts): void {
  const { calls } = parts.operations
  const context = (c: HttpContext) => ({ signal: c.req.raw.signal })
  app.get(
    IMPORT,
    scoped(parts, 'write', async (c) => {
      noParameters(c)
      const state = await calls.importState({ importId: idOf(c) }, context(c))
      return valueAnswer(state as unknown as Value)
    }),
  )
  app.post(
    `${IMPORT}/batches`,
    scoped(parts, 'write', async (c) => {
      noParameters(c)
      const batch = batchOf(parts, idOf(c), await bodyOf(c, parts.limits.bulkBodyBytes))
      const result = await calls.importBatch(batch, context(c))
      return valueAnswer(result as unknown as Value, 200, parts.db.token)
    }),
  )
  app.post(
    `${IMPORT}/finish`,
    scoped(parts, 'write', async (c) => {
      noParameters(c)
      const body = await bodyOf(c, parts.limits.bodyBytes)
      const given = membersOf('the body', body, ['file', 'table'])
      const table = tableOf(parts, textOf('table', given['table'])).name
      const file = textOf('file', given['file'])
      const totals = await calls.importFinish({ importId: idOf(c), file, table }, context(c))
      return valueAnswer(totals as unknown as Value, 200, parts.db.token)
    }),
  )
  app.delete(
    IMPORT,
    scoped(parts, 'write', async (c) => {
      noParameters(c)
      await calls.importForget({ importId: idOf(c) }, context(c))
      return emptyAnswer(204, { 'holdfast-token': parts.db.token })
    }),
  )
}

function idOf(c: HttpContext): string {
  return pathPart(c, 3)
}

function batchOf(parts: HttpParts, importId: string, value: Value): ImportBatch {
  const body = membersOf('a batch', value, BATCH)
  const table = tableOf(parts, textOf('table', body['table'])).name
  const [start, end] = [placeOf('start', body['start']), placeOf('end', body['end'])]
  if (end < start) throw invalid('end is not before start')
  const { mode } = body
  if (mode !== 'put' && mode !== 'insert') throw invalid("mode is 'put' or 'insert'")
  const inside = (what: string, position: unknown): number => {
    const place = placeOf(what, position)
    if (place < start || place >= end) throw invalid(`${what} ${place} is outside of the batch`)
    return place
  }
  const [given, missed] = [listOf('rows', body['rows']), listOf('unread', body['unread'] ?? [])]
  checkRows([...given, ...missed], parts.limits)
  const rows = given.map((each) => {
    const { position, row } = membersOf('one of rows', each, ['position', 'row'])
    return { position: inside('position', position), row: row as never }
  })
  const unread = missed.map((each): Rejected => {
    const { position, reason } = membersOf('one of unread', each, ['position', 'reason'])
    const place = inside('position', position)
    return reason === undefined
      ? { position: place }
      : { position: place, reason: textOf('reason', reason) }
  })
  return { table, importId, start, end, mode, rows, unread }
}

/** Places from 0: what is below is the database's own. */
function placeOf(what: string, value: unknown): number {
  if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value)
  throw invalid(`${what} is a whole number from 0`)
}
