/** How a bus calls its users' handlers: what they throw goes to the bus's `onError`, never further. */
import { copyBytes, type Bytes } from '../core/bytes.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import type { BusMessage, MessageHandler, OnBusError, RequestHandler } from './bus.ts'

/** A request as those who serve get it. One of the two is called, once. */
export interface PendingRequest extends BusMessage {
  answer(bytes: Bytes): void
  fail(error: HoldfastError): void
}

export function messageCaller(handler: MessageHandler, onError: OnBusError) {
  return (message: BusMessage): void => {
    void guard(message.subject, onError, async () => {
      await handler(message)
    })
  }
}

export function requestCaller(handler: RequestHandler, onError: OnBusError) {
  return (request: PendingRequest): void => {
    void guard(request.subject, onError, async () => {
      try {
        request.answer(copyBytes(await handler(request)))
      } catch (error) {
        request.fail(asAnswer(error, request.subject))
        if (!isHoldfastError(error)) throw error
      }
    })
  }
}

async function guard(
  subject: string,
  onError: OnBusError,
  run: () => Promise<void>,
): Promise<void> {
  try {
    await run()
  } catch (error) {
    onError(error, subject)
  }
}

/** What the asker is told of an error of the handler. */
function asAnswer(error: unknown, subject: string): HoldfastError {
  if (isHoldfastError(error)) {
    const { code, message, applied, details } = error
    return new HoldfastError(code, message, { applied, details })
  }
  return new HoldfastError('Bug', `a handler of ${subject} failed: ${String(error)}`)
}
