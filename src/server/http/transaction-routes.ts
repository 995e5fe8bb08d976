/** Transactions as lists of steps (ADR 18). */
import { hasWrites, readTransaction } from '../step-forms.ts'
import { runSteps, type StepLimits } from '../steps.ts'
import { valueAnswer } from './answer.ts'
import type { HttpApp, HttpParts } from './parts.ts'
import { bodyOf, noParameters, within, writeOptionsOf } from './request.ts'
import { scoped } from './route.ts'

/** Pages that one step may give. */
const STEP_PAGES = 10

export function transactionRoutes(app: HttpApp, parts: HttpParts): void {
  const { db, env, limits } = parts
  const stepLimits: StepLimits = {
    rows: limits.pageRows * STEP_PAGES,
    chars: limits.bulkBodyBytes,
  }
  const mayWrite = parts.scope('write')
  app.post(
    '/v1/transactions',
    scoped(parts, 'read', async (c) => {
      noParameters(c)
      const options = writeOptionsOf(c, parts)
      const request = readTransaction(await bodyOf(c, limits.bodyBytes))
      // The outcome under an idempotency key is stored as well.
      if (options.idempotencyKey !== undefined || hasWrites(request)) await mayWrite(c)
      const answer = await within(c, parts, (signal) =>
        runSteps(db, env, request, { ...options, signal }, stepLimits),
      )
      return valueAnswer(answer, 200, answer.token)
    }),
  )
}
