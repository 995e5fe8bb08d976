/** The HTTP API on AWS Lambda, behind API Gateway, a load balancer or a function URL. */
/* oxlint-disable typescript/no-deprecated -- Hono moves this adapter to a package in its version 5 */
import { Hono } from 'hono'
import { handle, type LambdaContext, type LambdaEvent } from 'hono/aws-lambda'
import { HoldfastError } from '../../core/errors.ts'
import type { HttpHandler } from './handler.ts'
import { problemResponse } from './problem.ts'
import { EVENT_STREAM } from './sse.ts'

export type LambdaHandler = (event: LambdaEvent, context?: LambdaContext) => Promise<unknown>

/** An answer to an event is one body: these types go as text, all others as base64. */
const isBinary = (type: string): boolean =>
  !/^(?:text\/|application\/(?:[\w.+-]+\+)?json)/.test(type)

/**
 * A Lambda function's handler over the API. Feeds do not end, so Lambda has none.
 * @example export const main = lambdaHandler(createHandler(db, { access: 'tokens' }))
 */
export function lambdaHandler(handler: HttpHandler): LambdaHandler {
  const app = new Hono()
  app.all('*', async (c) => {
    const answer = await handler.fetch(c.req.raw)
    if (answer.headers.get('content-type')?.startsWith(EVENT_STREAM) !== true) return answer
    await answer.body?.cancel()
    return problemResponse(
      new HoldfastError('Unsupported', 'a feed does not end, and an answer on Lambda does', {
        details: { status: 501 },
      }),
    )
  })
  const answer = handle(app, { isContentTypeBinary: isBinary })
  return (event, context) => answer(event, context)
}
