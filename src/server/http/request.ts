/** What requests say: keys, bodies, read levels, deadlines. Whatever is wrong is `InvalidRequest`. */
import { HoldfastError } from '../../core/errors.ts'
import type { Key } from '../../core/key-codec.ts'
import { parseKeySegment } from '../../core/key-segment.ts'
import { parseWire, WireError, type Value } from '../../core/wire.ts'
import type { AnyTable, ReadLevel, ReadOptions, WriteOptions } from '../../table/handles.ts'
import type { HttpContext, HttpParts } from './parts.ts'

export function invalid(message: string, status?: number): HoldfastError {
  return new HoldfastError('InvalidRequest', message, {
    details: status === undefined ? {} : { status },
  })
}

/** Names of tables that are the database's own begin so; the API does not show them. */
const HIDDEN = '_'

/** The table that a request may see. Throws `UnknownTable`, for hidden ones too. */
export function tableOf(parts: HttpParts, name: string): AnyTable {
  if (name.startsWith(HIDDEN)) {
    throw new HoldfastError('UnknownTable', `there is no table ${name}`, {
      details: { table: name },
    })
  }
  return parts.db.table(name)
}

/** Runs `read`, whose WireError is the request's fault. */
export function readWire<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof WireError) throw invalid(`${what}: ${cause.message}`)
    throw cause
  }
}

export function keyOf(c: HttpContext): Key {
  const segment = c.req.param('key') ?? ''
  return readWire('the key in the path', () => parseKeySegment(segment))
}

/** The body, in wire form. Throws `InvalidRequest`, `BodyTooLarge`. */
export async function bodyOf(c: HttpContext, limitBytes: number): Promise<Value> {
  const type = c.req.header('content-type')
  if (type !== undefined && !/^application\/(?:[\w.+-]+\+)?json\b/i.test(type)) {
    throw invalid(`the body is ${type}; send application/json`, 415)
  }
  const announced = Number(c.req.header('content-length') ?? 0)
  if (announced > limitBytes) throw bodyTooLarge(limitBytes)
  const text = await c.req.text()
  if (text.length > limitBytes) throw bodyTooLarge(limitBytes)
  if (text === '') throw invalid('there is no body; send JSON')
  return readWire('the body', () => parseWire(text))
}

export function bodyTooLarge(limitBytes: number): HoldfastError {
  return new HoldfastError('BodyTooLarge', `the body has more than ${limitBytes} bytes`, {
    details: { limitBytes },
  })
}

/** Read level, token, deadline and the request's own signal. */
export function readOptionsOf(c: HttpContext, parts: HttpParts): ReadOptions {
  const level = c.req.header('holdfast-read-level')
  return {
    level: level === undefined ? undefined : levelOf(level),
    after: c.req.header('holdfast-after'),
    ...callOptionsOf(c, parts),
  }
}

export function writeOptionsOf(c: HttpContext, parts: HttpParts): WriteOptions {
  return { idempotencyKey: c.req.header('idempotency-key'), ...callOptionsOf(c, parts) }
}

function callOptionsOf(c: HttpContext, parts: HttpParts): WriteOptions {
  const given = c.req.header('holdfast-deadline-ms')
  if (given === undefined) return {}
  const deadlineMs = Number(given)
  if (!(deadlineMs > 0)) throw invalid('Holdfast-Deadline-Ms is a number of milliseconds above 0')
  return { deadlineMs: Math.min(deadlineMs, parts.limits.deadlineMs) }
}

function levelOf(text: string): ReadLevel {
  if (text === 'linearizable' || text === 'session' || text === 'local') return text
  const staleness = /^max-staleness=(\d{1,9})$/.exec(text)
  if (staleness !== null) return { maxStalenessMs: Number(staleness[1]) }
  throw invalid(
    `Holdfast-Read-Level is linearizable, session, local or max-staleness=MS, not ${text}`,
  )
}
