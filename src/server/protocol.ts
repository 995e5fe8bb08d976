/**
 * What goes over a folder's socket: one JSON message a line, in the wire form of core/wire.ts.
 *
 *   client                                     holder
 *                                      ◀─      {id: 0}               it serves this connection
 *   {id, method, params}               ─▶      {id, ok: result}  or  {id, error}
 *   {id, method, params, credit: n}    ─▶      {id, item} up to n times, then {id, end} or {id, error}
 *   {id, credit: n}                    ─▶      n more items of that stream
 *   {id, cancel: true}                 ─▶      the call or stream is given up; nothing more comes
 *                                      ◀─      {id: 0, leaving}      it closes the database soon
 *   {id, method, params}               ─▶      {id, leaving}         not begun: for the next holder
 *   end, when nothing is awaited       ─▶      goes when all have ended, or LEAVE_MS have passed
 *
 * Either side drops the connection at a line that is too long or no message. A client that goes away
 * cancels whatever it had asked for.
 */
import { type ErrorCode, ERRORS, HoldfastError, isHoldfastError } from '../core/errors.ts'
import { fromWire, toWire, type JsonValue, type Value } from '../core/wire.ts'

/** Most bytes of one message: far above a batch of rows, far below what would exhaust memory. */
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024
/** The id of what is said of the connection itself. */
export const CONNECTION = 0
/** Items of a stream on their way at once. */
export const STREAM_CREDIT = 4

export interface Message {
  readonly id: number
  readonly method?: string
  readonly params?: Value
  readonly credit?: number
  readonly cancel?: boolean
  readonly leaving?: boolean
  readonly ok?: Value
  readonly item?: Value
  readonly end?: boolean
  readonly error?: Value
}

const NEWLINE = 10

/** Puts chunks together to lines. */
export class LineSplitter {
  #parts: Uint8Array[] = []
  #bytes = 0

  /** The lines that `chunk` completes. Throws RangeError for one that is too long. */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = []
    let start = 0
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, start)) {
      this.#add(chunk.subarray(start, at))
      lines.push(Buffer.concat(this.#parts).toString('utf8'))
      this.#parts = []
      this.#bytes = 0
      start = at + 1
    }
    if (start < chunk.length) this.#add(chunk.subarray(start))
    return lines
  }

  #add(part: Uint8Array): void {
    this.#bytes += part.length
    if (this.#bytes > MESSAGE_BYTES_MAX) {
      throw new RangeError(`a message has more than ${MESSAGE_BYTES_MAX} bytes`)
    }
    this.#parts.push(part)
  }
}

export function encodeMessage(message: Message): string {
  return `${JSON.stringify(toWire(message as unknown as Value))}\n`
}

/** Throws for what is no message. */
export function decodeMessage(line: string): Message {
  const message = fromWire(JSON.parse(line) as JsonValue)
  if (typeof message !== 'object' || message === null || !('id' in message)) {
    throw new TypeError('a message has an id')
  }
  if (typeof message['id'] !== 'number') throw new TypeError("a message's id is a number")
  return message as unknown as Message
}

/** An error as it crosses: what another process needs to say and do the same about it. */
export function encodeError(error: unknown): Value {
  if (isHoldfastError(error)) {
    const { code, message, applied, cause } = error
    return {
      code,
      message,
      applied,
      details: wireOr(error.details, {}),
      cause: cause === undefined ? undefined : reason(cause),
    }
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return { code: 'Cancelled', message: 'the call was cancelled', applied: 'no', details: {} }
  }
  return { code: 'Bug', message: reason(error), applied: 'unknown', details: {} }
}

export function decodeError(error: Value | undefined): HoldfastError {
  const { code, message, applied, details, cause } = error as unknown as {
    readonly code: string
    readonly message: string
    readonly applied: 'no' | 'yes' | 'unknown'
    readonly details: Record<string, unknown>
    readonly cause?: string
  }
  const isKnown = Object.hasOwn(ERRORS, code)
  return new HoldfastError(
    isKnown ? (code as ErrorCode) : 'Bug',
    isKnown ? message : `${code}: ${message}`,
    { applied, details, cause: cause === undefined ? undefined : new Error(cause) },
  )
}

function wireOr(value: unknown, otherwise: Value): Value {
  try {
    return fromWire(toWire(value as Value))
  } catch {
    return otherwise
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
