/** Errors as RFC 9457 problems: one body for every failure of the HTTP API. */
import { HoldfastError, isHoldfastError, type ErrorCode } from '../../core/errors.ts'
import { stringifyWire, type Value } from '../../core/wire.ts'

export const PROBLEM_TYPE = 'application/problem+json'
/** Seconds that `Retry-After` asks a client to wait. */
const RETRY_AFTER_S = 1

const STATUS_OF_CODE: Partial<Record<ErrorCode, number>> = {
  Unauthenticated: 401,
  Forbidden: 403,
  UnknownRoute: 404,
  UnknownTable: 404,
  UnknownIndex: 404,
  NotFound: 404,
  BodyTooLarge: 413,
  KeyTooLarge: 413,
  RowTooLarge: 413,
  TransactionTooLarge: 413,
  InvalidRow: 422,
  FeedTrimmed: 410,
  SnapshotExpired: 410,
  Overloaded: 429,
  DurabilityTooLow: 503,
}

const STATUS_OF_KIND: Record<HoldfastError['kind'], number> = {
  rejected: 400,
  conflict: 409,
  retryable: 503,
  'unknown-outcome': 504,
  unavailable: 503,
  corrupt: 500,
  bug: 500,
}

export function statusOf(error: HoldfastError): number {
  const own = error.details['status']
  return typeof own === 'number' ? own : (STATUS_OF_CODE[error.code] ?? STATUS_OF_KIND[error.kind])
}

/** The members of a problem, in wire form. */
export function problemOf(error: HoldfastError): Record<string, Value> {
  const { code, kind, applied, message, advice } = error
  const problem: Record<string, Value> = {
    type: `urn:holdfast:error:${code}`,
    title: code,
    status: statusOf(error),
    detail: message,
    code,
    kind,
    applied,
    advice,
  }
  if (kind === 'retryable') problem['retryAfterMs'] = RETRY_AFTER_S * 1000
  const details = wireOrNone(error.details)
  if (details !== undefined) problem['details'] = details
  return problem
}

/** What was thrown, as a HoldfastError; what is none of ours is a bug, and says nothing outside. */
export function asError(cause: unknown): HoldfastError {
  if (isHoldfastError(cause)) return cause
  if (cause instanceof Error && cause.name === 'AbortError') {
    return new HoldfastError('Cancelled', 'the call was cancelled', { cause })
  }
  return new HoldfastError('Bug', 'the server failed at this request; its log says more', { cause })
}

export function problemResponse(error: HoldfastError): Response {
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE }
  const status = statusOf(error)
  if (error.kind === 'retryable') headers['retry-after'] = String(RETRY_AFTER_S)
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="holdfast"'
  const allow = error.details['allow']
  if (typeof allow === 'string') headers['allow'] = allow
  return new Response(stringifyWire(problemOf(error)), { status, headers })
}

/** Details that have a wire form; the rest is for this process's eyes. */
function wireOrNone(details: Readonly<Record<string, unknown>>): Value | undefined {
  const shown = Object.entries(details).filter(([name]) => name !== 'status' && name !== 'allow')
  if (shown.length === 0) return undefined
  const value = Object.fromEntries(shown) as Value
  try {
    stringifyWire(value)
    return value
  } catch {
    return undefined
  }
}
