/** What answers that are no success say, as errors: a server's problems, and everything else. */
import {
  HoldfastError,
  type Applied,
  type ErrorCode,
  type ErrorKind,
} from '../core/holdfast-error.ts'
import { parseWire, type Value } from '../core/wire.ts'

export interface Failure {
  readonly error: HoldfastError
  /** How long the server asks to wait. */
  readonly retryAfterMs: number
}

type Members = Readonly<Record<string, Value | undefined>>

const KINDS: readonly unknown[] = [
  'retryable',
  'rejected',
  'conflict',
  'unknown-outcome',
  'unavailable',
  'corrupt',
  'bug',
] satisfies ErrorKind[]
const APPLIED: readonly unknown[] = ['no', 'yes', 'unknown'] satisfies Applied[]

/** The error that a problem (RFC 9457) stands for; undefined when it is no problem of Holdfast's. */
export function problemError(problem: unknown): Failure | undefined {
  if (typeof problem !== 'object' || problem === null) return undefined
  const { code, kind, applied, advice, detail, message, details, retryAfterMs } = problem as Members
  if (typeof code !== 'string' || !KINDS.includes(kind) || !APPLIED.includes(applied)) {
    return undefined
  }
  // A newer server's code is told as it is: what it means is in the other members.
  const entry = { kind: kind as ErrorKind, applied: applied as Applied, advice: textOf(advice) }
  const error = new HoldfastError(code as ErrorCode, textOf(detail ?? message ?? code), {
    entry,
    details: (typeof details === 'object' ? details : null) as Readonly<Record<string, unknown>>,
  })
  return { error, retryAfterMs: typeof retryAfterMs === 'number' ? retryAfterMs : 0 }
}

/** As `problemError`, of a body. */
export function problemOfText(text: string): Failure | undefined {
  const value = wireOrNone(text)
  return value === undefined ? undefined : problemError(value)
}

/** The value of a body in wire form; undefined for any other. */
export function wireOrNone(text: string): Value | undefined {
  try {
    return parseWire(text)
  } catch {
    return undefined
  }
}

function textOf(value: Value | undefined): string {
  return typeof value === 'string' ? value : ''
}

/** Causes of a failed request that say that no connection was made, as Node and Bun name them. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'ConnectionRefused',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** Whether a request that failed so was never on its way. Browsers do not say; then it may have been. */
export function wasNotSent(cause: unknown): boolean {
  for (let at = cause as { code?: unknown; cause?: unknown } | undefined; at;) {
    if (typeof at.code === 'string' && NOT_SENT.has(at.code)) return true
    at = at.cause as typeof at
  }
  return false
}
