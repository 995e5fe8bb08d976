/** Many rows in one request, each written on its own. */
import { turn } from '../../core/env.ts'
import { stringifyWire, type Value } from '../../core/wire.ts'
import type { Ack, RowResult } from '../../table/handles.ts'
import type { AnyRow } from '../any-rows.ts'
import { invalid, listOf, membersOf } from '../members.ts'
import { runBulk } from '../write-operations.ts'
import { JSON_TYPE } from './answer.ts'
import type { HttpLimits } from './limits.ts'
import type { HttpApp, HttpContext, HttpParts } from './parts.ts'
import { asError, problemOf } from './problem.ts'
import { bodyOf, noParameters, tableIn, writeOptionsOf } from './request.ts'
import { scoped } from './route.ts'
import { prefersRow } from './row-routes.ts'

/** Results that are put into words before others have a turn. */
const RESULTS_A_TURN = 512
const KINDS = ['insert', 'put', 'delete'] as const

export function bulkRoutes(app: HttpApp, parts: HttpParts): void {
  app.post(
    '/v1/tables/:table/bulk',
    scoped(parts, 'write', (c) => bulk(c, parts)),
  )
}

async function bulk(c: HttpContext, parts: HttpParts): Promise<Response> {
  const table = tableIn(c, parts)
  noParameters(c)
  const options = writeOptionsOf(c, parts)
  const body = membersOf('the body', await bodyOf(c, parts.limits.bulkBodyBytes), KINDS)
  for (const kind of KINDS) {
    if (body[kind] !== undefined) checkRows(listOf(kind, body[kind]), parts.limits)
  }
  // Its rows are on their way at once: there is nothing to cancel when the client goes.
  const results = await runBulk(parts.env, table, body, options)
  const withRow = prefersRow(c)
  const texts: string[] = []
  for (const result of results) {
    texts.push(resultText(result, withRow))
    if (texts.length % RESULTS_A_TURN === 0) await turn(parts.env)
  }
  const text = `{"results":[${texts.join(',')}]}`
  return new Response(text, {
    headers: { 'content-type': JSON_TYPE, 'holdfast-token': parts.db.token },
  })
}

/** Each row has a result, which may be larger than the row: bytes of a body do not bound them. */
export function checkRows(rows: readonly Value[], { bulkRows }: HttpLimits): void {
  if (rows.length > bulkRows) throw invalid(`rows are at most ${bulkRows} at once`)
}

type Told = Ack & { readonly existed?: boolean; readonly row?: AnyRow }

function resultText(result: RowResult<Told>, withRow: boolean): string {
  if (!result.ok) {
    const problem: Value = problemOf(asError(result.error))
    return stringifyWire({ ok: false, problem })
  }
  const { position, durability, token, existed, row } = result.value
  const isShown = withRow && row !== undefined
  const shown = isShown ? `,"row":${stringifyWire(row)}` : ''
  const more = existed === undefined ? shown : `,"existed":${existed}`
  return `{"ok":true,"position":${position},"durability":"${durability}","token":"${token}"${more}}`
}
